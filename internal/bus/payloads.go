package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// payloadKind is the kind of the journals that payloads are kept in. Record 0 is a
// segment's head, and the others are payloads with the H-ID of their message.
const payloadKind = "payloads"

const (
	segmentGlob  = "payloads-*.log"
	segmentName  = "payloads-%08d.log"
	segmentBytes = 16 << 20 // begins another one
	maxLoaded    = 4        // older segments with their index in memory
)

// payloads keeps the payloads of messages in segments, so that old ones go as whole
// files. A message's payload is in the newest segment that was begun no later than
// the block that it stands in: a payload is stored before its block is made, and
// a segment is begun only when nothing is between the two.
type payloads struct {
	dir     string
	keep    time.Duration
	keepMax int64

	mu       sync.Mutex // guards what follows
	segments []*segment // oldest first; the last one is written
	next     zone.SeqID // of the next payload
	dropped  int64      // payloads that were removed by age or size

	old    sync.Mutex // guards the journals and indexes of all segments but the last; taken after mu, or alone
	loaded []*segment // those in memory, by last use
}

type segment struct {
	number  uint64
	head    head
	bytes   int64
	records uint64            // payloads in it
	journal *journal.Journal  // nil: not in memory
	index   map[uint64]uint32 // record by the first 8 bytes of the H-ID
}

// head is a segment's record 0: three integers of 8 bytes, big-endian.
type head struct {
	base   zone.SeqID // of its first payload
	height uint64     // of the ledger when it was begun
	begun  zone.Time
}

const headBytes = 24

func (h head) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(h.base))
	b = binary.BigEndian.AppendUint64(b, h.height)
	return binary.BigEndian.AppendUint64(b, uint64(h.begun))
}

func parseHead(raw []byte) (head, error) {
	if len(raw) != headBytes {
		return head{}, fmt.Errorf("a segment's head of %d bytes, want %d", len(raw), headBytes)
	}
	be := binary.BigEndian
	return head{zone.SeqID(be.Uint64(raw)), be.Uint64(raw[8:]), zone.Time(be.Uint64(raw[16:]))}, nil
}

func openPayloads(dir string, keep time.Duration, keepMax int64) (*payloads, error) {
	p := &payloads{dir: dir, keep: keep, keepMax: max(keepMax, 2*segmentBytes), next: 1}
	paths, err := filepath.Glob(filepath.Join(dir, segmentGlob))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	if paths, err = withoutEmpty(paths); err != nil {
		return nil, err
	}
	for i, path := range paths {
		s := &segment{}
		if _, err := fmt.Sscanf(filepath.Base(path), segmentName, &s.number); err != nil {
			return nil, fmt.Errorf("%s is not a segment of payloads", path)
		}
		if i == len(paths)-1 {
			if err = p.load(s, journal.Open); err == nil {
				s.records = uint64(max(0, s.journal.Len()-1))
			}
		}
		if err == nil {
			err = p.readHead(s)
		}
		if err != nil {
			return nil, err
		}
		p.segments = append(p.segments, s)
	}
	p.count()
	return p, nil
}

// withoutEmpty removes the last segment if a crash left it without its head.
func withoutEmpty(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return paths, nil
	}
	last := len(paths) - 1
	j, err := journal.Open(paths[last], payloadKind, nil)
	if err != nil {
		return nil, err
	}
	n := j.Len()
	if err := j.Close(); err != nil || n > 0 {
		return paths, err
	}
	return paths[:last], os.Remove(paths[last])
}

// count fills in what a segment's successor says of it.
func (p *payloads) count() {
	for i, s := range p.segments {
		if i+1 < len(p.segments) {
			s.records = uint64(p.segments[i+1].head.base - s.head.base)
		}
		p.next = s.head.base + zone.SeqID(s.records)
	}
}

func (p *payloads) path(s *segment) string {
	return filepath.Join(p.dir, fmt.Sprintf(segmentName, s.number))
}

func (p *payloads) readHead(s *segment) error {
	info, err := os.Stat(p.path(s))
	if err != nil {
		return err
	}
	s.bytes = info.Size()
	for rec, err := range journal.Scan(p.path(s), payloadKind) {
		if err == nil {
			s.head, err = parseHead(rec.Payload)
		}
		return err
	}
	return fmt.Errorf("%s has no head", p.path(s))
}

// load reads a segment's index into memory.
func (p *payloads) load(s *segment, open func(string, string, func(int, []byte) error) (*journal.Journal, error)) error {
	index := map[uint64]uint32{}
	j, err := open(p.path(s), payloadKind, func(rec int, raw []byte) error {
		if rec == 0 {
			_, err := parseHead(raw)
			return err
		}
		if len(raw) < len(zone.HID{}) {
			return fmt.Errorf("%d bytes are no payload with its H-ID", len(raw))
		}
		index[prefix(zone.HID(raw[:32]))] = uint32(rec)
		return nil
	})
	if err != nil {
		return err
	}
	s.journal, s.index = j, index
	return nil
}

func prefix(id zone.HID) uint64 { return binary.BigEndian.Uint64(id[:]) }

// stored is a payload with the H-ID of its message.
type stored struct {
	id      zone.HID
	payload []byte
}

// add stores payloads durably. Height is the ledger's: whatever is stored here
// comes into a block that is not below it.
func (p *payloads) add(height uint64, now zone.Time, all []stored) error {
	s, err := p.open(height, now)
	if err != nil {
		return err
	}
	raws := make([][]byte, len(all))
	for i, one := range all {
		raws[i] = append(one.id[:], one.payload...)
	}
	if err := s.journal.Append(raws...); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, one := range all {
		s.records++
		s.index[prefix(one.id)] = uint32(s.records)
		s.bytes += int64(len(raws[i]))
	}
	p.next += zone.SeqID(len(all))
	return nil
}

// open gives the segment to write to, a new one when the newest is full or old.
func (p *payloads) open(height uint64, now zone.Time) (*segment, error) {
	if n := len(p.segments); n > 0 {
		s := p.segments[n-1]
		old := p.keep > 0 && now.Sub(s.head.begun) > p.keep/8
		if s.bytes < segmentBytes && !(old && s.records > 0) {
			return s, nil
		}
	}
	s := &segment{head: head{p.next, height, now}, index: map[uint64]uint32{}}
	if n := len(p.segments); n > 0 {
		s.number = p.segments[n-1].number + 1
	}
	var err error
	if s.journal, err = journal.Open(p.path(s), payloadKind, nil); err != nil {
		return nil, err
	}
	if err := s.journal.Append(s.head.bytes()); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.segments = append(p.segments, s)
	p.old.Lock()
	defer p.old.Unlock()
	if n := len(p.segments); n > 1 {
		p.used(p.segments[n-2])
	}
	return s, p.retain(now)
}

// retain removes the segments that are too old, or too much. The caller holds both
// locks.
func (p *payloads) retain(now zone.Time) error {
	total := int64(0)
	for _, s := range p.segments {
		total += s.bytes
	}
	var errs []error
	for len(p.segments) > 1 {
		s, next := p.segments[0], p.segments[1]
		if total <= p.keepMax && (p.keep <= 0 || now.Sub(next.head.begun) <= p.keep) {
			break
		}
		total -= s.bytes
		p.dropped += int64(s.records)
		p.segments = p.segments[1:]
		p.loaded = slices.DeleteFunc(p.loaded, func(l *segment) bool { return l == s })
		errs = append(errs, s.unload(), os.Remove(p.path(s)))
	}
	return errors.Join(errs...)
}

// used keeps a segment in memory, in the place of the one that was not used for
// longest. The caller holds the lock of old ones.
func (p *payloads) used(s *segment) {
	p.loaded = append(slices.DeleteFunc(p.loaded, func(l *segment) bool { return l == s }), s)
	if len(p.loaded) > maxLoaded {
		p.loaded[0].unload()
		p.loaded = p.loaded[1:]
	}
}

func (s *segment) unload() error {
	if s.journal == nil {
		return nil
	}
	err := s.journal.Close()
	s.journal, s.index = nil, nil
	return err
}

// find gives the payload of a message that stands in a block; nil if the store has
// dropped it.
func (p *payloads) find(id zone.HID, block uint64) ([]byte, error) {
	p.mu.Lock()
	n := len(p.segments)
	for n > 0 && p.segments[n-1].head.height > block {
		n--
	}
	if n == 0 {
		p.mu.Unlock()
		return nil, nil
	}
	s := p.segments[n-1]
	if n == len(p.segments) {
		defer p.mu.Unlock()
		return s.read(id)
	}
	p.mu.Unlock() // whoever stores does not wait for old files
	p.old.Lock()
	defer p.old.Unlock()
	if s.journal == nil {
		if err := p.load(s, journal.View); errors.Is(err, os.ErrNotExist) {
			return nil, nil // dropped meanwhile
		} else if err != nil {
			return nil, err
		}
	}
	p.used(s)
	return s.read(id)
}

func (s *segment) read(id zone.HID) ([]byte, error) {
	rec, ok := s.index[prefix(id)]
	if !ok {
		return nil, nil
	}
	raw, err := s.journal.Read(int(rec))
	if err != nil || zone.HID(raw[:32]) != id {
		return nil, err
	}
	return raw[32:], nil
}

func (p *payloads) droppedSoFar() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped
}

func (p *payloads) close() error {
	var errs []error
	for _, s := range p.segments {
		errs = append(errs, s.unload())
	}
	return errors.Join(errs...)
}

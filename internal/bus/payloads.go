package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// payloadKind is the kind of the journals that payloads are kept in. Record 0 is a
// segment's head, and the others are payloads with what is known of them.
const payloadKind = "payloads"

const (
	segmentGlob    = "payloads-*.log"
	segmentName    = "payloads-%08d.log"
	segmentBytes   = 16 << 20 // begins another one
	segmentRecords = 1 << 16  // likewise
	maxLoaded      = 4        // older segments with their index in memory
)

// payloads keeps the payloads of messages in segments. A message's payload is in
// the newest segment that was begun no later than the block that it stands in: a
// payload is stored before its block is made, and a segment is begun only when
// nothing is between the two. retain.go has what is kept of them, and how long.
type payloads struct {
	dir     string
	keep    time.Duration
	keepMax int64
	full    int64 // bytes that begin another segment
	log     *slog.Logger

	// Of the goroutine that stores.
	bytes   int64 // of all segments
	senders map[zone.MemberID]*sender
	making  bool  // room: some senders have an excess
	work    int64 // bytes of segments that may be written anew before the next payload; below 0 they were

	mu       sync.Mutex // guards what follows; whoever stores reads it without
	segments []*segment // oldest first; the last one is written
	next     zone.SeqID // of the next payload
	dropped  int64      // payloads that were removed by age or size

	turn   sync.Mutex // of who reads an old segment, taken before old: so whoever stores waits for one of them, not for all
	old    sync.Mutex // guards the journals and indexes of all segments but the last; taken after mu, or alone
	loaded []*segment // those in memory, by last use
}

type segment struct {
	number   uint64
	head     head
	bytes    int64 // of the file
	records  int   // payloads in it
	tally    map[*sender]share
	journal  *journal.Journal  // nil: not in memory
	index    map[uint64]uint32 // record by the first 8 bytes of the H-ID
	into     *segment          // that it was merged into; nil: it is there
	rotten   bool              // its first line or its head cannot be read
	headless bool              // likewise, its head
	told     atomic.Bool       // the log says that something of it cannot be read
}

func openPayloads(dir string, keep time.Duration, keepMax int64, log *slog.Logger) (*payloads, error) {
	p := &payloads{dir: dir, keep: keep, keepMax: max(keepMax, 2*segmentBytes), full: segmentBytes, log: log, next: 1, senders: map[zone.MemberID]*sender{}}
	paths, err := segmentsIn(dir)
	if err != nil {
		return nil, err
	}
	through := uint64(0) // the segments up to there were merged
	for i, path := range paths {
		s := &segment{tally: map[*sender]share{}}
		if _, err := fmt.Sscanf(filepath.Base(path), segmentName, &s.number); err != nil {
			return nil, fmt.Errorf("%s is not a segment of payloads", path)
		}
		if i > 0 && s.number <= through { // a crash left it behind its contents
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		if err := p.readHead(s); err != nil {
			return nil, err
		}
		through = s.head.Through
		p.segments = append(p.segments, s)
	}
	if err := p.countAll(); err != nil {
		return nil, err
	}
	return p, p.mend()
}

// mend writes segments anew whose head is lost, as one with the segment before: what
// it says of blocks holds for both. Then it opens the last one to be written, anew too
// if it is damaged.
func (p *payloads) mend() error {
	for hi := len(p.segments); hi > 0; hi-- {
		lo := hi - 1
		if !p.segments[lo].rotten {
			continue
		}
		for lo > 0 && p.segments[lo].headless {
			lo--
		}
		if err := p.rewrite(lo, hi); err != nil {
			return err
		}
		hi = lo + 1
	}
	for n := len(p.segments); n > 0; n = len(p.segments) {
		s := p.segments[n-1]
		err := p.loadLast(s)
		if damage := (*journal.DamageError)(nil); !errors.As(err, &damage) {
			return err
		}
		p.tell(s, err)
		if err := p.rewrite(n-1, n); err != nil {
			return err
		}
	}
	return nil
}

// tell says in the log, once for each segment, that something of it cannot be read.
func (p *payloads) tell(s *segment, err error) {
	if !s.told.Swap(true) {
		p.log.Error("contents of messages cannot be read, and count as expired", "file", p.path(s), "error", err)
	}
}

// segmentsIn gives the segments' paths. It removes what a crash left unfinished.
func segmentsIn(dir string) ([]string, error) {
	unfinished, err := filepath.Glob(filepath.Join(dir, ".new-"+segmentGlob))
	if err != nil {
		return nil, err
	}
	for _, path := range unfinished {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	paths, err := filepath.Glob(filepath.Join(dir, segmentGlob))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	return withoutEmpty(paths)
}

// withoutEmpty removes the last segment if a crash left it without its head.
func withoutEmpty(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return paths, nil
	}
	last := len(paths) - 1
	for _, err := range journal.Scan(paths[last], payloadKind) {
		if torn := (*journal.TornError)(nil); errors.As(err, &torn) {
			break
		}
		return paths, nil
	}
	return paths[:last], os.Remove(paths[last])
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
		damage, torn := (*journal.DamageError)(nil), (*journal.TornError)(nil)
		switch {
		case errors.As(err, &damage) && damage.Record < 0:
			s.rotten = true
			p.tell(s, err)
			continue
		case err == nil && rec.Number == 0:
			s.head, err = parseHead(rec.Payload)
			return err
		case s.rotten: // it may be no such journal at all
			return fmt.Errorf("%s has neither a first line nor a head that can be read; move it away", p.path(s))
		case err != nil && !errors.As(err, &damage) && !errors.As(err, &torn):
			return err
		}
		break
	}
	s.rotten, s.headless = true, true
	p.tell(s, errors.New("it has no head that can be read"))
	return nil
}

// load reads the index of an older segment into memory, as far as it can be read.
func (p *payloads) load(s *segment) (err error) {
	index := map[uint64]uint32{}
	s.journal, err = journal.Salvage(p.path(s), payloadKind, p.indexing(s, index), func(err error) { p.tell(s, err) })
	s.index = index
	return err
}

// loadLast opens the segment that is written to. Its unfinished end is cut off.
func (p *payloads) loadLast(s *segment) (err error) {
	index := map[uint64]uint32{}
	if s.journal, err = journal.Open(p.path(s), payloadKind, p.indexing(s, index)); err != nil {
		return err
	}
	s.index = index
	s.bytes -= s.journal.Torn()
	p.bytes -= s.journal.Torn()
	return nil
}

// indexing reads records into an index.
func (p *payloads) indexing(s *segment, index map[uint64]uint32) func(int, []byte) error {
	return func(rec int, raw []byte) error {
		if rec == 0 {
			return nil // the head
		}
		one, err := parseStored(raw)
		if err != nil {
			p.tell(s, err)
			return nil
		}
		index[prefix(one.id)] = uint32(rec)
		return nil
	}
}

// add stores payloads durably. Height is the ledger's: whatever is stored here
// comes into a block that is not below it.
func (p *payloads) add(height uint64, now zone.Time, all []stored) error {
	raws := make([][]byte, len(all))
	size := int64(0)
	for i := range all {
		all[i].seq = p.next + zone.SeqID(i)
		raws[i] = all[i].bytes()
		size += int64(len(raws[i]) + journal.Overhead)
	}
	if err := p.makeRoom(height, now, size); err != nil {
		return err
	}
	s, err := p.open(height, now)
	if err != nil {
		return err
	}
	first := s.journal.Len()
	if err := s.journal.Append(raws...); err != nil {
		return err
	}
	for i, one := range all {
		p.count(s, one.from, share{1, uint32(len(raws[i]) + journal.Overhead)})
	}
	s.bytes += size
	p.bytes += size
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, one := range all {
		s.index[prefix(one.id)] = uint32(first + i)
	}
	p.next += zone.SeqID(len(all))
	return nil
}

// open gives the segment to write to, a new one when the newest is full or old.
func (p *payloads) open(height uint64, now zone.Time) (*segment, error) {
	if n := len(p.segments); n > 0 {
		s := p.segments[n-1]
		old := p.keep > 0 && now.Sub(s.head.Begun) > p.keep/8
		if s.bytes < p.full && s.records < segmentRecords && !(old && s.records > 0) {
			return s, nil
		}
	}
	s, err := p.begin(height, now)
	if err != nil {
		return nil, err
	}
	return s, p.expire(now)
}

// begin begins another segment.
func (p *payloads) begin(height uint64, now zone.Time) (*segment, error) {
	s := &segment{head: head{Base: p.next, Height: height, Begun: now}, tally: map[*sender]share{}, index: map[uint64]uint32{}}
	if n := len(p.segments); n > 0 {
		s.number = p.segments[n-1].through() + 1
		s.head.Before = listed(p.segments[n-1].tally)
	}
	var err error
	if s.journal, err = journal.Open(p.path(s), payloadKind, nil); err != nil {
		return nil, err
	}
	raw := s.head.bytes()
	if err := s.journal.Append(raw); err != nil {
		return nil, err
	}
	s.bytes = int64(len(raw) + journal.Overhead)
	p.bytes += s.bytes
	p.mu.Lock()
	defer p.mu.Unlock()
	p.segments = append(p.segments, s)
	if n := len(p.segments); n > 1 {
		p.old.Lock()
		defer p.old.Unlock()
		p.used(p.segments[n-2])
	}
	return s, nil
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

// forget takes a segment out of memory that is no more, or another one. The caller
// holds the lock of old ones.
func (p *payloads) forget(s *segment) error {
	p.loaded = slices.DeleteFunc(p.loaded, func(l *segment) bool { return l == s })
	return s.unload()
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
	for n > 0 && p.segments[n-1].head.Height > block {
		n--
	}
	if n == 0 {
		p.mu.Unlock()
		return nil, nil
	}
	s := p.segments[n-1]
	if n == len(p.segments) {
		defer p.mu.Unlock()
		return p.read(s, id)
	}
	p.mu.Unlock()
	p.turn.Lock()
	defer p.turn.Unlock()
	p.old.Lock()
	defer p.old.Unlock()
	for s.into != nil {
		s = s.into
	}
	if s.journal == nil {
		if err := p.load(s); errors.Is(err, os.ErrNotExist) {
			return nil, nil // dropped meanwhile
		} else if err != nil {
			return nil, err
		}
	}
	p.used(s)
	return p.read(s, id)
}

// read gives a payload of a segment in memory; nil if it has none that can be read.
func (p *payloads) read(s *segment, id zone.HID) ([]byte, error) {
	rec, ok := s.index[prefix(id)]
	if !ok {
		return nil, nil
	}
	raw, err := s.journal.Read(int(rec))
	if damage := (*journal.DamageError)(nil); errors.As(err, &damage) {
		p.tell(s, err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	one, err := parseStored(raw)
	if err != nil || one.id != id {
		return nil, err
	}
	return one.payload, nil
}

// through is the number of the last segment whose contents are in this one.
func (s *segment) through() uint64 { return max(s.number, s.head.Through) }

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

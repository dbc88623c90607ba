package follower

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"bellwether/internal/canonical"
	"bellwether/internal/durable"
	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// The bounds of the inbox.
const (
	MaxInbox    = 64 << 20 // bytes; above them nothing more is taken until the application is done with some
	segmentSize = 1 << 20  // bytes of one file, about
)

// delivered is a message as the master delivered it.
type delivered struct {
	_        struct{} `cbor:",toarray"`
	Position uint64
	Received zone.Time
	Object   []byte
	Payload  []byte
}

// inbox keeps what was delivered, durably, until the application is done with it.
// Its files are journals of kind "inbox", each named by the newest position before
// it, so that the newest position is known even when all of them are empty.
type inbox struct {
	mu       sync.Mutex
	dir      string
	segments []*segment // by position; messages are added to the last
	log      *journal.Journal
	last     uint64        // the newest position
	bytes    int64         // of all files, about
	limit    int64         // of bytes
	changed  chan struct{} // closed when there is more
	freed    chan struct{} // has an element when there is room again
}

type segment struct {
	path  string
	last  uint64 // the newest position in it, or before it if it is empty
	bytes int64
}

const inboxKind = "inbox"

func openInbox(dir string, limit int64) (*inbox, error) {
	in := &inbox{dir: dir, limit: limit, changed: make(chan struct{}), freed: make(chan struct{}, 1)}
	names, err := filepath.Glob(filepath.Join(dir, inboxPrefix+"*.log"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	if len(names) == 0 {
		return in, in.begin()
	}
	for i, path := range names {
		if err := in.load(path, i == len(names)-1); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// load reads a file of the inbox, and opens the newest to append to.
func (in *inbox) load(path string, newest bool) error {
	before, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), inboxPrefix), ".log"), 10, 64)
	if err != nil || before < in.last {
		return fmt.Errorf("%s: this file is none of the inbox's", path)
	}
	s := &segment{path: path, last: before}
	read := func(rec int, payload []byte) error {
		var d delivered
		if err := canonical.Unmarshal(payload, &d); err != nil || d.Position <= s.last {
			return fmt.Errorf("%s: record %d is no message behind position %d", path, rec, s.last)
		}
		s.last = d.Position
		s.bytes += int64(len(payload))
		return nil
	}
	log, err := journal.Open(path, inboxKind, read)
	if err != nil {
		return err
	}
	if newest {
		in.log = log
	} else if err := log.Close(); err != nil {
		return err
	}
	in.last = s.last
	in.bytes += s.bytes
	in.segments = append(in.segments, s)
	return nil
}

// begin opens a new file.
func (in *inbox) begin() error {
	path := filepath.Join(in.dir, fmt.Sprintf("%s%020d.log", inboxPrefix, in.last))
	log, err := journal.Open(path, inboxKind, nil)
	if err != nil {
		return err
	}
	if in.log != nil {
		if err := in.log.Close(); err != nil {
			return err
		}
	}
	in.log = log
	in.segments = append(in.segments, &segment{path: path, last: in.last})
	return nil
}

// segment gives how many bytes a file has before the next is begun.
func (in *inbox) segment() int64 { return min(segmentSize, in.limit/4) }

// newest gives the newest position.
func (in *inbox) newest() uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.last
}

// full reports that there is no room now.
func (in *inbox) full() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.bytes >= in.limit
}

// store makes messages durable, in one go. Those at positions that it has seen
// are dropped.
func (in *inbox) store(messages []delivered) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	last, size := in.last, int64(0)
	var payloads [][]byte
	for _, m := range messages {
		if m.Position <= last {
			continue
		}
		b, err := canonical.Marshal(m)
		if err != nil {
			return err
		}
		payloads, last, size = append(payloads, b), m.Position, size+int64(len(b))
	}
	if len(payloads) == 0 {
		return nil
	}
	if in.segments[len(in.segments)-1].bytes >= in.segment() {
		if err := in.begin(); err != nil {
			return err
		}
	}
	if err := in.log.Append(payloads...); err != nil {
		return err
	}
	s := in.segments[len(in.segments)-1]
	s.last, s.bytes = last, s.bytes+size
	in.last, in.bytes = last, in.bytes+size
	close(in.changed)
	in.changed = make(chan struct{})
	return nil
}

// done takes away the files in which nothing is above a position: the application
// needs them no more.
func (in *inbox) done(position uint64) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	newest := in.segments[len(in.segments)-1]
	if newest.last <= position && newest.bytes >= in.segment() {
		if err := in.begin(); err != nil {
			return err
		}
	}
	for len(in.segments) > 1 && in.segments[0].last <= position {
		if err := os.Remove(in.segments[0].path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		in.bytes -= in.segments[0].bytes
		in.segments = in.segments[1:]
	}
	select {
	case in.freed <- struct{}{}:
	default:
	}
	return durable.SyncDir(in.dir)
}

// read gives every message from a position on to f, as far as there are any now.
// It gives the position to go on from, and a channel that is closed when there is
// more.
func (in *inbox) read(from uint64, f func(*delivered) error) (next uint64, more <-chan struct{}, err error) {
	in.mu.Lock()
	last := in.last
	var paths []string
	for _, s := range in.segments {
		if s.last >= from {
			paths = append(paths, s.path)
		}
	}
	more = in.changed
	in.mu.Unlock()
	for _, path := range paths {
		if from, err = readSegment(path, from, last, f); err != nil {
			return from, more, err
		}
	}
	return max(from, last+1), more, nil
}

// readSegment gives the messages of one file. What is being written behind last
// is left out, and a file that is gone is one the application was done with.
func readSegment(path string, from, last uint64, f func(*delivered) error) (next uint64, err error) {
	for r, err := range journal.Scan(path, inboxKind) {
		var torn *journal.TornError
		switch {
		case errors.As(err, &torn), errors.Is(err, os.ErrNotExist):
			return from, nil
		case err != nil:
			return from, err
		}
		var d delivered
		if err := canonical.Unmarshal(r.Payload, &d); err != nil {
			return from, fmt.Errorf("%s: record %d: %w", path, r.Number, err)
		}
		if d.Position > last {
			return from, nil
		}
		if d.Position < from {
			continue
		}
		if err := f(&d); err != nil {
			return from, err
		}
		from = d.Position + 1
	}
	return from, nil
}

func (in *inbox) Close() error { return in.log.Close() }

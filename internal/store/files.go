package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"bellwether/internal/durable"
	"bellwether/internal/journal"
)

// listing is what lies in the store's directory.
type listing struct {
	segments  map[uint64]bool
	temporary []string // leftovers of a write that did not finish
	unknown   []string
}

func (s *Store) files() (*listing, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	l := &listing{segments: map[uint64]bool{}}
	for _, e := range entries {
		name := e.Name()
		n, isSegment := segmentNumber(name)
		switch {
		case name == ManifestFile:
		case durable.IsTemporary(name) && e.Type().IsRegular():
			l.temporary = append(l.temporary, name)
		case !isSegment || !e.Type().IsRegular():
			l.unknown = append(l.unknown, name)
		default:
			l.segments[n] = true
		}
	}
	return l, nil
}

// SegmentFiles gives the names of the segment files that a store's manifest names
// in its first size bytes and does not say are removed there, in order. The store
// may be in use.
func SegmentFiles(dir string, size int64) ([]string, error) {
	x := newIndex()
	for rec, err := range journal.Scan(filepath.Join(dir, ManifestFile), manifestKind) {
		if err == nil && rec.Offset >= size {
			break
		}
		var r *record
		if err == nil {
			r, err = decodeRecord(rec.Payload)
		}
		if err == nil {
			err = x.apply(r)
		}
		if torn := (*journal.TornError)(nil); err != nil && !errors.As(err, &torn) {
			return nil, fmt.Errorf("store %s: %w", dir, err)
		}
	}
	var names []string
	for _, seg := range x.segments[x.gone:] {
		names = append(names, seg.File)
	}
	return names, nil
}

// IsSegmentFile reports the name of a segment's file.
func IsSegmentFile(name string) bool {
	_, ok := segmentNumber(name)
	return ok
}

func segmentNumber(name string) (n uint64, ok bool) {
	_, err := fmt.Sscanf(name, "segment-%d.parquet", &n)
	return n, err == nil && n > 0 && segmentFile(n) == name
}

// sweep removes what a crash left unfinished: nothing of it was acknowledged.
// A segment further on than the next one was, so then the manifest is short of
// records and nothing is removed.
func (s *Store) sweep() error {
	l, err := s.files()
	if err != nil {
		return err
	}
	next := uint64(len(s.index.segments)) + 1
	doomed := l.temporary
	for n := range l.segments {
		switch {
		case n > next:
			s.damage = fmt.Errorf("the manifest ends at segment %d, but there is %s: it has lost records; restore it from a copy", next-1, segmentFile(n))
			return nil
		case n == next || s.index.segments[n-1].Removed:
			doomed = append(doomed, segmentFile(n))
		}
	}
	s.swept = len(doomed)
	return s.discard(doomed)
}

// discard removes files for good. One that is gone already is no error.
func (s *Store) discard(names []string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if len(names) == 0 {
		return nil
	}
	return durable.SyncDir(s.dir)
}

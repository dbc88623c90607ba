package store

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"bellwether/internal/zone"
)

// maxSegment bounds a segment file: MaxRows rows take at most about 12 MiB.
const maxSegment = 32 << 20

// RemovedError says that rows were asked for that retention has removed.
type RemovedError struct {
	First, Last zone.SeqID // of the segment
	At          zone.Time
}

func (e *RemovedError) Error() string {
	return fmt.Sprintf("SEQ %d to %d were removed by retention at %s", e.First, e.Last, e.At)
}

// DamageError says that a segment file is not as it was written.
type DamageError struct {
	File        string
	First, Last zone.SeqID
	Reason      string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s with SEQ %d to %d is damaged: %s; verify the store to see where", e.File, e.First, e.Last, e.Reason)
}

// load reads all rows of a segment and checks that they are what was stored.
func (s *Store) load(seg *Segment) ([]row, error) {
	if seg.Removed {
		return nil, &RemovedError{seg.First, seg.Last, seg.RemovedAt}
	}
	b, err := s.read(seg)
	if err != nil {
		if now, ok := s.removedSince(seg); ok {
			return nil, now
		}
		return nil, err
	}
	damage := func(format string, args ...any) error {
		return &DamageError{filepath.Join(s.dir, seg.File), seg.First, seg.Last, fmt.Sprintf(format, args...)}
	}
	if sum := zone.Hash(sha256.Sum256(b)); sum != seg.SHA256 {
		return nil, damage("%d bytes with SHA-256 %s, want %d with %s", len(b), sum.Short(), seg.Bytes, seg.SHA256.Short())
	}
	c, err := decode(b, s.cols)
	if err != nil {
		return nil, fmt.Errorf("%s is as it was written, but by another version or with other feature names: %w", filepath.Join(s.dir, seg.File), err)
	}
	if len(c.flaws) > 0 {
		return nil, damage("%v", &c.flaws[0])
	}
	if want := int(seg.Last-seg.First) + 1; len(c.rows) != want {
		return nil, damage("%d rows, want %d", len(c.rows), want)
	}
	for i := range c.rows {
		if reason := c.rows[i].wrong(seg.First + zone.SeqID(i)); reason != "" {
			return nil, damage("row %d: %s", i, reason)
		}
	}
	return c.rows, nil
}

// wrong says what is wrong with a row that should be number seq.
func (r *row) wrong(seq zone.SeqID) string {
	switch h := r.LeafHash(); {
	case h != r.hash:
		return fmt.Sprintf("its content has the hash %s, its hash column says %s", h.Short(), r.hash.Short())
	case r.Seq != seq:
		return fmt.Sprintf("it is SEQ %d, want %d", r.Seq, seq)
	}
	return ""
}

// read gives the file's bytes, at most one more than maxSegment.
func (s *Store) read(seg *Segment) ([]byte, error) {
	f, err := os.Open(filepath.Join(s.dir, seg.File))
	if err != nil {
		return nil, fmt.Errorf("read segment %d with SEQ %d to %d: %w", seg.Number, seg.First, seg.Last, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSegment+1))
	if err != nil {
		return nil, fmt.Errorf("read segment %d: %w", seg.Number, err)
	}
	return b, nil
}

// removedSince reports that retention removed a segment after seg was copied.
func (s *Store) removedSince(seg *Segment) (error, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.index.segments[seg.Number-1]
	return &RemovedError{now.First, now.Last, now.RemovedAt}, now.Removed
}

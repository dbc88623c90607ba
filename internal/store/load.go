package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
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

// Rows gives the rows from SEQ-ID from to SEQ-ID to, both included, in order:
// those of one device, or of all with the zero device. From 0 is the first that
// retention has kept, to 0 the last. Every row is checked against its hash.
//
// An error ends the sequence: a [*RemovedError] when retention took a part of
// what was asked for, a [*DamageError] when a file is not as it was written, or
// the context's. The rows are the loop's to keep; each keeps its whole segment
// in memory.
func (s *Store) Rows(ctx context.Context, from, to zone.SeqID, device zone.MAC) iter.Seq2[*zone.Snapshot, error] {
	return func(yield func(*zone.Snapshot, error) bool) {
		if from == 0 {
			from = s.First()
		}
		if to == 0 {
			to = s.Last()
		}
		for _, seg := range s.between(from, to) {
			if _, ok := seg.Range(device); !ok && device != (zone.MAC{}) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			rows, err := s.load(&seg)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yieldRows(rows, from, to, device, yield) {
				return
			}
		}
	}
}

func yieldRows(rows []row, from, to zone.SeqID, device zone.MAC, yield func(*zone.Snapshot, error) bool) bool {
	for i := range rows {
		r := &rows[i].Snapshot
		if r.Seq < from || r.Seq > to || device != (zone.MAC{}) && r.Device != device {
			continue
		}
		if !yield(r, nil) {
			return false
		}
	}
	return true
}

// between gives the segments with rows from from to to.
func (s *Store) between(from, to zone.SeqID) []Segment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found []Segment
	for i, ok := s.index.at(from); ok && i < len(s.index.segments) && s.index.segments[i].First <= to; i++ {
		found = append(found, s.index.segments[i])
	}
	return found
}

// Proof shows that a row is one of those that a range's root stands for
// (RFC 6962, section 2.1.1).
type Proof struct {
	Snapshot zone.Snapshot
	Segment  Segment
	Range    Range
	Index    uint64      // of the row among the device's rows in the segment, from 0
	Path     []zone.Hash // inclusion proof, from the leaf upwards
}

// Prove gives the row under seq and the proof that it belongs to its device's
// range; with the range's root from the ledger, anybody can check it.
func (s *Store) Prove(seq zone.SeqID) (Proof, error) {
	proofs, err := s.ProveAll([]zone.SeqID{seq})
	if err != nil {
		return Proof{}, err
	}
	return proofs[0], nil
}

// ProveAll gives the proofs of many rows in the order asked for. It reads a
// segment once for all neighbouring rows of it, so ascending order is cheapest.
func (s *Store) ProveAll(seqs []zone.SeqID) ([]Proof, error) {
	proofs := make([]Proof, 0, len(seqs))
	var l lookup
	for _, seq := range seqs {
		if err := s.lookup(&l, seq); err != nil {
			return nil, fmt.Errorf("prove SEQ %d: %w", seq, err)
		}
		proofs = append(proofs, l.proof(seq))
	}
	return proofs, nil
}

// lookup is a segment in memory with the trees of the devices asked for.
type lookup struct {
	seg   Segment
	rows  []row
	trees map[zone.MAC]tree
	place []int // of each row among its device's
}

// lookup loads the segment of seq unless it is loaded.
func (s *Store) lookup(l *lookup, seq zone.SeqID) error {
	if l.rows != nil && seq >= l.seg.First && seq <= l.seg.Last {
		return nil
	}
	found := s.between(seq, seq)
	if len(found) == 0 {
		return errors.New("there is no such row")
	}
	rows, err := s.load(&found[0])
	if err != nil {
		return err
	}
	*l = lookup{seg: found[0], rows: rows, trees: map[zone.MAC]tree{}, place: make([]int, len(rows))}
	leaves := map[zone.MAC][]zone.Hash{}
	for i := range rows {
		d := rows[i].Device
		l.place[i] = len(leaves[d])
		leaves[d] = append(leaves[d], rows[i].hash)
	}
	for d, hashes := range leaves {
		l.trees[d] = newTree(hashes)
	}
	return nil
}

func (l *lookup) proof(seq zone.SeqID) Proof {
	i := int(seq - l.seg.First)
	device := l.rows[i].Device
	r, _ := l.seg.Range(device)
	return Proof{Snapshot: l.rows[i].Snapshot, Segment: l.seg, Range: r, Index: uint64(l.place[i]), Path: l.trees[device].path(l.place[i])}
}

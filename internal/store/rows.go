package store

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"bellwether/internal/zone"
)

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

// Named gives the rows with the SEQ-IDs, which are in order. It reads each
// segment that holds one once, and has the errors of Rows.
func (s *Store) Named(ctx context.Context, seqs []zone.SeqID) iter.Seq2[*zone.Snapshot, error] {
	return func(yield func(*zone.Snapshot, error) bool) {
		for len(seqs) > 0 {
			seg, ok := s.SegmentOf(seqs[0])
			if !ok {
				yield(nil, fmt.Errorf("SEQ %d: the store ends with SEQ %d", seqs[0], s.Last()))
				return
			}
			n, _ := slices.BinarySearch(seqs, seg.Last+1)
			for row, err := range s.Rows(ctx, seqs[0], seqs[n-1], zone.MAC{}) {
				_, named := slices.BinarySearch(seqs[:n], rowSeq(row))
				if (named || err != nil) && !yield(row, err) {
					return
				}
				if err != nil {
					return
				}
			}
			seqs = seqs[n:]
		}
	}
}

func rowSeq(s *zone.Snapshot) zone.SeqID {
	if s == nil {
		return 0
	}
	return s.Seq
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

// SegmentOf gives the segment that holds the snapshot with the SEQ-ID, also if
// retention has removed it.
func (s *Store) SegmentOf(seq zone.SeqID) (Segment, bool) {
	found := s.between(seq, seq)
	if len(found) == 0 {
		return Segment{}, false
	}
	return found[0], true
}

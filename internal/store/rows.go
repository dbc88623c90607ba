package store

import (
	"context"
	"iter"

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

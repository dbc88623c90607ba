package store

import "bellwether/internal/zone"

// SegmentOf gives the segment that holds the snapshot with the SEQ-ID, also if
// retention has removed it.
func (s *Store) SegmentOf(seq zone.SeqID) (Segment, bool) {
	found := s.between(seq, seq)
	if len(found) == 0 {
		return Segment{}, false
	}
	return found[0], true
}

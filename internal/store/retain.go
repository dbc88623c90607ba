package store

import (
	"fmt"

	"bellwether/internal/zone"
)

// Retain removes segments as Options.MaxAge and MaxBytes demand, whole and
// oldest first, and gives those that it removed. The newest segment never goes
// for its size, only for its age. What the manifest says of a removed segment
// stays: its ranges, roots and receipts.
//
// The manifest has the removal before the file goes. A crash between the two
// leaves the file to the next Open; an error here leaves it so too.
func (s *Store) Retain(now zone.Time) ([]Segment, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.damage != nil {
		return nil, fmt.Errorf("retain: %w", s.damage)
	}
	doomed := s.doomed(now)
	if len(doomed) == 0 {
		return nil, nil
	}
	records := make([]*record, len(doomed))
	names := make([]string, len(doomed))
	for i, seg := range doomed {
		records[i], names[i] = &record{Removal: &removal{seg.Number, now}}, seg.File
	}
	if err := s.commit(records...); err != nil {
		return nil, fmt.Errorf("retain: %w", err)
	}
	if err := s.discard(names); err != nil {
		return doomed, fmt.Errorf("retain: %w", err)
	}
	return doomed, nil
}

// Forget removes every segment, as Retain removes what is too old. It is for a
// copy of a store that was made without them: a file that is missing is no error.
func (s *Store) Forget(now zone.Time) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.damage != nil {
		return fmt.Errorf("forget rows: %w", s.damage)
	}
	var records []*record
	var names []string
	for _, seg := range s.index.segments[s.index.gone:] {
		records, names = append(records, &record{Removal: &removal{seg.Number, now}}), append(names, seg.File)
	}
	if err := s.commit(records...); err != nil {
		return fmt.Errorf("forget rows: %w", err)
	}
	if err := s.discard(names); err != nil {
		return fmt.Errorf("forget rows: %w", err)
	}
	return nil
}

// doomed gives the segments that have to go, marked so.
func (s *Store) doomed(now zone.Time) []Segment {
	var doomed []Segment
	left := s.index.bytes
	kept := s.index.segments[s.index.gone:]
	for i, seg := range kept {
		old := s.options.MaxAge > 0 && now.Sub(seg.newest()) > s.options.MaxAge
		full := s.options.MaxBytes > 0 && left > s.options.MaxBytes && i < len(kept)-1
		if !old && !full {
			break
		}
		left -= seg.Bytes
		seg.Removed, seg.RemovedAt = true, now
		doomed = append(doomed, seg)
	}
	return doomed
}

package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"bellwether/internal/durable"
	"bellwether/internal/zone"
)

// DivergedError says that rows appended once more are not the rows that are
// stored: two histories of the same zone.
type DivergedError struct {
	Seq    zone.SeqID // the first row that differs
	Reason string
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("the rows differ from the stored ones from SEQ %d on: %s", e.Seq, e.Reason)
}

// Append stores rows as one segment, 1 to MaxRows of them, whose SEQ-IDs go on
// from Last without a gap. On return the file and its manifest record are
// durable.
//
// Append may be called again with rows that are stored: if they are exactly one
// segment, that segment is the answer and nothing is written; if they are not,
// the error is a [*DivergedError]. So after a crash, or an error that left open
// whether the rows are there, the caller opens the store anew and appends the
// same rows.
func (s *Store) Append(rows []zone.Snapshot) (Segment, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.damage != nil {
		return Segment{}, fmt.Errorf("append rows: %w", s.damage)
	}
	if err := checkRows(rows, s.Last()); err != nil {
		return Segment{}, fmt.Errorf("append rows: %w", err)
	}
	hashed := hashed(rows)
	ranges := summarise(hashed)
	if rows[0].Seq <= s.Last() {
		return s.again(hashed, ranges)
	}
	seg, err := s.write(hashed, ranges)
	if err != nil {
		return Segment{}, fmt.Errorf("append rows: %w", err)
	}
	return seg, nil
}

func checkRows(rows []zone.Snapshot, last zone.SeqID) error {
	if len(rows) == 0 || len(rows) > MaxRows {
		return fmt.Errorf("%d rows, want 1 to %d", len(rows), MaxRows)
	}
	if first := rows[0].Seq; first == 0 || first > last+1 {
		return fmt.Errorf("the first row has SEQ %d, want %d", first, last+1)
	}
	for i := range rows {
		r := &rows[i]
		if want := rows[0].Seq + zone.SeqID(i); r.Seq != want {
			return fmt.Errorf("row %d has SEQ %d, want %d", i, r.Seq, want)
		}
		if r.Label > zone.Malicious {
			return fmt.Errorf("SEQ %d has %v", r.Seq, r.Label)
		}
	}
	return nil
}

// write stores rows as the next segment.
func (s *Store) write(rows []row, ranges []Range) (Segment, error) {
	b, err := encodeSegment(rows, s.cols, s.index.head.Zone)
	if err != nil {
		return Segment{}, err
	}
	f := &filed{
		Number: uint64(len(s.index.segments)) + 1,
		First:  rows[0].Seq,
		Last:   rows[len(rows)-1].Seq,
		Bytes:  int64(len(b)),
		SHA256: sha256.Sum256(b),
		Ranges: ranges,
		Blocks: blockSums(b),
	}
	// After a crash the manifest may not name the file; sweep removes it then.
	if err := durable.WriteFile(filepath.Join(s.dir, segmentFile(f.Number)), b, 0o600); err != nil {
		return Segment{}, err
	}
	if err := s.commit(&record{Filed: f}); err != nil {
		return Segment{}, err
	}
	return f.segment(), nil
}

// encodeSegment gives the bytes of a segment file.
func encodeSegment(rows []row, cols []column, zoneID string) ([]byte, error) {
	var b bytes.Buffer
	e := newEncoder(&b, cols, map[string]string{
		"bellwether.format":    strconv.Itoa(format1),
		"bellwether.zone":      zoneID,
		"bellwether.first_seq": strconv.FormatUint(uint64(rows[0].Seq), 10),
		"bellwether.last_seq":  strconv.FormatUint(uint64(rows[len(rows)-1].Seq), 10),
	})
	if err := e.write(rows); err != nil {
		return nil, err
	}
	if err := e.close(); err != nil {
		return nil, err
	}
	if b.Len() > maxSegment {
		return nil, fmt.Errorf("a segment of %d bytes is over the limit of %d", b.Len(), maxSegment)
	}
	return b.Bytes(), nil
}

// again answers for rows that begin within what is stored.
func (s *Store) again(rows []row, ranges []Range) (Segment, error) {
	first, last := rows[0].Seq, rows[len(rows)-1].Seq
	i, _ := s.index.at(first)
	seg := s.index.segments[i]
	if seg.First == first && seg.Last == last && slices.Equal(seg.Ranges, ranges) {
		return seg, nil
	}
	stored, err := s.load(&seg)
	if removed := (*RemovedError)(nil); err != nil && !errors.As(err, &removed) {
		return Segment{}, fmt.Errorf("append rows once more: %w", err)
	}
	return Segment{}, diverged(rows, stored, &seg)
}

// diverged finds the first row that is not as stored; stored is empty when the
// segment can no longer be read.
func diverged(rows, stored []row, seg *Segment) error {
	for i := range rows {
		r := &rows[i]
		if j := int(r.Seq - seg.First); j < len(stored) && stored[j].hash != r.hash {
			return &DivergedError{r.Seq, fmt.Sprintf("device %s at %s is stored, device %s at %s is given", stored[j].Device, stored[j].Time, r.Device, r.Time)}
		}
	}
	held := fmt.Sprintf("segment %d holds SEQ %d to %d", seg.Number, seg.First, seg.Last)
	switch last := rows[len(rows)-1].Seq; {
	case rows[0].Seq != seg.First:
		return &DivergedError{rows[0].Seq, "a segment does not begin there: " + held}
	case last != seg.Last:
		return &DivergedError{min(last, seg.Last) + 1, "the segment ends elsewhere: " + held}
	}
	return &DivergedError{seg.First, held + " with other content, which retention has removed"}
}

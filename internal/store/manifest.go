package store

import (
	"errors"
	"fmt"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

const (
	ManifestFile = "manifest" // the journal of a store
	manifestKind = "store"
	format1      = 1
)

// head is the manifest's first record.
type head struct {
	Format int    `cbor:"1,keyasint"`
	Zone   string `cbor:"2,keyasint"`
}

// filed is the record of a segment.
type filed struct {
	Number uint64     `cbor:"1,keyasint"`
	First  zone.SeqID `cbor:"2,keyasint"`
	Last   zone.SeqID `cbor:"3,keyasint"`
	Bytes  int64      `cbor:"4,keyasint"`
	SHA256 zone.Hash  `cbor:"5,keyasint"`
	Ranges []Range    `cbor:"6,keyasint"`
	Blocks []byte     `cbor:"7,keyasint"` // as blockSums gives them
}

func (f *filed) segment() Segment {
	return Segment{Number: f.Number, File: segmentFile(f.Number), First: f.First, Last: f.Last, Bytes: f.Bytes, SHA256: f.SHA256, Ranges: f.Ranges}
}

// removal is the record that a segment's file is to go.
type removal struct {
	Number uint64    `cbor:"1,keyasint"`
	At     zone.Time `cbor:"2,keyasint"`
}

// record is one entry of the manifest: exactly one field is set.
type record struct {
	Head     *head     `cbor:"1,keyasint,omitempty"`
	Filed    *filed    `cbor:"2,keyasint,omitempty"`
	Receipts []Receipt `cbor:"3,keyasint,omitempty"`
	Removal  *removal  `cbor:"4,keyasint,omitempty"`
}

func (r *record) encode() ([]byte, error) {
	b, err := canonical.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode manifest record: %w", err)
	}
	return b, nil
}

func decodeRecord(b []byte) (*record, error) {
	r := new(record)
	if err := canonical.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("manifest record: %w", err)
	}
	return r, nil
}

// index is what the manifest says, in memory.
type index struct {
	head     *head
	segments []Segment
	receipts map[place]Receipt
	places   map[zone.HID]place
	bytes    int64 // of the files that are kept
	gone     int   // how many segments, the oldest ones, are removed
}

// place is where the rows that a receipt is for lie.
type place struct {
	segment uint64
	device  zone.MAC
}

func newIndex() *index {
	return &index{receipts: map[place]Receipt{}, places: map[zone.HID]place{}}
}

// apply takes one record over, after writing as after reading it.
func (x *index) apply(r *record) error {
	switch {
	case r.Head != nil:
		return x.begin(r.Head)
	case x.head == nil:
		return errors.New("the manifest does not begin with its head")
	case r.Filed != nil:
		return x.file(r.Filed)
	case r.Removal != nil:
		return x.remove(r.Removal)
	}
	for _, rc := range r.Receipts {
		if err := x.receive(rc); err != nil {
			return err
		}
	}
	return nil
}

func (x *index) begin(h *head) error {
	if h.Format != format1 {
		return fmt.Errorf("the manifest is of format %d, this program reads %d; use the program that wrote it", h.Format, format1)
	}
	x.head = h
	return nil
}

func (x *index) last() zone.SeqID {
	if len(x.segments) == 0 {
		return 0
	}
	return x.segments[len(x.segments)-1].Last
}

func (x *index) file(f *filed) error {
	if f.Number != uint64(len(x.segments))+1 || f.First != x.last()+1 || f.Last < f.First || f.Last-f.First >= MaxRows || f.Bytes <= 0 || len(f.Ranges) == 0 {
		return fmt.Errorf("segment %d with SEQ %d to %d does not follow on segment %d, which ends at SEQ %d", f.Number, f.First, f.Last, len(x.segments), x.last())
	}
	x.segments = append(x.segments, f.segment())
	x.bytes += f.Bytes
	return nil
}

func (x *index) remove(r *removal) error {
	if r.Number != uint64(x.gone)+1 || r.Number > uint64(len(x.segments)) {
		return fmt.Errorf("segment %d is not the oldest to be removed", r.Number)
	}
	s := &x.segments[x.gone]
	s.Removed, s.RemovedAt = true, r.At
	x.gone++
	x.bytes -= s.Bytes
	return nil
}

// at gives the place of the segment that holds seq among the segments.
func (x *index) at(seq zone.SeqID) (int, bool) {
	lo, hi := 0, len(x.segments)
	for lo < hi {
		if mid := (lo + hi) / 2; x.segments[mid].Last < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(x.segments) && seq > 0
}

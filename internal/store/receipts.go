package store

import (
	"fmt"
	"slices"

	"bellwether/internal/zone"
)

// Receipt says by which transaction the ledger holds one device's rows of one
// segment.
type Receipt struct {
	Segment uint64   `cbor:"1,keyasint"`
	Device  zone.MAC `cbor:"2,keyasint"`
	ID      zone.HID `cbor:"3,keyasint"`
	Block   uint64   `cbor:"4,keyasint"` // the ledger's block
	Index   uint32   `cbor:"5,keyasint"` // the transaction's place in it
}

// AddReceipts stores receipts, durable on return: all of them or, with an
// error, none. One that is there already is passed over; one that contradicts a
// stored one, or that is for rows never stored, is an error.
func (s *Store) AddReceipts(receipts []Receipt) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.damage != nil {
		return fmt.Errorf("add receipts: %w", s.damage)
	}
	fresh, err := s.index.fresh(receipts)
	if err != nil {
		return fmt.Errorf("add receipts: %w", err)
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := s.commit(&record{Receipts: fresh}); err != nil {
		return fmt.Errorf("add receipts: %w", err)
	}
	return nil
}

// fresh gives the receipts that are not there yet, each once.
func (x *index) fresh(receipts []Receipt) ([]Receipt, error) {
	trial := &index{segments: x.segments, receipts: map[place]Receipt{}, places: map[zone.HID]place{}}
	var fresh []Receipt
	for _, r := range receipts {
		if err := x.check(r); err != nil {
			return nil, err
		}
		if err := trial.check(r); err != nil {
			return nil, err
		}
		p := place{r.Segment, r.Device}
		if x.receipts[p] != r && trial.receipts[p] != r {
			fresh = append(fresh, r)
			trial.receipts[p], trial.places[r.ID] = r, p
		}
	}
	return fresh, nil
}

// check refuses a receipt that is for no rows or contradicts a stored one.
func (x *index) check(r Receipt) error {
	p := place{r.Segment, r.Device}
	if r.Segment == 0 || r.Segment > uint64(len(x.segments)) {
		return fmt.Errorf("there is no segment %d", r.Segment)
	}
	if _, ok := x.segments[r.Segment-1].Range(r.Device); !ok {
		return fmt.Errorf("segment %d has no rows of device %s", r.Segment, r.Device)
	}
	if old, ok := x.receipts[p]; ok && old != r {
		return fmt.Errorf("device %s in segment %d has the receipt %s already, not %s", r.Device, r.Segment, old.ID, r.ID)
	}
	if old, ok := x.places[r.ID]; ok && old != p {
		return fmt.Errorf("receipt %s is for device %s in segment %d already", r.ID, old.device, old.segment)
	}
	return nil
}

func (x *index) receive(r Receipt) error {
	if err := x.check(r); err != nil {
		return err
	}
	p := place{r.Segment, r.Device}
	x.receipts[p], x.places[r.ID] = r, p
	return nil
}

// ReceiptFor gives the receipt for the device's rows in the segment that holds
// seq; there need be no row of that device under seq itself.
func (s *Store) ReceiptFor(seq zone.SeqID, device zone.MAC) (Receipt, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, ok := s.index.at(seq)
	if !ok {
		return Receipt{}, false
	}
	r, ok := s.index.receipts[place{s.index.segments[i].Number, device}]
	return r, ok
}

// RangeOf gives the rows that a transaction on the ledger stands for.
func (s *Store) RangeOf(id zone.HID) (Segment, Range, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, ok := s.index.places[id]
	if !ok {
		return Segment{}, Range{}, false
	}
	seg := s.index.segments[p.segment-1]
	r, _ := seg.Range(p.device)
	return seg, r, true
}

// Receipts gives all receipts, by segment and device.
func (s *Store) Receipts() []Receipt {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Receipt
	for i := range s.index.segments {
		for _, r := range s.index.segments[i].Ranges {
			if receipt, ok := s.index.receipts[place{uint64(i) + 1, r.Device}]; ok {
				all = append(all, receipt)
			}
		}
	}
	return slices.Clip(all)
}

// Unreceipted gives every segment and device that has no receipt yet, oldest
// first: what is still to be sent to the ledger.
func (s *Store) Unreceipted(yield func(Segment, Range) bool) {
	for _, seg := range s.Segments() {
		for _, r := range seg.Ranges {
			if _, ok := s.ReceiptFor(seg.First, r.Device); !ok && !yield(seg, r) {
				return
			}
		}
	}
}

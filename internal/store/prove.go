package store

import (
	"errors"
	"fmt"

	"bellwether/internal/zone"
)

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

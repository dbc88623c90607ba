package store

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"bellwether/internal/zone"
)

// Range is what one segment holds of one device.
type Range struct {
	Device    zone.MAC   `cbor:"1,keyasint"`
	First     zone.SeqID `cbor:"2,keyasint"` // the device's first row in the segment
	Last      zone.SeqID `cbor:"3,keyasint"` // and its last; rows of others may lie between
	Rows      uint64     `cbor:"4,keyasint"`
	FirstTime zone.Time  `cbor:"5,keyasint"` // of the first row
	LastTime  zone.Time  `cbor:"6,keyasint"` // of the last row
	Root      zone.Hash  `cbor:"7,keyasint"` // RFC 6962 Merkle tree hash over the device's rows, by SEQ-ID
	Normal    uint64     `cbor:"8,keyasint"` // rows of each label
	Malicious uint64     `cbor:"9,keyasint"`
	Unjudged  uint64     `cbor:"10,keyasint"`
}

// Segment is one file of rows that follow on each other.
type Segment struct {
	Number      uint64 // from 1
	File        string // its name in the store's directory
	First, Last zone.SeqID
	Bytes       int64
	SHA256      zone.Hash // of the file
	Ranges      []Range   // one for each device, by address
	Removed     bool      // retention took the file away
	RemovedAt   zone.Time
}

// Range gives what the segment holds of a device.
func (s *Segment) Range(device zone.MAC) (Range, bool) {
	i, ok := slices.BinarySearchFunc(s.Ranges, device, func(r Range, d zone.MAC) int { return compareMAC(r.Device, d) })
	if !ok {
		return Range{}, false
	}
	return s.Ranges[i], true
}

// newest gives the time of the newest row.
func (s *Segment) newest() zone.Time {
	t := s.Ranges[0].LastTime
	for _, r := range s.Ranges[1:] {
		t = max(t, r.LastTime)
	}
	return t
}

func compareMAC(a, b zone.MAC) int { return slices.Compare(a[:], b[:]) }

func segmentFile(number uint64) string { return fmt.Sprintf("segment-%08d.parquet", number) }

// Summarise gives the range of each device among rows, by address. The rows
// are in the order of their SEQ-IDs.
func Summarise(rows []zone.Snapshot) []Range { return summarise(hashed(rows)) }

func hashed(rows []zone.Snapshot) []row {
	out := make([]row, len(rows))
	for i := range rows {
		out[i] = row{Snapshot: rows[i], hash: rows[i].LeafHash()}
	}
	return out
}

func summarise(rows []row) []Range {
	leaves := map[zone.MAC][]zone.Hash{}
	at := map[zone.MAC]int{}
	var ranges []Range
	for i := range rows {
		r := &rows[i]
		if leaves[r.Device] == nil {
			at[r.Device] = len(ranges)
			ranges = append(ranges, Range{Device: r.Device, First: r.Seq, FirstTime: r.Time})
		}
		leaves[r.Device] = append(leaves[r.Device], r.hash)
		ranges[at[r.Device]].count(r)
	}
	for i := range ranges {
		ranges[i].Root = newTree(leaves[ranges[i].Device]).root()
	}
	slices.SortFunc(ranges, func(a, b Range) int { return compareMAC(a.Device, b.Device) })
	return ranges
}

func (g *Range) count(r *row) {
	g.Last, g.LastTime = r.Seq, r.Time
	g.Rows++
	switch r.Label {
	case zone.Normal:
		g.Normal++
	case zone.Malicious:
		g.Malicious++
	default:
		g.Unjudged++
	}
}

// tree is a Merkle tree (RFC 6962, section 2.1): the leaves, then each level up
// to the root; a node without a right neighbour moves up unchanged.
type tree [][]zone.Hash

func newTree(leaves []zone.Hash) tree {
	t := tree{leaves}
	for len(leaves) > 1 {
		up := make([]zone.Hash, 0, (len(leaves)+1)/2)
		for i := 0; i+1 < len(leaves); i += 2 {
			up = append(up, parent(leaves[i], leaves[i+1]))
		}
		if len(leaves)%2 == 1 {
			up = append(up, leaves[len(leaves)-1])
		}
		t, leaves = append(t, up), up
	}
	return t
}

// parent is SHA-256(0x01 ‖ left ‖ right).
func parent(left, right zone.Hash) zone.Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// root is that of at least one leaf.
func (t tree) root() zone.Hash { return t[len(t)-1][0] }

// path gives the inclusion proof of leaf i, from the leaf upwards.
func (t tree) path(i int) []zone.Hash {
	var path []zone.Hash
	for _, level := range t[:len(t)-1] {
		if sibling := i ^ 1; sibling < len(level) {
			path = append(path, level[sibling])
		}
		i /= 2
	}
	return path
}

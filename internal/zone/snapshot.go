package zone

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"net/netip"
)

// Snapshot is one observation of one device: a packet that it sent, with the
// features of that moment, the detector's score and the label (paper,
// section 4.3). It is stored under its SEQ-ID; its hash goes to the ledger.
type Snapshot struct {
	Seq    SeqID      `json:"seq"`
	Time   Time       `json:"time"`
	Device MAC        `json:"device"`  // whose behaviour this is
	Packet uint64     `json:"packet"`  // index in the input, from 0
	SrcMAC MAC        `json:"src_mac"` // who really sent it: differs from Device when an address is misused
	DstMAC MAC        `json:"dst_mac"` // next hop
	Src    netip.Addr `json:"src"`     // invalid when the frame carries neither IP nor ARP
	Dst    netip.Addr `json:"dst"`
	Proto  uint16     `json:"proto"` // IP protocol number; for frames without IP, the EtherType
	// SrcPort and DstPort are 0 without ports; for ICMP, DstPort is type<<8|code.
	SrcPort  uint16            `json:"src_port"`
	DstPort  uint16            `json:"dst_port"`
	TCPFlags uint8             `json:"tcp_flags"`
	Length   uint32            `json:"length"`   // bytes on the wire
	Features [Features]float32 `json:"features"` // in the order of the N-BaIoT header
	// Score is the mean squared reconstruction error; NaN when not judged.
	Score float64 `json:"score"`
	Label Label   `json:"label"`
}

// snapshotDomain separates snapshot bytes from everything else that is hashed.
const snapshotDomain = "bellwether/snapshot/1\x00"

// SnapshotBytes is the length of a snapshot's canonical bytes.
const SnapshotBytes = len(snapshotDomain) + 8 + 8 + 6 + 8 + 6 + 6 + 17 + 17 + 2 + 2 + 2 + 1 + 4 + 4*Features + 8 + 1

// LeafHash is the RFC 6962 leaf hash of the canonical bytes: SHA-256(0x00 ‖ bytes).
func (s *Snapshot) LeafHash() Hash {
	b := append(make([]byte, 0, SnapshotBytes+1), 0)
	return sha256.Sum256(s.AppendCanonical(b))
}

// AppendCanonical appends the snapshot's canonical bytes to b: the domain
// string, then every field in the order of the struct, integers big-endian,
// floats as IEEE 754 bits (any NaN as the quiet NaN 0x7ff8000000000001),
// an address as one byte (0, 4 or 6) and 16 bytes.
func (s *Snapshot) AppendCanonical(b []byte) []byte {
	be := binary.BigEndian
	b = append(b, snapshotDomain...)
	b = be.AppendUint64(b, uint64(s.Seq))
	b = be.AppendUint64(b, uint64(s.Time))
	b = append(b, s.Device[:]...)
	b = be.AppendUint64(b, s.Packet)
	b = append(b, s.SrcMAC[:]...)
	b = append(b, s.DstMAC[:]...)
	b = appendAddr(b, s.Src)
	b = appendAddr(b, s.Dst)
	b = be.AppendUint16(b, s.Proto)
	b = be.AppendUint16(b, s.SrcPort)
	b = be.AppendUint16(b, s.DstPort)
	b = append(b, s.TCPFlags)
	b = be.AppendUint32(b, s.Length)
	for _, f := range s.Features {
		b = be.AppendUint32(b, math.Float32bits(f))
	}
	score := math.Float64bits(s.Score)
	if math.IsNaN(s.Score) {
		score = math.Float64bits(math.NaN())
	}
	b = be.AppendUint64(b, score)
	return append(b, byte(s.Label))
}

func appendAddr(b []byte, a netip.Addr) []byte {
	kind := byte(0)
	var raw [16]byte
	switch {
	case a.Is4() || a.Is4In6():
		kind, raw = 4, a.Unmap().As16()
	case a.IsValid():
		kind, raw = 6, a.As16()
	}
	return append(append(b, kind), raw[:]...)
}

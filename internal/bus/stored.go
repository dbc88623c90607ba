package bus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

// stored is a payload with the H-ID of its message and who sent that. Its bytes are
// the SEQ-ID (8, big-endian), the H-ID (32), the length of the sender's name (1),
// the name, and the payload.
type stored struct {
	seq     zone.SeqID
	id      zone.HID
	from    zone.MemberID
	payload []byte
}

const storedBytes = 8 + 32 + 1 // before the name

func (s *stored) bytes() []byte {
	b := make([]byte, 0, storedBytes+len(s.from)+len(s.payload))
	b = binary.BigEndian.AppendUint64(b, uint64(s.seq))
	b = append(b, s.id[:]...)
	b = append(b, byte(len(s.from)))
	b = append(b, s.from...)
	return append(b, s.payload...)
}

// parseStored reads a record of a segment; the payload is a part of raw.
func parseStored(raw []byte) (s stored, err error) {
	if len(raw) < storedBytes || len(raw) < storedBytes+int(raw[storedBytes-1]) {
		return s, fmt.Errorf("%d bytes are no payload with its sender", len(raw))
	}
	s.seq, s.id = zone.SeqID(binary.BigEndian.Uint64(raw)), zone.HID(raw[8:])
	name, payload := raw[storedBytes:][:raw[storedBytes-1]], raw[storedBytes+int(raw[storedBytes-1]):]
	s.from, s.payload = zone.MemberID(name), payload
	if !s.from.Valid() && s.from != zone.Master {
		return s, fmt.Errorf("a payload by %q, whom nobody is called", name)
	}
	return s, nil
}

func prefix(id zone.HID) uint64 { return binary.BigEndian.Uint64(id[:]) }

// head is a segment's record 0, in CBOR.
type head struct {
	_       struct{}   `cbor:",toarray"`
	Base    zone.SeqID // of its first payload when it was begun
	Height  uint64     // of the ledger then
	Begun   zone.Time
	Before  []tallied // what was in the segment with the number before then
	Own     []tallied // what is in this one, if it was written anew
	Through uint64    // the number of the last segment whose contents are in it, if it was; else 0
}

// tallied is what a segment has of one sender.
type tallied struct {
	_       struct{} `cbor:",toarray"`
	From    zone.MemberID
	Records uint32
	Bytes   uint32
}

func (h head) bytes() []byte { return canonical.MustMarshal(h) }

func parseHead(raw []byte) (h head, err error) {
	if err := canonical.Unmarshal(raw, &h); err != nil {
		return h, fmt.Errorf("a segment's head: %w", err)
	}
	if !bytes.Equal(h.bytes(), raw) {
		return h, errors.New("a segment's head is written otherwise")
	}
	return h, nil
}

package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Overhead is what a record takes in the file beside its payload, in bytes.
const Overhead = headerBytes + sumBytes

const (
	magic       = "BJR\x01"
	headerBytes = 20
	sumBytes    = 4
	sumAt       = headerBytes - sumBytes // where the header's own checksum lies
	lengthAt    = sumAt - 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const firstWords = "bellwether journal 1 "

func firstLine(kind string) string { return firstWords + kind + "\n" }

// appendFrame appends record number rec with its payload to b.
func appendFrame(b []byte, rec uint64, payload []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, rec)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	b = append(b, payload...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// Bytes gives a whole journal with these records, for a file that has to be there
// at once.
func Bytes(kind string, payloads ...[]byte) []byte {
	b := []byte(firstLine(kind))
	for rec, payload := range payloads {
		b = appendFrame(b, uint64(rec), payload)
	}
	return b
}

// headerBegins reports whether a header of record rec can begin with b: magic
// and number are known beforehand, length and checksum are not.
func headerBegins(b []byte, rec uint64) bool {
	known := binary.BigEndian.AppendUint64([]byte(magic), rec)
	n := min(len(b), len(known))
	return bytes.Equal(b[:n], known[:n])
}

// parseHeader reads a header; reason is empty when it is sound.
func parseHeader(h []byte) (rec uint64, length int, reason string) {
	be := binary.BigEndian
	if be.Uint32(h[sumAt:]) != crc32.Checksum(h[:sumAt], castagnoli) {
		return 0, 0, "the record's header does not match its checksum"
	}
	n := be.Uint32(h[lengthAt:])
	if string(h[:len(magic)]) != magic || n > MaxPayload {
		return 0, 0, "the record's header is not one of this format"
	}
	return be.Uint64(h[len(magic):]), int(n), ""
}

// parseNumbered is parseHeader for a header that must be that of record want.
func parseNumbered(h []byte, want uint64) (length int, reason string) {
	rec, length, reason := parseHeader(h)
	if reason == "" && rec != want {
		reason = fmt.Sprintf("the header says record %d", rec)
	}
	return length, reason
}

// payloadSound checks the checksum behind a whole record.
func payloadSound(raw []byte) bool {
	body := len(raw) - sumBytes
	return binary.BigEndian.Uint32(raw[body:]) == crc32.Checksum(raw[:body], castagnoli)
}

const payloadDamaged = "the record's payload does not match its checksum"

// parseFrame reads a whole record number want; reason is empty when it is sound.
func parseFrame(raw []byte, want uint64) (payload []byte, reason string) {
	if len(raw) < Overhead {
		return nil, "nothing is left of the record"
	}
	length, reason := parseNumbered(raw[:headerBytes], want)
	switch {
	case reason != "":
		return nil, reason
	case length != len(raw)-Overhead:
		return nil, fmt.Sprintf("the header says %d bytes, %d were written", length, len(raw)-Overhead)
	case !payloadSound(raw):
		return nil, payloadDamaged
	}
	return raw[headerBytes : headerBytes+length : headerBytes+length], ""
}

package simulate

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// DNS types (IANA).
const (
	typeA   = 1
	typePTR = 12
)

// DNS header flags (RFC 1035, section 4.1.1).
const (
	flagsQuery     = 0x0100 // recursion desired
	flagsAnswer    = 0x8180
	flagsNXDomain  = 0x8183
	flagsMulticast = 0x8400
)

// appendQuestion appends a DNS message with one question.
func appendQuestion(b []byte, id, flags uint16, name string, kind uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, 0, 1, 0, 0, 0, 0, 0, 0)
	b = appendName(b, name)
	b = binary.BigEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint16(b, 1)
}

// appendAnswer appends a DNS message with a question for an IPv4 address and
// its answer, which is good for a minute.
func appendAnswer(b []byte, id uint16, name string, ip netip.Addr) []byte {
	start := len(b)
	b = appendQuestion(b, id, flagsAnswer, name, typeA)
	b[start+7] = 1
	a := ip.As4()
	b = append(b, 0xc0, 12, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4)
	return append(b, a[:]...)
}

// appendPointer appends a multicast DNS announcement that a service has an
// instance (RFC 6762, section 8.3).
func appendPointer(b []byte, service, instance string) []byte {
	b = append(b, 0, 0, flagsMulticast>>8, flagsMulticast&0xff, 0, 0, 0, 1, 0, 0, 0, 0)
	b = appendName(b, service)
	b = append(b, 0, typePTR, 0, 1, 0, 0, 0x11, 0x94)
	b = binary.BigEndian.AppendUint16(b, uint16(len(instance)+3))
	b = append(append(b, byte(len(instance))), instance...)
	return append(b, 0xc0, 12)
}

func appendName(b []byte, name string) []byte {
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

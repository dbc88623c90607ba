package simulate

import (
	"encoding/binary"
	"net/netip"

	"bellwether/internal/zone"
)

// EtherTypes and IP protocol numbers (IANA).
const (
	protoICMP   = 1
	protoIGMP   = 2
	protoTCP    = 6
	protoUDP    = 17
	protoGRE    = 47
	protoICMPv6 = 58
)

// TCP flags (RFC 9293, section 3.1).
const (
	fin uint8 = 1 << iota
	syn
	rst
	psh
	ack
)

const ethernetHeader = 14

// partialSum adds the 32-bit words of b, the last one padded with zeros, to an
// Internet checksum in the making (RFC 1071).
func partialSum(b []byte, acc uint64) uint64 {
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		acc += v>>32 + v&0xffffffff
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	v := binary.BigEndian.Uint64(last[:])
	return acc + v>>32 + v&0xffffffff
}

// checksum folds a partial sum into the Internet checksum.
func checksum(acc uint64) uint16 {
	for acc>>16 != 0 {
		acc = acc>>16 + acc&0xffff
	}
	return ^uint16(acc)
}

// pseudoSum is the part of a checksum that covers the addresses, the protocol
// and the length of the upper layer (RFC 9293, section 3.1; RFC 8200, section
// 8.1).
func pseudoSum(src, dst netip.Addr, proto uint8, length int) uint64 {
	acc := uint64(proto) + uint64(length)
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		return partialSum(d[:], partialSum(s[:], acc))
	}
	s, d := src.As16(), dst.As16()
	return partialSum(d[:], partialSum(s[:], acc))
}

// appendIPv4 appends a header whose length and checksum closeIPv4 sets.
// IGMP gets the router alert option that it must have (RFC 3376, section 4).
func appendIPv4(b []byte, src, dst netip.Addr, proto, ttl uint8, id uint16, dontFragment bool) []byte {
	s, d := src.As4(), dst.As4()
	flags, version := byte(0), byte(0x45)
	if dontFragment {
		flags = 0x40
	}
	if proto == protoIGMP {
		version = 0x46
	}
	b = append(b, version, 0, 0, 0, byte(id>>8), byte(id), flags, 0, ttl, proto, 0, 0)
	b = append(append(b, s[:]...), d[:]...)
	if proto == protoIGMP {
		b = append(b, 0x94, 4, 0, 0)
	}
	return b
}

// closeIPv4 completes the header at the start of ip, which reaches to the end
// of the packet, and gives the upper layer.
func closeIPv4(ip []byte) []byte {
	header := int(ip[0]&15) * 4
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[10:], checksum(partialSum(ip[:header], 0)))
	return ip[header:]
}

// appendIPv6 appends a header whose length closeIPv6 sets.
func appendIPv6(b []byte, src, dst netip.Addr, proto, hops uint8) []byte {
	s, d := src.As16(), dst.As16()
	b = append(b, 0x60, 0, 0, 0, 0, 0, proto, hops)
	return append(append(b, s[:]...), d[:]...)
}

func closeIPv6(ip []byte) []byte {
	binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
	return ip[40:]
}

// closeUpper sets the length and the checksum of an upper layer that reaches
// to the end of the packet.
func closeUpper(upper []byte, src, dst netip.Addr, proto uint8) {
	pseudo := pseudoSum(src, dst, proto, len(upper))
	switch proto {
	case protoTCP:
		binary.BigEndian.PutUint16(upper[16:], checksum(partialSum(upper, pseudo)))
	case protoUDP:
		binary.BigEndian.PutUint16(upper[4:], uint16(len(upper)))
		sum := checksum(partialSum(upper, pseudo))
		if sum == 0 { // RFC 768: zero would mean that there is none
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(upper[6:], sum)
	case protoICMP, protoIGMP:
		binary.BigEndian.PutUint16(upper[2:], checksum(partialSum(upper, 0)))
	case protoICMPv6:
		binary.BigEndian.PutUint16(upper[2:], checksum(partialSum(upper, pseudo)))
	}
}

// broadcast is the Ethernet broadcast address.
func broadcast() zone.MAC { return zone.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// groupMAC is the Ethernet address of an IP multicast group (RFC 1112, section
// 6.4; RFC 2464, section 7).
func groupMAC(group netip.Addr) zone.MAC {
	if group.Is4() {
		a := group.As4()
		return zone.MAC{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
	}
	a := group.As16()
	return zone.MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// linkLocal is the IPv6 link-local address that a MAC address gives (RFC 4291,
// appendix A).
func linkLocal(m zone.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

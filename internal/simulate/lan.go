package simulate

import (
	"encoding/binary"
	"net/netip"

	"bellwether/internal/zone"
)

// ARP operations (RFC 826).
const (
	arpRequest = 1
	arpReply   = 2
)

// arpBody is an ARP packet for IPv4 over Ethernet (RFC 826).
func arpBody(op byte, sender zone.MAC, senderIP netip.Addr, target zone.MAC, targetIP netip.Addr) []byte {
	s, t := senderIP.As4(), targetIP.As4()
	b := make([]byte, 0, 28)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, op)
	b = append(append(b, sender[:]...), s[:]...)
	return append(append(b, target[:]...), t[:]...)
}

// DHCP message types (RFC 2132, section 9.6).
const (
	dhcpDiscover = 1
	dhcpOffer    = 2
	dhcpRequest  = 3
	dhcpAck      = 5
)

// dhcpMessage is what the four messages of a lease differ in.
type dhcpMessage struct {
	kind    byte
	id      uint32
	client  zone.MAC
	current netip.Addr // ciaddr
	leased  netip.Addr // yiaddr from the server, the wish from the client
	server  netip.Addr
	host    string
}

// body encodes the message (RFC 2131, section 2), padded to BOOTP's 300 bytes.
func (m *dhcpMessage) body() []byte {
	b := make([]byte, 240, 320)
	reply := m.kind == dhcpOffer || m.kind == dhcpAck
	b[0], b[1], b[2] = 1, 1, 6
	if reply {
		b[0] = 2
		copy(b[16:], m.leased.AsSlice())
		copy(b[20:], m.server.AsSlice())
	}
	binary.BigEndian.PutUint32(b[4:], m.id)
	copy(b[12:], m.current.AsSlice())
	copy(b[28:], m.client[:])
	copy(b[236:], []byte{99, 130, 83, 99})
	b = append(b, 53, 1, m.kind)
	if reply {
		b = m.appendTerms(b)
	} else {
		b = m.appendWishes(b)
	}
	b = append(b, 255)
	return append(b, make([]byte, max(0, 300-len(b)))...)
}

// appendTerms appends the server's options: itself, an hour, the mask, the
// router and the resolver.
func (m *dhcpMessage) appendTerms(b []byte) []byte {
	s := m.server.As4()
	b = append(append(b, 54, 4), s[:]...)
	b = append(b, 51, 4, 0, 0, 0x0e, 0x10, 1, 4, 255, 255, 255, 0)
	b = append(append(b, 3, 4), s[:]...)
	return append(append(b, 6, 4), s[:]...)
}

// appendWishes appends the client's options: identifier, name, and in a request
// that is not a renewal the address and the server it chose.
func (m *dhcpMessage) appendWishes(b []byte) []byte {
	b = append(append(b, 61, 7, 1), m.client[:]...)
	b = append(append(b, 12, byte(len(m.host))), m.host...)
	if m.kind == dhcpRequest && !m.current.IsValid() {
		want, server := m.leased.As4(), m.server.As4()
		b = append(append(b, 50, 4), want[:]...)
		b = append(append(b, 54, 4), server[:]...)
	}
	return append(b, 55, 4, 1, 3, 6, 42)
}

// echo is an ICMP or ICMPv6 echo message's body of 64 bytes (RFC 792).
func echo(kind byte, id, seq uint16) []byte {
	b := make([]byte, 64)
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], seq)
	for i := 8; i < len(b); i++ {
		b[i] = byte(i)
	}
	return b
}

// joinReport is an IGMPv3 report that a group was joined (RFC 3376, section
// 4.2).
func joinReport(group netip.Addr) []byte {
	g := group.As4()
	return append([]byte{0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0}, g[:]...)
}

// neighbour is an ICMPv6 neighbour solicitation (135) or advertisement (136)
// with the sender's link-layer address (RFC 4861, section 4.3 and 4.4).
func neighbour(kind byte, target netip.Addr, own zone.MAC) []byte {
	a := target.As16()
	b := make([]byte, 8, 32)
	b[0] = kind
	option := byte(1)
	if kind == 136 {
		b[4], option = 0x60, 2
	}
	b = append(b, a[:]...)
	return append(append(b, option, 1), own[:]...)
}

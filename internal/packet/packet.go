// Package packet decodes a captured frame in place into the few facts that
// the features and the Behaviour Monitor need.
//
// [Decode] reads Ethernet (802.1Q, QinQ, 802.3 with LLC/SNAP), raw IP, BSD
// loopback and Linux cooked frames down to the ports of TCP, UDP, UDP-Lite,
// SCTP and DCCP and the type of ICMP. It never allocates, keeps no state, knows
// no clock and never fails: what it cannot read it leaves unset, and says so in
// [Packet.Truncated]. It verifies no checksum, reassembles no fragments and
// looks into no tunnel.
package packet

import (
	"net/netip"

	"bellwether/internal/zone"
)

// Kind is what a frame carries above its link layer.
type Kind uint8

// The kinds. KindOther is known by its MAC addresses and EtherType only.
const (
	KindOther Kind = iota
	KindIPv4
	KindIPv6
	KindARP
)

// Packet is one decoded frame. It is reused from frame to frame.
type Packet struct {
	Time     zone.Time
	Length   int  // bytes on the wire
	Captured int  // bytes that the capture holds
	Kind     Kind // decides which of the fields below are set

	SrcMAC, DstMAC zone.MAC // zero where the link type has none
	HasMAC         bool     // at least the source MAC is known
	EtherType      uint16   // of the innermost header, 0 if unknown
	VLAN           uint16   // outermost 802.1Q tag's VLAN identifier, 0 if untagged

	// Src and Dst are the IP addresses, or ARP's protocol addresses.
	// IPv4 addresses are plain 4-byte ones, IPv6 ones carry no zone.
	Src, Dst netip.Addr
	Proto    uint8 // IP protocol of the upper layer, after IPv6 extension headers
	// SrcPort and DstPort are set when HasPorts: TCP, UDP, UDP-Lite, SCTP, DCCP.
	SrcPort, DstPort uint16
	HasPorts         bool
	Fragment         bool // a fragment other than the first: no upper-layer header
	TCPFlags         uint8
	TCPSeq           uint32
	ICMPType         uint8
	ICMPCode         uint8
	ARPOp            uint16

	// Payload is what follows the last decoded header, as far as captured,
	// without link-layer padding. It points into the frame.
	Payload []byte

	// Truncated says that a header was cut off by the snap length or is
	// malformed: the fields above it are set, those below it are not.
	Truncated bool
}

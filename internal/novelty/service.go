package novelty

import (
	"fmt"
	"net/netip"

	"bellwether/internal/zone"
)

// Protocols by IP protocol number, ARP by EtherType.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoARP    = 0x0806
)

const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

// Service is what a device asks of others: a protocol (an IP protocol number,
// or the EtherType of ARP) and a destination port.
type Service struct{ Proto, Port uint16 }

// host is a destination.
type host netip.Addr

// ServiceOf gives the service that a snapshot's packet is for.
func ServiceOf(s *zone.Snapshot) Service {
	if s.Proto == protoARP {
		return Service{Proto: protoARP}
	}
	return Service{s.Proto, s.DstPort}
}

// ephemeral is the first port that Linux hands out to clients; other systems
// begin later.
const ephemeral = 32768

// countable reports a service that can be new: a UDP port of a client is none,
// because answers go there.
func (v Service) countable() bool {
	return v.Proto == protoTCP || v.Proto == protoUDP && v.Port < ephemeral
}

// flows reports a service of which each flow counts.
func (v Service) flows() bool { return v.Proto == protoTCP || v.Proto == protoUDP }

// flow is what one socket of the device exchanges with another.
type flow struct {
	dst     host
	service Service
	from    uint16
}

func flowOf(s *zone.Snapshot) flow { return flow{host(s.Dst), ServiceOf(s), s.SrcPort} }

func (v Service) String() string {
	switch v.Proto {
	case protoTCP:
		return fmt.Sprintf("on TCP port %d", v.Port)
	case protoUDP:
		return fmt.Sprintf("on UDP port %d", v.Port)
	case protoARP:
		return "by ARP"
	case protoICMP, protoICMPv6:
		return fmt.Sprintf("by ICMP type %d", v.Port>>8)
	}
	return fmt.Sprintf("by protocol %d", v.Proto)
}

// Opens reports a snapshot by which the device itself turns to one host: a SYN
// without ACK, a UDP datagram to a port that is not above its own, or anything
// else with a destination that is no group.
func Opens(s *zone.Snapshot) bool {
	if !s.Dst.IsValid() || s.Dst.IsMulticast() {
		return false
	}
	switch s.Proto {
	case protoTCP:
		return s.TCPFlags&(tcpSYN|tcpACK) == tcpSYN
	case protoUDP:
		return s.SrcPort >= s.DstPort
	}
	return true
}

// answered reports a snapshot that shows that its destination answered.
func answered(s *zone.Snapshot) bool {
	return s.Proto == protoTCP && s.TCPFlags&(tcpSYN|tcpACK) == tcpACK
}

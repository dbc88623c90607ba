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
	tcpRST = 0x04
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

// socketOf gives the flow between two sockets.
func socketOf(s *zone.Snapshot) flow { return flow{host(s.Dst), ServiceOf(s), s.SrcPort} }

// flowOf gives a snapshot's flow. Over UDP many ask each question from a port of
// its own: all to one service of a host is one flow.
func flowOf(s *zone.Snapshot) flow {
	f := socketOf(s)
	if s.Proto == protoUDP {
		f.from = 0
	}
	return f
}

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
// without ACK, a UDP datagram to a port that is not above its own, an echo
// request, a broadcast ARP packet, or another protocol. What goes to a group of
// hosts is none, nor are the answers that others can make a device give by
// asking it.
func Opens(s *zone.Snapshot) bool {
	if s.Proto == protoARP {
		return s.Dst.IsValid() && s.DstMAC.IsGroup()
	}
	if !s.Dst.IsValid() || s.Dst.IsMulticast() || s.DstMAC.IsGroup() {
		return false
	}
	switch s.Proto {
	case protoTCP:
		return s.TCPFlags&(tcpSYN|tcpACK) == tcpSYN
	case protoUDP:
		return s.SrcPort >= s.DstPort
	case protoICMP:
		return s.DstPort>>8 == echoRequest
	case protoICMPv6:
		return s.DstPort>>8 == echoRequest6
	}
	return true
}

// Types of ICMP and ICMPv6.
const (
	echoRequest  = 8
	echoRequest6 = 128
)

// Answer is what a packet to a device says of the host that sent it.
type Answer struct {
	from    host
	service Service
	settles bool // the device's question to it, if there was one
}

package feature

import (
	"bytes"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// address is an IP address as its 16 bytes, or a MAC address in the first six.
type address [16]byte

// addressKind keeps apart what the bytes of an address may be.
type addressKind uint8

const (
	addressMAC addressKind = iota
	addressIPv4
	addressIPv6
)

// portKind keeps apart what the port fields of a socket may hold.
type portKind uint8

const (
	portNone   portKind = iota // other protocols, and fragments other than the first
	portNumber                 // TCP, UDP and their like
	portICMP                   // ICMP and ICMPv6: all messages share one
)

// The keys hold bytes and 16-bit numbers without padding, so that hashing and
// comparing them is one sweep over memory.
type (
	sourceKey struct {
		addr address
		mac  zone.MAC
		kind addressKind
	}
	hostKey struct {
		addr address
		kind addressKind
	}
	channelKey struct {
		low, high address
		kind      addressKind
	}
	socketKey struct {
		low, high         address
		lowPort, highPort uint16
		proto             uint16 // IP protocol; EtherType of a frame without IP
		kind              addressKind
		ports             portKind
	}
)

// ends are the two addresses that a packet travels between.
type ends struct {
	src, dst address
	kind     addressKind
}

// endsOf gives the IP or ARP protocol addresses, and the MACs where the frame
// has none that could be read.
func endsOf(p *packet.Packet) ends {
	switch {
	case !p.Src.IsValid() || !p.Dst.IsValid():
		return macEnds(p)
	case p.Src.Is4():
		return ends{p.Src.As16(), p.Dst.As16(), addressIPv4}
	}
	return ends{p.Src.As16(), p.Dst.As16(), addressIPv6}
}

func macEnds(p *packet.Packet) ends {
	var e ends
	copy(e.src[:], p.SrcMAC[:])
	copy(e.dst[:], p.DstMAC[:])
	return e
}

// channel orders the ends, so that both directions share one key.
func (e *ends) channel() (channelKey, side) {
	switch order := bytes.Compare(e.src[:], e.dst[:]); {
	case order < 0:
		return channelKey{e.src, e.dst, e.kind}, upward
	case order > 0:
		return channelKey{e.dst, e.src, e.kind}, downward
	}
	return channelKey{e.src, e.src, e.kind}, inward
}

// socketOf gives the socket key of a packet between the ends e; ARP is keyed by
// its MACs. Both directions share one key.
func socketOf(p *packet.Packet, e ends) (socketKey, side) {
	if p.Kind == packet.KindARP {
		e = macEnds(p)
	}
	c, s := e.channel()
	k := socketKey{low: c.low, high: c.high, kind: c.kind, proto: protocolOf(p), ports: portsOf(p)}
	if k.ports != portNumber {
		return k, s
	}
	if s == inward && p.SrcPort != p.DstPort {
		s = upward
		if p.SrcPort > p.DstPort {
			s = downward
		}
	}
	k.lowPort, k.highPort = p.SrcPort, p.DstPort
	if s == downward {
		k.lowPort, k.highPort = p.DstPort, p.SrcPort
	}
	return k, s
}

func protocolOf(p *packet.Packet) uint16 {
	if p.Kind == packet.KindIPv4 || p.Kind == packet.KindIPv6 {
		return uint16(p.Proto)
	}
	return p.EtherType
}

func portsOf(p *packet.Packet) portKind {
	switch ip := p.Kind == packet.KindIPv4 || p.Kind == packet.KindIPv6; {
	case !ip || p.Fragment:
		return portNone
	case p.HasPorts:
		return portNumber
	case p.Proto == packet.ProtoICMP || p.Proto == packet.ProtoICMPv6:
		return portICMP
	}
	return portNone
}

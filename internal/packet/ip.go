package packet

import (
	"encoding/binary"
	"net/netip"
)

// IP protocol numbers (IANA) that Decode tells apart.
const (
	ProtoICMP    = 1
	ProtoIGMP    = 2
	ProtoTCP     = 6
	ProtoUDP     = 17
	ProtoDCCP    = 33
	ProtoICMPv6  = 58
	ProtoSCTP    = 132
	ProtoUDPLite = 136

	protoHopByHop    = 0
	protoRouting     = 43
	protoFragment    = 44
	protoAH          = 51
	protoDestOptions = 60
	protoMobility    = 135
	protoHIP         = 139
	protoShim6       = 140
)

// ipv4 reads an IPv4 header (RFC 791, section 3.1). A total length of 0, which
// segmentation offload leaves behind, means all that was captured.
func (p *Packet) ipv4(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		p.cut(b)
		return
	}
	p.Kind = KindIPv4
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.Proto = b[9]
	header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
	offset := binary.BigEndian.Uint16(b[6:]) & 0x1fff
	if total != 0 {
		b = b[:min(total, len(b))]
	}
	if header < 20 || header > len(b) {
		p.cut(nil)
		return
	}
	switch {
	case offset != 0:
		p.Fragment, p.Payload = true, b[header:]
	case p.Proto == protoAH:
		p.extensions(b[header:])
	default:
		p.transport(b[header:])
	}
}

// ipv6 reads an IPv6 header (RFC 8200, section 3). A payload length of 0, of a
// jumbogram or of segmentation offload, means all that was captured.
func (p *Packet) ipv6(b []byte) {
	if len(b) < 40 || b[0]>>4 != 6 {
		p.cut(b)
		return
	}
	p.Kind = KindIPv6
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	p.Proto = b[6]
	length := int(binary.BigEndian.Uint16(b[4:]))
	b = b[40:]
	if length != 0 {
		b = b[:min(length, len(b))]
	}
	p.extensions(b)
}

// extensions walks IPv6 extension headers (RFC 8200, section 4) up to the upper
// layer's, or to one that hides what follows: ESP, no next header, or a fragment
// other than the first. Until then p.Proto is the header at b[0].
func (p *Packet) extensions(b []byte) {
	for {
		n := 0
		switch p.Proto {
		case protoHopByHop, protoRouting, protoDestOptions, protoMobility, protoHIP, protoShim6:
			n = extensionLength(b, 8, 8)
		case protoAH: // RFC 4302, section 2.2
			n = extensionLength(b, 8, 4)
		case protoFragment:
			n = min(len(b), 8)
		default:
			p.transport(b)
			return
		}
		if n < 8 || n > len(b) {
			p.cut(b)
			return
		}
		if p.Proto == protoFragment && binary.BigEndian.Uint16(b[2:])&0xfff8 != 0 {
			p.Fragment = true
		}
		p.Proto, b = b[0], b[n:]
		if p.Fragment {
			p.Payload = b
			return
		}
	}
}

// extensionLength gives the bytes of an extension header that counts, in its
// second byte, units beyond the first fixed bytes; 0 when b is too short.
func extensionLength(b []byte, fixed, unit int) int {
	if len(b) < 2 {
		return 0
	}
	return fixed + int(b[1])*unit
}

// arp reads an ARP packet of IPv4 over IEEE 802 addresses (RFC 826); any other
// kind of ARP is known by its frame's MAC addresses only.
func (p *Packet) arp(b []byte) {
	be := binary.BigEndian
	if len(b) < 8 {
		p.cut(b)
		return
	}
	hardware := be.Uint16(b)
	if (hardware != 1 && hardware != 6) || be.Uint16(b[2:]) != EtherTypeIPv4 || b[4] != 6 || b[5] != 4 {
		p.Payload = b
		return
	}
	if len(b) < 28 {
		p.cut(b)
		return
	}
	p.Kind = KindARP
	p.ARPOp = be.Uint16(b[6:])
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
}

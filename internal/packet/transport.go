package packet

import "encoding/binary"

// transport reads the header of the upper-layer protocol p.Proto.
func (p *Packet) transport(b []byte) {
	switch p.Proto {
	case ProtoTCP:
		p.tcp(b)
	case ProtoUDP:
		p.udp(b)
	case ProtoUDPLite: // RFC 3828: the length field is a checksum's coverage
		p.ported(b, 8)
	case ProtoSCTP: // RFC 9260, section 3.1
		p.ported(b, 12)
	case ProtoDCCP:
		p.dccp(b)
	case ProtoICMP: // RFC 792
		p.icmp(b, 8)
	case ProtoICMPv6: // RFC 4443, section 2.1
		p.icmp(b, 4)
	case ProtoIGMP: // RFC 3376, section 4
		p.sized(b, 8)
	default:
		p.Payload = b
	}
}

// sized takes a header of n bytes off b; what follows is the payload. It
// reports whether the header was whole.
func (p *Packet) sized(b []byte, n int) bool {
	if n > len(b) {
		p.cut(nil)
		return false
	}
	p.Payload = b[n:]
	return true
}

// ported reads a header of n bytes that starts with two ports. The ports are
// set even where the rest of the header is cut off.
func (p *Packet) ported(b []byte, n int) bool {
	if len(b) < 4 {
		p.cut(nil)
		return false
	}
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p.HasPorts = true
	return p.sized(b, n)
}

// tcp reads a TCP header (RFC 9293, section 3.1). Sequence number and flags are
// set even where the rest of the header is cut off.
func (p *Packet) tcp(b []byte) {
	whole := p.ported(b, 20)
	if len(b) >= 8 {
		p.TCPSeq = binary.BigEndian.Uint32(b[4:])
	}
	if len(b) >= 14 {
		p.TCPFlags = b[13]
	}
	if !whole {
		return
	}
	header := int(b[12]>>4) * 4
	if header < 20 {
		p.cut(nil)
		return
	}
	p.sized(b, header)
}

// udp reads a UDP header (RFC 768). A length of 0, of a jumbogram (RFC 2675) or
// of segmentation offload, means all that was captured.
func (p *Packet) udp(b []byte) {
	if !p.ported(b, 8) {
		return
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	switch {
	case length == 0:
	case length < 8:
		p.cut(nil)
	default:
		p.Payload = b[8:min(length, len(b))]
	}
}

// dccp reads a DCCP generic header (RFC 4340, section 5.1), whose fifth byte
// says where the data starts, in words of four bytes.
func (p *Packet) dccp(b []byte) {
	if !p.ported(b, 12) {
		return
	}
	header := int(b[4]) * 4
	if header < 12 {
		p.cut(nil)
		return
	}
	p.sized(b, header)
}

// icmp reads the type and code at the start of a header of n bytes.
func (p *Packet) icmp(b []byte, n int) {
	if len(b) < 2 {
		p.cut(nil)
		return
	}
	p.ICMPType, p.ICMPCode = b[0], b[1]
	p.sized(b, n)
}

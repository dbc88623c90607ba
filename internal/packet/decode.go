package packet

import (
	"encoding/binary"

	"bellwether/internal/zone"
)

// EtherTypes (IEEE 802 Numbers, IANA) of the headers that Decode reads.
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeIPv6 = 0x86dd

	etherTypeVLAN  = 0x8100 // IEEE 802.1Q customer tag
	etherTypeSVLAN = 0x88a8 // IEEE 802.1ad service tag
	etherTypeQinQ  = 0x9100 // service tag before 802.1ad
)

// Decode reads one frame into p. It keeps p.Time and p.Length, which the caller
// has set, sets p.Captured to len(frame) and resets everything else. p.Payload
// points into frame. A link type that is not supported leaves only those three.
func Decode(link LinkType, frame []byte, p *Packet) {
	*p = Packet{Time: p.Time, Length: p.Length, Captured: len(frame)}
	switch link {
	case LinkEthernet:
		p.ethernet(frame)
	case LinkRaw, LinkRawBSD, LinkRawOpen, LinkIPv4, LinkIPv6:
		p.rawIP(frame)
	case LinkSLL:
		p.cooked(frame)
	case LinkSLL2:
		p.cooked2(frame)
	case LinkNull, LinkLoop:
		p.loopback(frame)
	}
}

// cut marks p as ending in a header that is not whole, and keeps what there is
// of it as payload.
func (p *Packet) cut(rest []byte) {
	p.Truncated = true
	p.Payload = rest
}

// ethernet reads an Ethernet header (IEEE 802.3, section 3.2).
func (p *Packet) ethernet(b []byte) {
	if len(b) < 12 {
		p.cut(b)
		return
	}
	p.DstMAC, p.SrcMAC, p.HasMAC = zone.MAC(b[:6]), zone.MAC(b[6:12]), true
	if len(b) < 14 {
		p.cut(b[12:])
		return
	}
	p.typed(binary.BigEndian.Uint16(b[12:]), b[14:])
}

// typed reads what follows a type or length field: VLAN tags, then LLC/SNAP or
// a network header. It loops because tags and SNAP may follow one another.
func (p *Packet) typed(t uint16, b []byte) {
	tagged := false
	for {
		switch {
		case t == etherTypeVLAN || t == etherTypeSVLAN || t == etherTypeQinQ:
			if len(b) < 4 {
				p.cut(b)
				return
			}
			if !tagged {
				p.VLAN, tagged = binary.BigEndian.Uint16(b)&0x0fff, true
			}
			t, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case t <= maxLength8023:
			var ok bool
			if t, b, ok = p.snap(b[:min(int(t), len(b))]); !ok {
				return
			}
		default:
			p.network(t, b)
			return
		}
	}
}

// maxLength8023 is the largest value of the type field that is a length, and
// minEtherType the smallest that is a type (IEEE 802.3, section 3.2.6).
const (
	maxLength8023 = 1500
	minEtherType  = 0x0600
)

// snap reads an LLC header. With a SNAP extension (IEEE 802, section 9.5) that
// carries an EtherType it gives that and what follows it. Any other frame is at
// its end: known by its addresses.
func (p *Packet) snap(b []byte) (etherType uint16, rest []byte, ok bool) {
	if len(b) < 3 {
		p.cut(b)
		return 0, nil, false
	}
	if b[0] != 0xaa || b[1] != 0xaa || b[2] != 0x03 {
		p.Payload = b
		return 0, nil, false
	}
	if len(b) < 8 {
		p.cut(b[3:])
		return 0, nil, false
	}
	oui := [3]byte(b[3:6])
	if oui != [3]byte{0, 0, 0} && oui != [3]byte{0, 0, 0xf8} { // RFC 1042, and 802.1H bridge tunnels
		p.Payload = b[8:]
		return 0, nil, false
	}
	if etherType = binary.BigEndian.Uint16(b[6:]); etherType < minEtherType {
		p.Payload = b[8:]
		return 0, nil, false
	}
	return etherType, b[8:], true
}

// network reads the header that an EtherType announces.
func (p *Packet) network(etherType uint16, b []byte) {
	if etherType < minEtherType {
		p.Payload = b
		return
	}
	p.EtherType = etherType
	switch etherType {
	case EtherTypeIPv4:
		p.ipv4(b)
	case EtherTypeIPv6:
		p.ipv6(b)
	case EtherTypeARP:
		p.arp(b)
	default:
		p.Payload = b
	}
}

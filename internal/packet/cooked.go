package packet

import (
	"encoding/binary"

	"bellwether/internal/zone"
)

// Linux ARPHRD_ values of cooked headers (linux/if_arp.h).
const (
	arphrdEthernet  = 1
	arphrdFrad      = 770 // protocol field is 0
	arphrdLoopback  = 772
	arphrd80211     = 801
	arphrd80211Prsm = 802
	arphrdRadiotap  = 803 // protocol field is ignored
	arphrdNetlink   = 824 // protocol field is a netlink family
)

// sllLLC is the cooked protocol number of a frame that starts with LLC
// (LINUX_SLL_P_802_2).
const sllLLC = 4

// cooked reads a Linux cooked header (LINKTYPE_LINUX_SLL), which holds the
// sender's address only.
func (p *Packet) cooked(b []byte) {
	if len(b) < 16 {
		p.cut(b)
		return
	}
	be := binary.BigEndian
	p.cookedSource(be.Uint16(b[2:]), int(be.Uint16(b[4:])), b[6:14])
	p.cookedProtocol(be.Uint16(b[2:]), be.Uint16(b[14:]), b[16:])
}

// cooked2 reads a Linux cooked header, version 2 (LINKTYPE_LINUX_SLL2).
func (p *Packet) cooked2(b []byte) {
	if len(b) < 20 {
		p.cut(b)
		return
	}
	be := binary.BigEndian
	p.cookedSource(be.Uint16(b[8:]), int(b[11]), b[12:20])
	p.cookedProtocol(be.Uint16(b[8:]), be.Uint16(b), b[20:])
}

func (p *Packet) cookedSource(hardware uint16, length int, addr []byte) {
	switch hardware {
	case arphrdEthernet, arphrdLoopback, arphrd80211, arphrd80211Prsm, arphrdRadiotap:
		if length == 6 {
			p.SrcMAC = zone.MAC(addr[:6])
			p.HasMAC = p.SrcMAC != zone.MAC{}
		}
	}
}

func (p *Packet) cookedProtocol(hardware, proto uint16, b []byte) {
	switch {
	case hardware == arphrdFrad || hardware == arphrdRadiotap || hardware == arphrdNetlink:
		p.Payload = b
	case proto == sllLLC:
		if t, rest, ok := p.snap(b); ok {
			p.typed(t, rest)
		}
	case proto < minEtherType:
		p.Payload = b
	default:
		p.typed(proto, b)
	}
}

// loopback reads a BSD loopback header: four bytes of address family, whose
// byte order is the capturing machine's (LINKTYPE_NULL) or the network's
// (LINKTYPE_LOOP). Families are small, so the order shows.
func (p *Packet) loopback(b []byte) {
	if len(b) < 4 {
		p.cut(b)
		return
	}
	family := binary.LittleEndian.Uint32(b)
	if family > 0xffff {
		family = binary.BigEndian.Uint32(b)
	}
	switch family {
	case 2: // AF_INET everywhere
		p.network(EtherTypeIPv4, b[4:])
	case 10, 24, 28, 30: // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, Darwin
		p.network(EtherTypeIPv6, b[4:])
	default:
		p.Payload = b[4:]
	}
}

// rawIP reads a frame that starts with an IP header of either version.
func (p *Packet) rawIP(b []byte) {
	switch {
	case len(b) == 0:
		p.cut(b)
	case b[0]>>4 == 4:
		p.network(EtherTypeIPv4, b)
	case b[0]>>4 == 6:
		p.network(EtherTypeIPv6, b)
	default:
		p.cut(b)
	}
}

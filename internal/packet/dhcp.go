package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"bellwether/internal/zone"
)

// DHCPType is the type of a DHCPv4 message (RFC 2132, section 9.6).
type DHCPType uint8

// The message types.
const (
	DHCPDiscover DHCPType = 1 + iota
	DHCPOffer
	DHCPRequest
	DHCPDecline
	DHCPAck
	DHCPNak
	DHCPRelease
	DHCPInform
)

// String gives the type's name in lower case.
func (t DHCPType) String() string {
	if t < DHCPDiscover || t > DHCPInform {
		return fmt.Sprintf("dhcp(%d)", uint8(t))
	}
	return [...]string{"discover", "offer", "request", "decline", "ack", "nak", "release", "inform"}[t-1]
}

// DHCPMessage is what a DHCPv4 message says about who holds which address.
type DHCPMessage struct {
	Type   DHCPType
	Client zone.MAC   // chaddr: the client's hardware address
	Held   netip.Addr // ciaddr: the address that the client already has, 0.0.0.0 if none
	Given  netip.Addr // yiaddr: the address that the server gives, 0.0.0.0 if none
}

// Fixed fields and options of a DHCPv4 message (RFC 2131, section 2, and
// RFC 2132).
const (
	dhcpCookieAt    = 236
	dhcpOptionsAt   = 240
	dhcpCookie      = 0x63825363
	dhcpPad         = 0
	dhcpOverload    = 52
	dhcpMessageType = 53
	dhcpEnd         = 255
)

// DHCP decodes the payload as a DHCPv4 message. It reports false for anything
// else: other ports than 67 and 68, BOOTP without a message type, hardware
// other than Ethernet, or a message cut off before its type.
func (p *Packet) DHCP() (DHCPMessage, bool) {
	b := p.Payload
	if !p.dhcpPorts() || len(b) < dhcpOptionsAt || binary.BigEndian.Uint32(b[dhcpCookieAt:]) != dhcpCookie {
		return DHCPMessage{}, false
	}
	if b[1] != 1 || b[2] != 6 {
		return DHCPMessage{}, false
	}
	t := dhcpType(b)
	if t == 0 {
		return DHCPMessage{}, false
	}
	return DHCPMessage{
		Type:   t,
		Client: zone.MAC(b[28:34]),
		Held:   netip.AddrFrom4([4]byte(b[12:16])),
		Given:  netip.AddrFrom4([4]byte(b[16:20])),
	}, true
}

func (p *Packet) dhcpPorts() bool {
	return p.Kind == KindIPv4 && p.Proto == ProtoUDP && p.HasPorts &&
		(p.SrcPort == 67 || p.SrcPort == 68) && (p.DstPort == 67 || p.DstPort == 68)
}

// dhcpType looks for the message type among the options, and in the file and
// sname fields where option 52 says that they hold options too. 0 is none.
func dhcpType(b []byte) DHCPType {
	t, overload := dhcpScan(b[dhcpOptionsAt:])
	if t == 0 && overload&1 != 0 {
		t, _ = dhcpScan(b[108:236])
	}
	if t == 0 && overload&2 != 0 {
		t, _ = dhcpScan(b[44:108])
	}
	return t
}

func dhcpScan(b []byte) (t DHCPType, overload byte) {
	for len(b) > 0 && b[0] != dhcpEnd {
		if b[0] == dhcpPad {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			break
		}
		if b[1] == 1 {
			switch b[0] {
			case dhcpMessageType:
				t = DHCPType(b[2])
			case dhcpOverload:
				overload = b[2]
			}
		}
		b = b[2+int(b[1]):]
	}
	return t, overload
}

package packet

import (
	"net/netip"
	"testing"

	"bellwether/internal/zone"
)

// dhcp is a DHCPv4 message with options.
func dhcp(options ...byte) []byte {
	b := make([]byte, 240, 300)
	copy(b, []byte{2, 1, 6, 0})
	copy(b[12:], []byte{10, 0, 0, 7})
	copy(b[16:], []byte{10, 0, 0, 8})
	copy(b[28:], nearMAC)
	copy(b[236:], []byte{0x63, 0x82, 0x53, 0x63})
	return append(b, options...)
}

// dhcpPacket is the message as a packet between two ports.
func dhcpPacket(srcPort, dstPort uint16, message []byte) Packet {
	datagram := cat(u16(srcPort, dstPort, uint16(8+len(message)), 0), message)
	return decoded(LinkEthernet, ethernet(0x0800, ip4(ProtoUDP, 0, "", datagram)))
}

func TestDHCP(t *testing.T) {
	inFile := dhcp(52, 1, 1, 255)
	copy(inFile[108:], []byte{0, 53, 1, 3, 255})
	inName := dhcp(52, 1, 3, 255)
	copy(inName[44:], []byte{12, 2, 'a', 'b', 53, 1, 7, 255})
	for _, c := range []struct {
		name    string
		message []byte
		want    DHCPType
	}{
		{"discover", dhcp(53, 1, 1, 255), DHCPDiscover},
		{"acknowledge, last of several", dhcp(0, 0, 1, 4, 255, 255, 255, 0, 12, 0, 53, 1, 5), DHCPAck},
		{"in the file field", inFile, DHCPRequest},
		{"in the name field", inName, DHCPRelease},
	} {
		p := dhcpPacket(67, 68, c.message)
		got, ok := p.DHCP()
		want := DHCPMessage{c.want, zone.MAC([]byte(nearMAC)), netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8")}
		if !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, ok, want)
		}
	}
	if got := DHCPAck.String() + DHCPDiscover.String() + DHCPInform.String() + DHCPType(9).String(); got != "ackdiscoverinformdhcp(9)" {
		t.Errorf("names: %s", got)
	}
}

func TestDHCPNone(t *testing.T) {
	good := dhcp(53, 1, 1, 255)
	change := func(at int, v byte) []byte { b := append([]byte(nil), good...); b[at] = v; return b }
	for name, p := range map[string]Packet{
		"other ports":  dhcpPacket(67, 1067, good),
		"no cookie":    dhcpPacket(68, 67, change(236, 0)),
		"token ring":   dhcpPacket(68, 67, change(1, 6)),
		"long address": dhcpPacket(68, 67, change(2, 16)),
		"BOOTP":        dhcpPacket(68, 67, dhcp(255, 53, 1, 1)),
		"type 0":       dhcpPacket(68, 67, dhcp(53, 1, 0)),
		"cut":          dhcpPacket(68, 67, dhcp(12, 50, 'a')),
		"cut in type":  dhcpPacket(68, 67, dhcp(53, 1)),
		"two bytes":    dhcpPacket(68, 67, dhcp(53, 2, 1, 1)),
		"short":        dhcpPacket(68, 67, good[:239]),
	} {
		if got, ok := p.DHCP(); ok {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

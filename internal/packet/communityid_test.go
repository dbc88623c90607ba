package packet

import (
	"net/netip"
	"testing"
)

// TestCommunityID uses the vectors that the specification and its reference
// implementation publish (github.com/corelight/pycommunityid). For ICMP, the
// ports are type and code.
func TestCommunityID(t *testing.T) {
	for _, c := range []struct {
		proto            uint8
		src, dst         string
		srcPort, dstPort uint16
		want             string
	}{
		{ProtoTCP, "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{ProtoTCP, "66.35.250.204", "128.232.110.120", 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{ProtoTCP, "10.0.0.1", "10.0.0.2", 10, 11569, "1:SXBGMX1lBOwhhoDrZynfROxnhnM="},
		{ProtoTCP, "192.168.1.42", "192.168.1.42", 42, 41, "1:eRcf7I/xocOxnYo5pbJBV5NhVm0="},
		{ProtoTCP, "192.168.1.42", "192.168.1.42", 41, 42, "1:eRcf7I/xocOxnYo5pbJBV5NhVm0="},
		{ProtoUDP, "192.168.1.52", "8.8.8.8", 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{ProtoUDP, "8.8.8.8", "192.168.1.52", 53, 54585, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{ProtoSCTP, "192.168.170.8", "192.168.170.56", 7, 80, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="},
		{ProtoSCTP, "192.168.170.56", "192.168.170.8", 80, 7, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="},
		{ProtoICMP, "192.168.0.89", "192.168.0.1", 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{ProtoICMP, "192.168.0.1", "192.168.0.89", 0, 8, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{ProtoICMP, "192.168.0.1", "192.168.0.89", 0, 20, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{ProtoICMP, "192.168.0.89", "192.168.0.1", 20, 0, "1:3o2RFccXzUgjl7zDpqmY7yJi8rI="},
		{ProtoICMP, "192.168.0.89", "192.168.0.1", 20, 1, "1:tz/fHIDUHs19NkixVVoOZywde+I="},
		{ProtoICMPv6, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{ProtoICMPv6, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 136, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{ProtoICMPv6, "3ffe:507:0:1:260:97ff:fe07:69ea", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0, "1:NdobDX8PQNJbAyfkWxhtL2Pqp5w="},
		{ProtoICMPv6, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:507:0:1:260:97ff:fe07:69ea", 3, 0, "1:/OGBt9BN1ofenrmSPWYicpij2Vc="},
		{46, "1.2.3.4", "5.6.7.8", 0, 0, "1:ikv3kmf89luf73WPz1jOs49S768="},
	} {
		p := Packet{Kind: KindIPv6, Proto: c.proto, Src: netip.MustParseAddr(c.src), Dst: netip.MustParseAddr(c.dst)}
		if p.Src.Is4() {
			p.Kind = KindIPv4
		}
		if c.proto == ProtoICMP || c.proto == ProtoICMPv6 {
			p.ICMPType, p.ICMPCode = uint8(c.srcPort), uint8(c.dstPort)
		} else {
			p.SrcPort, p.DstPort, p.HasPorts = c.srcPort, c.dstPort, c.srcPort != 0
		}
		if got := CommunityID(&p); got != c.want {
			t.Errorf("protocol %d %s:%d → %s:%d: %s, want %s", c.proto, c.src, c.srcPort, c.dst, c.dstPort, got, c.want)
		}
	}
}

func TestCommunityIDPairs(t *testing.T) {
	for _, proto := range []uint8{ProtoICMP, ProtoICMPv6} {
		pairs := 0
		for v := range 256 {
			other, ok := icmpCounterpart(proto, uint8(v))
			if !ok {
				continue
			}
			pairs++
			if back, ok := icmpCounterpart(proto, other); !ok || back != uint8(v) {
				t.Errorf("protocol %d: type %d answers %d, which answers %d, %v", proto, v, other, back, ok)
			}
		}
		if want := map[uint8]int{ProtoICMP: 10, ProtoICMPv6: 12}[proto]; pairs != want {
			t.Errorf("protocol %d has %d types with a counterpart, want %d", proto, pairs, want)
		}
	}
}

func TestCommunityIDNone(t *testing.T) {
	for name, frame := range map[string][]byte{
		"ARP":       ethernet(0x0806, arp(1)),
		"no IP":     ethernet(0x8892, []byte("x")),
		"fragment":  ethernet(0x0800, ip4(ProtoTCP, 9, "", tcp(0, "", ""))),
		"no ports":  ethernet(0x0800, ip4(ProtoTCP, 0, "", tcp(0, "", ""))[:22]),
		"ICMP cut":  ethernet(0x0800, ip4(ProtoICMP, 0, "", []byte{8})),
		"ICMP part": ethernet(0x0800, ip4(ProtoICMP, 7, "", make([]byte, 9))),
	} {
		p := decoded(LinkEthernet, frame)
		if got := CommunityID(&p); got != "" {
			t.Errorf("%s: %q, want none", name, got)
		}
	}
}

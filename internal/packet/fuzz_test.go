package packet

import (
	"bytes"
	"testing"
)

// FuzzDecode decodes anything as every link type: never a panic, never an
// allocation's worth of state from the frame before, and facts that agree.
func FuzzDecode(f *testing.F) {
	seeds := 0
	for _, c := range cases() {
		f.Add(c.frame)
		seeds++
	}
	f.Add(ethernet(0x0800, ip4(ProtoUDP, 0, "", cat(u16(68, 67, 251, 0), dhcp(53, 1, 1)))))
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, link := range append(LinkTypes(), 9999) {
			p := decoded(link, frame)
			again := decoded(link, frame)
			if !equal(p, again) {
				t.Fatalf("%v: twice the same frame:\n%+v\n%+v", link, p, again)
			}
			check(t, &p, frame)
		}
	})
}

// check verifies what holds for every decoded packet.
func check(t *testing.T, p *Packet, frame []byte) {
	t.Helper()
	if p.Time != 99 || p.Length != 1000 || p.Captured != len(frame) {
		t.Fatalf("the caller's fields: %+v", p)
	}
	ip := p.Kind == KindIPv4 || p.Kind == KindIPv6
	switch {
	case (p.Kind == KindOther) == p.Src.IsValid() || p.Src.IsValid() != p.Dst.IsValid():
		t.Fatalf("kind and addresses: %+v", p)
	case (p.Kind == KindIPv6) != p.Src.Is6():
		t.Fatalf("kind and version: %+v", p)
	case p.HasPorts && (!ip || p.Fragment), !p.HasPorts && p.SrcPort|p.DstPort != 0:
		t.Fatalf("ports: %+v", p)
	case !ip && (p.Proto != 0 || p.Fragment), p.VLAN > 0x0fff, p.EtherType != 0 && p.EtherType < 0x0600:
		t.Fatalf("fields of other kinds: %+v", p)
	case !bytes.Contains(frame, p.Payload):
		t.Fatalf("payload is not of the frame: %+v", p)
	}
	if id := CommunityID(p); id != "" && (len(id) != 30 || !ip) {
		t.Fatalf("community ID %q of %+v", id, p)
	}
	if m, ok := p.DHCP(); ok && (m.Type == 0 || !m.Held.Is4() || !m.Given.Is4() || !p.HasPorts) {
		t.Fatalf("DHCP %+v of %+v", m, p)
	}
}

func TestNoAllocations(t *testing.T) {
	all := cases()
	message := dhcpPacket(68, 67, dhcp(53, 1, 1))
	var p Packet
	allocs := testing.AllocsPerRun(100, func() {
		for _, c := range all {
			Decode(c.link, c.frame, &p)
		}
		if _, ok := message.DHCP(); !ok {
			t.Fatal("no DHCP message")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, frame := range map[string][]byte{
		"TCP":  ethernet(0x0800, ip4(ProtoTCP, 0, "", tcp(0x18, "", "payload"))),
		"UDP6": ethernet(0x86dd, ip6(ProtoUDP, udp("payload"))),
		"VLAN": ethernet(0x8100, u16(5, 0x0800), ip4(ProtoUDP, 0, "", udp("payload"))),
		"ARP":  ethernet(0x0806, arp(1)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var p Packet
			for range b.N {
				Decode(LinkEthernet, frame, &p)
			}
		})
	}
}

func BenchmarkCommunityID(b *testing.B) {
	p := decoded(LinkEthernet, ethernet(0x0800, ip4(ProtoTCP, 0, "", tcp(0x18, "", "payload"))))
	b.ReportAllocs()
	for range b.N {
		CommunityID(&p)
	}
}

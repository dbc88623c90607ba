package packet

import (
	"strings"
	"testing"
)

// cases is frames with what they decode to.
func cases() map[string]struct {
	link  LinkType
	frame []byte
	want  Packet
} {
	type c = struct {
		link  LinkType
		frame []byte
		want  Packet
	}
	all := map[string]c{}
	add := func(name string, link LinkType, frame []byte, want func(Packet) Packet) {
		all[name] = c{link, frame, want(base(frame, link == LinkEthernet))}
	}
	addLinks(add)
	addIP(add)
	addTransport(add)
	return all
}

type adder = func(name string, link LinkType, frame []byte, want func(Packet) Packet)

func addLinks(add adder) {
	inner := ip4(ProtoUDP, 0, "", udp("hello"))
	plain := func(p Packet) Packet { return p.asIPv4(ProtoUDP).asUDP("hello") }
	vlan := func(id uint16) func(Packet) Packet {
		return func(p Packet) Packet { p = plain(p); p.VLAN = id; return p }
	}
	add("Ethernet", LinkEthernet, ethernet(0x0800, inner), plain)
	add("Ethernet padding", LinkEthernet, ethernet(0x0800, inner, make([]byte, 13)), plain)
	add("802.1Q", LinkEthernet, ethernet(0x8100, u16(0xe065, 0x0800), inner), vlan(101))
	add("QinQ", LinkEthernet, ethernet(0x88a8, u16(600, 0x8100, 7, 0x0800), inner), vlan(600))
	add("old QinQ", LinkEthernet, ethernet(0x9100, u16(600, 0x8100, 7, 0x0800), inner), vlan(600))
	add("SNAP", LinkEthernet, ethernet(uint16(8+len(inner)), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, inner, make([]byte, 9)), plain)
	add("SNAP in VLAN", LinkEthernet, ethernet(0x8100, u16(5, uint16(8+len(inner))), []byte{0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0}, inner), vlan(5))
	add("spanning tree", LinkEthernet, ethernet(5, []byte{0x42, 0x42, 3, 9, 9, 0, 0}), func(p Packet) Packet {
		p.Payload = []byte{0x42, 0x42, 3, 9, 9}
		return p
	})
	add("SNAP of a vendor", LinkEthernet, ethernet(10, []byte{0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 1, 2}), func(p Packet) Packet {
		p.Payload = []byte{1, 2}
		return p
	})
	add("neither type nor length", LinkEthernet, ethernet(1501, []byte("abc")), func(p Packet) Packet {
		p.Payload = []byte("abc")
		return p
	})
	add("PROFINET", LinkEthernet, ethernet(0x8892, []byte("abc")), func(p Packet) Packet {
		p.EtherType, p.Payload = 0x8892, []byte("abc")
		return p
	})
	add("ARP", LinkEthernet, ethernet(0x0806, arp(2), make([]byte, 18)), func(p Packet) Packet {
		p = p.asIPv4(0)
		p.Kind, p.EtherType, p.ARPOp = KindARP, EtherTypeARP, 2
		return p
	})
	other := arp(1)
	other[1] = 24 // IEEE 1394
	add("ARP of another hardware", LinkEthernet, ethernet(0x0806, other), func(p Packet) Packet {
		p.EtherType, p.Payload = EtherTypeARP, other
		return p
	})
	addOtherLinks(add, inner, plain)
}

func addOtherLinks(add adder, inner []byte, plain func(Packet) Packet) {
	source := func(p Packet) Packet {
		p = plain(p)
		p.HasMAC = true
		copy(p.SrcMAC[:], nearMAC)
		return p
	}
	for _, link := range []LinkType{LinkRaw, LinkRawBSD, LinkRawOpen, LinkIPv4} {
		add("raw "+link.String(), link, inner, plain)
	}
	six := ip6(ProtoUDP, udp("six"))
	plain6 := func(p Packet) Packet { return p.asIPv6(ProtoUDP).asUDP("six") }
	add("raw 6", LinkRaw, six, plain6)
	add("raw IPv6", LinkIPv6, six, plain6)
	add("null, little-endian", LinkNull, cat([]byte{2, 0, 0, 0}, inner), plain)
	add("null, big-endian", LinkNull, cat([]byte{0, 0, 0, 30}, six), plain6)
	add("loop", LinkLoop, cat([]byte{0, 0, 0, 24}, six), plain6)
	add("loop of another family", LinkLoop, []byte{0, 0, 0, 7, 1, 2}, func(p Packet) Packet { p.Payload = []byte{1, 2}; return p })
	add("cooked", LinkSLL, cat(u16(0, 1, 6), []byte(nearMAC), u16(0, 0x0800), inner), source)
	add("cooked, VLAN", LinkSLL, cat(u16(0, 1, 6), []byte(nearMAC), u16(0, 0x8100, 9, 0x0800), inner), func(p Packet) Packet {
		p = source(p)
		p.VLAN = 9
		return p
	})
	add("cooked, LLC", LinkSLL, cat(u16(0, 1, 6), []byte(nearMAC), u16(0, 4), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, inner), source)
	add("cooked, no address", LinkSLL, cat(u16(0, 512, 0, 0, 0, 0, 0, 0x0800), inner), plain)
	add("cooked loopback", LinkSLL, cat(u16(0, 772, 6, 0, 0, 0, 0, 0x0800), inner), plain)
	add("cooked netlink", LinkSLL, cat(u16(0, 824, 0, 0, 0, 0, 0, 0x0800), []byte("n")), func(p Packet) Packet { p.Payload = []byte("n"); return p })
	add("cooked CAN", LinkSLL, cat(u16(0, 280, 0, 0, 0, 0, 0, 12), []byte("n")), func(p Packet) Packet { p.Payload = []byte("n"); return p })
	add("cooked 2", LinkSLL2, cat(u16(0x0800, 0, 0, 3, 1), []byte{4, 6}, []byte(nearMAC), u16(0), inner), source)
	add("not supported", 127, inner, func(p Packet) Packet { return p })
}

func addIP(add adder) {
	stop := func(proto uint8, payload string) func(Packet) Packet {
		return func(p Packet) Packet { p = p.asIPv6(proto); p.Payload = []byte(payload); return p }
	}
	plain6 := func(p Packet) Packet { return p.asIPv6(ProtoUDP).asUDP("six") }
	u := udp("six")
	add("IPv4 options", LinkRaw, ip4(ProtoUDP, 0, "\x94\x04\x00\x00\x01\x01\x01\x00", u), func(p Packet) Packet { return p.asIPv4(ProtoUDP).asUDP("six") })
	add("IPv4 first fragment", LinkRaw, ip4(ProtoUDP, 0x2000, "", u), func(p Packet) Packet { return p.asIPv4(ProtoUDP).asUDP("six") })
	add("IPv4 later fragment", LinkRaw, ip4(ProtoUDP, 0x2003, "", u), func(p Packet) Packet {
		p = p.asIPv4(ProtoUDP)
		p.Fragment, p.Payload = true, u
		return p
	})
	offloaded := ip4(ProtoUDP, 0, "", u)
	offloaded[2], offloaded[3] = 0, 0
	add("IPv4 without total length", LinkRaw, offloaded, func(p Packet) Packet { return p.asIPv4(ProtoUDP).asUDP("six") })
	add("IPv4 AH", LinkRaw, ip4(protoAH, 0, "", []byte{ProtoUDP, 4}, make([]byte, 22), u), func(p Packet) Packet { return p.asIPv4(ProtoUDP).asUDP("six") })
	add("all extensions", LinkRaw, ip6(0, extension(60, 0), extension(43, 2), extension(51, 0), []byte{44, 4}, make([]byte, 22),
		fragment6(135, 0), extension(139, 0), extension(140, 0), extension(ProtoUDP, 1), u), plain6)
	add("IPv6 later fragment", LinkRaw, ip6(44, fragment6(ProtoUDP, 5), []byte("rest")), func(p Packet) Packet {
		p = stop(ProtoUDP, "rest")(p)
		p.Fragment = true
		return p
	})
	add("ESP", LinkRaw, ip6(0, extension(50, 0), []byte("secret")), stop(50, "secret"))
	add("no next header", LinkRaw, ip6(59, []byte("rest")), stop(59, "rest"))
	jumbo := ip6(ProtoUDP, u)
	jumbo[4], jumbo[5] = 0, 0
	add("IPv6 without length", LinkRaw, jumbo, plain6)
	add("IPv6 padding", LinkEthernet, ethernet(0x86dd, ip6(ProtoUDP, u), make([]byte, 5)), plain6)
	add("tunnel", LinkRaw, ip6(41, []byte("x")), stop(41, "x"))
}

func addTransport(add adder) {
	over4 := func(proto uint8, change func(*Packet)) func(Packet) Packet {
		return func(p Packet) Packet { p = p.asIPv4(proto); change(&p); return p }
	}
	add("TCP", LinkRaw, ip4(ProtoTCP, 0, "", tcp(0x12, "\x02\x04\x05\xb4", "GET")), over4(ProtoTCP, func(p *Packet) {
		p.SrcPort, p.DstPort, p.HasPorts = 40000, 443, true
		p.TCPFlags, p.TCPSeq, p.Payload = 0x12, 258, []byte("GET")
	}))
	short := udp("hello")
	short[5] = 8 + 2
	add("UDP shorter than IP", LinkRaw, ip4(ProtoUDP, 0, "", short), func(p Packet) Packet { return p.asIPv4(ProtoUDP).asUDP("he") })
	short = udp("hello")
	short[5] = 0
	add("UDP without length", LinkRaw, ip4(ProtoUDP, 0, "", short), func(p Packet) Packet { return p.asIPv4(ProtoUDP).asUDP("hello") })
	add("UDP-Lite", LinkRaw, ip4(ProtoUDPLite, 0, "", udp("lite")), func(p Packet) Packet { return p.asIPv4(ProtoUDPLite).asUDP("lite") })
	add("SCTP", LinkRaw, ip4(ProtoSCTP, 0, "", u16(5353, 53, 0, 0, 0, 0), []byte("chunk")), func(p Packet) Packet { return p.asIPv4(ProtoSCTP).asUDP("chunk") })
	add("DCCP", LinkRaw, ip4(ProtoDCCP, 0, "", u16(5353, 53), []byte{4}, make([]byte, 11), []byte("data")), func(p Packet) Packet { return p.asIPv4(ProtoDCCP).asUDP("data") })
	add("ICMP", LinkRaw, ip4(ProtoICMP, 0, "", []byte{3, 1, 0, 0, 0, 0, 0, 0}, []byte("quote")), over4(ProtoICMP, func(p *Packet) {
		p.ICMPType, p.ICMPCode, p.Payload = 3, 1, []byte("quote")
	}))
	add("ICMPv6", LinkRaw, ip6(ProtoICMPv6, []byte{135, 0, 0, 0}, []byte("target")), func(p Packet) Packet {
		p = p.asIPv6(ProtoICMPv6)
		p.ICMPType, p.Payload = 135, []byte("target")
		return p
	})
	add("IGMP", LinkRaw, ip4(ProtoIGMP, 0, "\x94\x04\x00\x00", []byte{0x16, 0, 0, 0, 224, 0, 0, 251}), over4(ProtoIGMP, func(*Packet) {}))
	add("GRE", LinkRaw, ip4(47, 0, "", []byte("gre")), over4(47, func(p *Packet) { p.Payload = []byte("gre") }))
}

func TestDecode(t *testing.T) {
	for name, c := range cases() {
		if got := decoded(c.link, c.frame); !equal(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, c.want)
		}
	}
}

// TestDecodeMalformed reads headers that contradict themselves: what stands
// above them is kept.
func TestDecodeMalformed(t *testing.T) {
	change := func(b []byte, at int, v byte) []byte { b[at] = v; return b }
	for _, c := range []struct {
		name  string
		frame []byte
		kind  Kind
		proto uint8
		ports bool
	}{
		{"IPv4 header of 16 bytes", change(ip4(ProtoUDP, 0, "", udp("x")), 0, 0x44), KindIPv4, ProtoUDP, false},
		{"IPv4 total of 19 bytes", change(ip4(ProtoUDP, 0, "", udp("x")), 3, 19), KindIPv4, ProtoUDP, false},
		{"IPv4 header beyond total", change(ip4(ProtoUDP, 0, "", udp("x")), 0, 0x4f), KindIPv4, ProtoUDP, false},
		{"version 5", change(ip4(ProtoUDP, 0, "", udp("x")), 0, 0x55), KindOther, 0, false},
		{"TCP header of 16 bytes", change(ip4(ProtoTCP, 0, "", tcp(2, "", "x")), 32, 4<<4), KindIPv4, ProtoTCP, true},
		{"TCP header beyond packet", change(ip4(ProtoTCP, 0, "", tcp(2, "", "x")), 32, 6<<4), KindIPv4, ProtoTCP, true},
		{"UDP length of 7", change(ip4(ProtoUDP, 0, "", udp("x")), 25, 7), KindIPv4, ProtoUDP, true},
		{"DCCP header of 8 bytes", ip4(ProtoDCCP, 0, "", u16(1, 2), []byte{2}, make([]byte, 11)), KindIPv4, ProtoDCCP, true},
		{"extension beyond packet", ip6(60, extension(ProtoUDP, 9)[:16]), KindIPv6, 60, false},
		{"nothing", nil, KindOther, 0, false},
	} {
		p := decoded(LinkRaw, c.frame)
		if !p.Truncated || p.Kind != c.kind || p.Proto != c.proto || p.HasPorts != c.ports {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

// TestDecodeTruncated cuts every frame at every byte. What is set must be what
// the whole frame has, and a frame cut before its payload must say so.
func TestDecodeTruncated(t *testing.T) {
	for name, c := range cases() {
		whole := decoded(c.link, c.frame)
		body := len(c.frame)
		if len(whole.Payload) > 0 {
			body = strings.LastIndex(string(c.frame), string(whole.Payload))
		}
		for n := range len(c.frame) {
			p := decoded(c.link, c.frame[:n])
			padded := strings.Contains(name, "padding") || whole.Kind == KindARP || name == "SNAP" || name == "spanning tree"
			if c.link.Supported() && whole.EtherType != 0 && n < body && !p.Truncated && !padded {
				t.Errorf("%s cut at %d of %d: not truncated: %+v", name, n, body, p)
			}
			if p.Kind != KindOther && (p.Kind != whole.Kind || p.Src != whole.Src || p.Dst != whole.Dst) {
				t.Errorf("%s cut at %d: other addresses: %+v", name, n, p)
			}
			if p.HasPorts && (p.SrcPort != whole.SrcPort || p.DstPort != whole.DstPort) {
				t.Errorf("%s cut at %d: other ports: %+v", name, n, p)
			}
		}
	}
}

func TestLinkTypes(t *testing.T) {
	all := LinkTypes()
	for i, l := range all {
		if !l.Supported() || (i > 0 && all[i-1] >= l) {
			t.Errorf("%v: supported %v", l, l.Supported())
		}
	}
	supported := 0
	for l := range LinkType(1000) {
		if l.Supported() {
			supported++
		} else if l.String() == "" || strings.Contains(l.String(), "(") {
			t.Errorf("link type %d is called %q", uint32(l), l)
		}
	}
	if supported != len(all) {
		t.Errorf("%d supported, %d listed", supported, len(all))
	}
	if got := LinkEthernet.String(); got != "Ethernet (1)" {
		t.Errorf("got %q", got)
	}
}

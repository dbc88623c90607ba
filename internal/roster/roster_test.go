package roster

import (
	"net/netip"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

var (
	camera  = zone.MAC{0x64, 0x16, 0x66, 0, 0, 1}
	lamp    = zone.MAC{0x64, 0x16, 0x66, 0, 0, 2}
	router  = zone.MAC{0x64, 0x16, 0x66, 0, 0, 3}
	random  = zone.MAC{0x66, 0x16, 0x66, 0, 0, 4} // locally administered
	group   = zone.MAC{0x01, 0, 0x5e, 0, 0, 1}
	nothing zone.MAC
)

// ip is a packet with IP or, without addresses, another frame.
func ip(from, to zone.MAC, src, dst string) *packet.Packet {
	p := &packet.Packet{HasMAC: true, SrcMAC: from, DstMAC: to}
	if src != "" {
		p.Kind, p.Src, p.Dst = packet.KindIPv4, netip.MustParseAddr(src), netip.MustParseAddr(dst)
		if p.Src.Is6() {
			p.Kind = packet.KindIPv6
		}
	}
	return p
}

func arp(from zone.MAC, src, dst string) *packet.Packet {
	p := ip(from, zone.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, src, dst)
	p.Kind = packet.KindARP
	return p
}

func TestIsDevice(t *testing.T) {
	guess := New(Options{Gateways: []zone.MAC{router}, Devices: []zone.MAC{random, lamp}})
	subnets := New(Options{Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/64")}})
	raw := ip(nothing, nothing, "192.168.1.5", "8.8.8.8")
	raw.HasMAC = false
	tests := map[string]struct {
		p              *packet.Packet
		guess, subnets bool
	}{
		"private":           {ip(camera, router, "192.168.1.5", "8.8.8.8"), true, false},
		"in the subnet":     {ip(camera, router, "10.1.2.3", "8.8.8.8"), true, true},
		"beside the subnet": {ip(camera, router, "10.2.2.3", "8.8.8.8"), true, false},
		"public":            {ip(camera, router, "8.8.8.8", "192.168.1.5"), false, false},
		"unspecified":       {ip(camera, group, "0.0.0.0", "255.255.255.255"), true, true},
		"link-local":        {ip(camera, group, "169.254.3.4", "224.0.0.1"), true, true},
		"loopback":          {ip(camera, router, "127.0.0.1", "8.8.8.8"), false, false},
		"multicast source":  {ip(camera, router, "224.0.0.1", "8.8.8.8"), false, false},
		"IPv6 link-local":   {ip(camera, group, "fe80::1", "ff02::1"), true, true},
		"IPv6 unspecified":  {ip(camera, group, "::", "ff02::1"), true, true},
		"IPv6 private":      {ip(camera, router, "fd00::1", "2001:db8:9::1"), true, false},
		"IPv6 global":       {ip(camera, router, "2001:db8::1", "2001:db8:9::1"), false, true},
		"ARP":               {arp(camera, "10.1.0.5", "10.1.0.1"), true, true},
		"ARP probe":         {arp(camera, "0.0.0.0", "10.1.0.1"), true, true},
		"no IP":             {ip(camera, lamp, "", ""), true, true},
		"gateway":           {ip(router, camera, "10.1.0.1", "10.1.0.5"), false, true},
		"made up":           {ip(zone.MAC{2, 0, 0, 0, 0, 9}, router, "10.1.0.5", "8.8.8.8"), false, false},
		"made up, listed":   {ip(random, router, "10.1.0.5", "8.8.8.8"), true, false},
		"listed, public":    {ip(lamp, router, "8.8.8.8", "8.8.4.4"), true, false},
		"group":             {ip(group, router, "10.1.0.5", "8.8.8.8"), false, false},
		"broadcast":         {ip(zone.MAC{255, 255, 255, 255, 255, 255}, router, "10.1.0.5", "8.8.8.8"), false, false},
		"no address":        {ip(nothing, router, "10.1.0.5", "8.8.8.8"), false, false},
		"raw IP":            {raw, false, false},
	}
	for name, tt := range tests {
		if got := guess.IsDevice(tt.p); got != tt.guess {
			t.Errorf("%s: without subnets %v, want %v", name, got, tt.guess)
		}
		if got := subnets.IsDevice(tt.p); got != tt.subnets {
			t.Errorf("%s: with subnets %v, want %v", name, got, tt.subnets)
		}
	}
}

// TestCooked: a cooked capture knows the sender only, which is enough for a
// device, and not for a gateway.
func TestCooked(t *testing.T) {
	frame := append([]byte{0, 0, 0, 1, 0, 6}, camera[:]...)
	frame = append(frame, 0, 0, 0x08, 0x00)
	frame = append(frame, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 192, 168, 1, 5, 8, 8, 8, 8)
	var p packet.Packet
	packet.Decode(packet.LinkSLL, frame, &p)
	r := New(Options{})
	s := r.NewScan()
	s.Packet(&p)
	s.Done()
	if !r.IsDevice(&p) || len(r.gateways) != 0 {
		t.Errorf("device: %v, gateways: %v", r.IsDevice(&p), r.gateways)
	}
}

func TestName(t *testing.T) {
	r := New(Options{Names: map[zone.MAC]string{camera: "camera", lamp: ""}})
	for m, want := range map[zone.MAC]string{camera: "camera", lamp: lamp.String(), router: router.String()} {
		if got := r.Name(m); got != want {
			t.Errorf("%s is called %q, want %q", m, got, want)
		}
	}
}

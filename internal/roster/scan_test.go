package roster

import (
	"net/netip"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// scan passes packets through one scan.
func scan(r *Roster, packets ...*packet.Packet) {
	s := r.NewScan()
	for _, p := range packets {
		s.Packet(p)
	}
	s.Done()
}

// sent is what a device of the zone sends outside through the router, and back
// what comes from there.
func sent(from zone.MAC, src, to string) *packet.Packet { return ip(from, router, src, to) }
func back(src, to string) *packet.Packet                { return ip(router, camera, src, to) }

func TestScan(t *testing.T) {
	request := arp(router, "192.168.1.1", "192.168.1.5")
	routed := sent(camera, "192.168.1.5", "8.8.8.8")
	two := []*packet.Packet{sent(camera, "192.168.1.5", "8.8.8.8"), sent(lamp, "192.168.1.6", "8.8.4.4"), sent(lamp, "192.168.1.6", "1.1.1.1")}
	tests := map[string]struct {
		o    Options
		in   []*packet.Packet
		want bool
	}{
		"nothing":                     {Options{}, nil, false},
		"one frame":                   {Options{}, []*packet.Packet{routed}, false},
		"one device, many places":     {Options{}, []*packet.Packet{routed, sent(camera, "192.168.1.5", "8.8.4.4"), sent(camera, "192.168.1.5", "1.1.1.1"), sent(camera, "192.168.1.5", "9.9.9.9")}, false},
		"two devices, two places":     {Options{}, []*packet.Packet{routed, sent(lamp, "192.168.1.6", "8.8.8.8"), sent(lamp, "192.168.1.6", "8.8.4.4")}, false},
		"two devices, three places":   {Options{}, two, true},
		"sent from outside":           {Options{}, []*packet.Packet{sent(camera, "8.8.8.8", "9.9.9.9"), sent(lamp, "8.8.8.8", "8.8.4.4"), sent(lamp, "8.8.8.8", "1.1.1.1")}, false},
		"there and back":              {Options{}, []*packet.Packet{routed, back("8.8.8.8", "192.168.1.5")}, true},
		"back, then there":            {Options{}, []*packet.Packet{back("8.8.8.8", "192.168.1.5"), routed}, true},
		"back only":                   {Options{}, []*packet.Packet{back("8.8.8.8", "192.168.1.5"), back("9.9.9.9", "192.168.1.5")}, false},
		"back from the zone":          {Options{}, []*packet.Packet{routed, back("192.168.1.1", "192.168.1.5")}, false},
		"ARP, then routed":            {Options{}, append([]*packet.Packet{request}, two...), true},
		"ARP only":                    {Options{}, []*packet.Packet{request}, false},
		"ARP for outside":             {Options{}, []*packet.Packet{arp(camera, "192.168.1.5", "8.8.8.8")}, false},
		"a neighbour":                 {Options{}, []*packet.Packet{sent(camera, "192.168.1.5", "192.168.1.1"), back("8.8.8.8", "192.168.1.5")}, false},
		"multicast":                   {Options{}, []*packet.Packet{sent(camera, "192.168.1.5", "239.0.0.1"), back("8.8.8.8", "192.168.1.5")}, false},
		"limited broadcast":           {Options{}, []*packet.Packet{sent(camera, "192.168.1.5", "255.255.255.255"), back("8.8.8.8", "192.168.1.5")}, false},
		"one IPv6 network":            {Options{}, []*packet.Packet{sent(camera, "2001:db8::5", "2001:db8::1"), sent(lamp, "2001:db8::6", "2001:db8::2"), back("2001:db8::1", "2001:db8::5")}, false},
		"IPv6 networks":               {Options{}, []*packet.Packet{sent(camera, "2001:db8::5", "2001:db8:2::1"), sent(lamp, "2001:db8::6", "2001:db8:1::1"), sent(lamp, "fe80::6", "2001:db8:3::1")}, true},
		"IPv6 networks and back":      {Options{}, []*packet.Packet{sent(camera, "2001:db8::5", "2001:db8:2::1"), sent(camera, "2001:db8::5", "2001:db8:1::1"), back("2001:db8:2::1", "2001:db8::5"), back("2001:db8:1::1", "2001:db8::5")}, true},
		"one IPv6 network comes back": {Options{}, []*packet.Packet{sent(camera, "2001:db8::5", "2001:db8:2::1"), sent(camera, "2001:db8::5", "2001:db8:1::1"), back("2001:db8::9", "2001:db8::5")}, false},
		"another gateway is named":    {Options{Gateways: []zone.MAC{lamp}}, two, false},
		"it is listed as a device":    {Options{Devices: []zone.MAC{router}}, two, false},
		"outside a public subnet":     {Options{Subnets: []netip.Prefix{netip.MustParsePrefix("8.8.8.0/24")}}, []*packet.Packet{sent(camera, "8.8.8.5", "8.8.8.8"), back("8.8.8.8", "8.8.8.5")}, false},
	}
	for name, tt := range tests {
		r := New(tt.o)
		scan(r, tt.in...)
		if got := r.IsGateway(router); got != tt.want {
			t.Errorf("%s: gateway %v, want %v", name, got, tt.want)
		}
		if got := r.IsDevice(request); got == tt.want && len(tt.o.Subnets) == 0 {
			t.Errorf("%s: device %v", name, got)
		}
		if r.IsGateway(camera) {
			t.Errorf("%s: the camera is a gateway", name)
		}
	}
}

// TestScanTwice: who sent something while it was learned does not become a
// gateway by what is watched; who did not, does; a gateway stays one.
func TestScanTwice(t *testing.T) {
	r := New(Options{})
	scan(r, ip(camera, router, "192.168.1.5", "8.8.8.8"), ip(router, camera, "8.8.8.8", "192.168.1.5"), arp(lamp, "192.168.1.6", "192.168.1.1"))
	other := zone.MAC{0x64, 0x16, 0x66, 0, 0, 9}
	scan(r, ip(camera, lamp, "192.168.1.5", "8.8.8.8"), ip(lamp, router, "192.168.1.5", "8.8.8.8"),
		ip(lamp, camera, "8.8.8.8", "192.168.1.5"),
		ip(camera, other, "192.168.1.5", "8.8.4.4"), ip(other, camera, "8.8.4.4", "192.168.1.5"), ip(router, camera, "8.8.8.8", "192.168.1.5"))
	for m, want := range map[zone.MAC]bool{router: true, other: true, lamp: false, camera: false} {
		if got := r.IsGateway(m); got != want {
			t.Errorf("%s is a gateway: %v, want %v", m, got, want)
		}
	}
}

// TestScanBounds: forged addresses do not make a scan remember more and more.
func TestScanBounds(t *testing.T) {
	r := New(Options{})
	s := r.NewScan()
	networks := &hop{}
	for i := range 9 {
		networks.to = note(networks.to, netip.PrefixFrom(netip.AddrFrom4([4]byte{8, 8, 8, byte(i)}), 32), hopNetworks)
	}
	if len(networks.to) != hopNetworks {
		t.Errorf("it remembers %d networks behind one", len(networks.to))
	}
	for i := range 3 * scanLimit {
		forged := zone.MAC{0, 1, 2, byte(i >> 16), byte(i >> 8), byte(i)}
		s.Packet(ip(forged, forged, "192.168.1.5", "8.8.8.8"))
		s.Packet(ip(forged, forged, "fd00::1", "2001:db8::1"))
	}
	if len(s.senders) != scanLimit || len(s.hops) != scanLimit {
		t.Errorf("it remembers %d senders and %d next hops", len(s.senders), len(s.hops))
	}
	s.Done()
}

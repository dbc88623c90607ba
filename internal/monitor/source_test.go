package monitor

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

var (
	stranger  = zone.MAC{0, 0, 0x5e, 0, 0x53, 0x66}
	strangerA = netip.MustParseAddr("192.168.77.66")
)

// arp is an ARP reply that claims an address.
func arp(from zone.MAC, claims netip.Addr) *packet.Packet {
	return &packet.Packet{Length: 42, Kind: packet.KindARP, HasMAC: true, SrcMAC: from, DstMAC: router, EtherType: 0x0806,
		Src: claims, Dst: netip.MustParseAddr("192.168.77.1"), ARPOp: 2}
}

// ack is a server's DHCP acknowledgement that gives an address away.
func ack(server zone.MAC, client zone.MAC, gives netip.Addr) *packet.Packet {
	b := make([]byte, 240)
	b[0], b[1], b[2] = 2, 1, 6
	given := gives.As4()
	copy(b[16:], given[:])
	copy(b[28:], client[:])
	binary.BigEndian.PutUint32(b[236:], 0x63825363)
	return &packet.Packet{Length: 300, Kind: packet.KindIPv4, HasMAC: true, SrcMAC: server, DstMAC: client, EtherType: 0x0800,
		Src: netip.MustParseAddr("192.168.77.1"), Dst: gives, Proto: 17, SrcPort: 67, DstPort: 68, HasPorts: true,
		Payload: append(b, 53, 1, 5, 255)}
}

func TestSources(t *testing.T) {
	fresh := netip.MustParseAddr("192.168.77.99")
	public := netip.MustParseAddr("203.0.113.7")
	for _, c := range []struct {
		name string
		send func(b *bench) []*packet.Packet
		by   zone.MAC // who is malicious then; zero: nobody
		says string
	}{
		{"another address", func(b *bench) []*packet.Packet { return []*packet.Packet{b.udp(camera, fresh)} },
			camera, "it uses the source address 192.168.77.99, which it never had"},
		{"spoofed", func(b *bench) []*packet.Packet { return []*packet.Packet{b.udp(camera, public)} },
			camera, "it uses the source address 203.0.113.7, which it never had"},
		{"the neighbour's address", func(b *bench) []*packet.Packet { return []*packet.Packet{b.udp(camera, plugA)} },
			camera, "it uses the address 192.168.77.21 of "},
		{"its address from another station", func(b *bench) []*packet.Packet { return []*packet.Packet{b.udp(stranger, cameraA)} },
			camera, "its address 192.168.77.20 is used by 00:00:5e:00:53:66"},
		{"ARP claims the gateway's address", func(b *bench) []*packet.Packet {
			return []*packet.Packet{arp(camera, netip.MustParseAddr("192.168.77.1"))}
		},
			camera, "it uses the source address 192.168.77.1"},
		{"ARP claims the neighbour's address", func(b *bench) []*packet.Packet { return []*packet.Packet{arp(stranger, plugA)} },
			plug, "its address 192.168.77.21 is used by 00:00:5e:00:53:66"},
		{"a new lease", func(b *bench) []*packet.Packet {
			return []*packet.Packet{ack(router, camera, fresh), b.udp(camera, fresh)}
		}, zone.MAC{}, ""},
		{"a lease that it gave itself", func(b *bench) []*packet.Packet {
			forged := ack(camera, camera, fresh)
			forged.Src = cameraA
			return []*packet.Packet{forged, b.udp(camera, fresh)}
		}, camera, "it uses the source address 192.168.77.99"},
		{"a lease of somebody else", func(b *bench) []*packet.Packet {
			return []*packet.Packet{ack(router, plug, fresh), b.udp(camera, fresh)}
		}, camera, "it uses the source address 192.168.77.99"},
		{"link-local", func(b *bench) []*packet.Packet {
			return []*packet.Packet{b.udp(camera, netip.MustParseAddr("169.254.7.7")), b.udp(camera, netip.MustParseAddr("fe80::7"))}
		}, zone.MAC{}, ""},
		{"no address yet", func(b *bench) []*packet.Packet {
			return []*packet.Packet{b.udp(camera, netip.IPv4Unspecified()), arp(camera, netip.IPv4Unspecified())}
		}, zone.MAC{}, ""},
		{"the router forwards", func(b *bench) []*packet.Packet { return []*packet.Packet{b.udp(router, cameraA)} }, zone.MAC{}, ""},
		{"a device that is still learning", func(b *bench) []*packet.Packet {
			return []*packet.Packet{b.udp(stranger, strangerA), b.udp(stranger, fresh)}
		}, zone.MAC{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := learned(t, Options{})
			for _, p := range c.send(b) {
				b.send(time.Second, p)
			}
			b.flush()
			if c.by == (zone.MAC{}) {
				if len(b.alerts) != 0 {
					t.Errorf("%s: %q, want no alert", b.alerts[0].Device, b.alerts[0].Text)
				}
				return
			}
			if len(b.alerts) != 1 {
				t.Fatalf("%d alerts, want 1", len(b.alerts))
			}
			a := b.alerts[0]
			if a.Device != c.by || a.Reason != zone.ReasonSource || !strings.Contains(a.Text, c.says) || a.Rows != 1 || a.First != a.Last {
				t.Errorf("got %s, %s, %q over %d rows; want %s, at once, %q", a.Device, a.Reason, a.Text, a.Rows, c.by, c.says)
			}
		})
	}
}

// A device that comes back after a time in which nothing was seen may have
// another address of its network: once, and not somebody else's.
func TestRenumberedWhileNothingWasSeen(t *testing.T) {
	moved := netip.MustParseAddr("192.168.77.99")
	for _, c := range []struct {
		name string
		send func(b *bench)
		says string // "" for no alert
	}{
		{"moved", func(b *bench) {
			b.send(2*time.Minute, b.udp(camera, moved))
			b.send(time.Second, b.udp(camera, moved))
			b.send(time.Second, b.udp(camera, cameraA))
		}, ""},
		{"moved again", func(b *bench) {
			b.send(2*time.Minute, b.udp(camera, moved))
			b.send(time.Second, b.udp(camera, moved.Next()))
		}, moved.Next().String()},
		{"after it was seen where it was", func(b *bench) {
			b.send(2*time.Minute, b.udp(camera, cameraA))
			b.send(time.Second, b.udp(camera, moved))
		}, moved.String()},
		{"to another network", func(b *bench) { b.send(2*time.Minute, b.udp(camera, netip.MustParseAddr("192.168.78.20"))) }, "192.168.78.20"},
		{"to its neighbour's", func(b *bench) { b.send(2*time.Minute, b.udp(camera, plugA)) }, plugA.String()},
		{"without a break", func(b *bench) { b.send(30*time.Second, b.udp(camera, moved)) }, moved.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := learned(t, Options{})
			b.benign(10)
			c.send(b)
			b.flush()
			text := ""
			if len(b.alerts) > 0 {
				text = b.alerts[0].Text
			}
			if (text == "") != (c.says == "") || !strings.Contains(text, c.says) {
				t.Errorf("got %q, want %q", text, c.says)
			}
		})
	}
}

func TestNoMoveToAHostItTalksTo(t *testing.T) {
	router := netip.MustParseAddr("192.168.77.1")
	p := detect.Profile{Addresses: []netip.Addr{cameraA}, Known: []netip.Addr{router}}
	if couldMove(&p, router) || !couldMove(&p, router.Next()) {
		t.Error("a device moves to its router's address, or not to another")
	}
}

func TestForgedLeasesAreBounded(t *testing.T) {
	s := newSources()
	for i := range 3 * maxLeases {
		s.learnLease(ack(router, camera, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})), func(zone.MAC) bool { return true })
	}
	if len(s.leases) != maxLeases {
		t.Errorf("%d leases are remembered, want %d", len(s.leases), maxLeases)
	}
}

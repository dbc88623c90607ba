package simulate

import (
	"net/netip"
	"strings"
	"time"

	"bellwether/internal/zone"
)

// join is a device's arrival: lease, ARP probe and announcement (RFC 5227),
// IPv6 duplicate address detection and router solicitation. It gives the moment
// from which on the device does what it is for.
func (t *thing) join(at zone.Time) zone.Time {
	lease := dhcpMessage{id: t.r.uint32(), client: t.MAC, server: t.home.ip, leased: t.IP, host: t.hostName()}
	for _, kind := range []byte{dhcpDiscover, dhcpOffer, dhcpRequest, dhcpAck} {
		lease.kind = kind
		t.home.engine.packet(at, t.dhcpSegment(&lease))
		at = at.Add(t.r.span(5*time.Millisecond, 60*time.Millisecond))
	}
	t.arp(at, arpRequest, netip.IPv4Unspecified(), broadcast(), zone.MAC{}, t.IP)
	at = at.Add(t.r.span(200*time.Millisecond, 400*time.Millisecond))
	t.arp(at, arpRequest, t.IP, broadcast(), zone.MAC{}, t.IP)
	at = at.Add(20 * time.Millisecond)
	t.solicit(at)
	at = at.Add(100 * time.Millisecond)
	t.resolve(at)
	t.keepHouse(at)
	return at.Add(t.r.span(300*time.Millisecond, time.Second))
}

func (t *thing) hostName() string { return strings.ReplaceAll(strings.ToLower(t.Name), " ", "-") }

// dhcpSegment puts a message on its way: a client without an address uses
// 0.0.0.0 and broadcasts; the server answers to the address it leases.
func (t *thing) dhcpSegment(m *dhcpMessage) segment {
	f := t.gateway(protoUDP, 68, 67)
	up := m.kind == dhcpDiscover || m.kind == dhcpRequest
	if up && !m.current.IsValid() {
		f.near.ip = netip.IPv4Unspecified()
		f.far.mac, f.far.ip = broadcast(), netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	body := m.body()
	return segment{flow: f, up: up, size: len(body), body: body}
}

// solicit asks whether anybody has the device's link-local address, and for
// routers.
func (t *thing) solicit(at zone.Time) {
	solicited := t.v6.As16()
	copy(solicited[:], []byte{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff})
	to := netip.AddrFrom16(solicited)
	probe := t.flow(protoICMPv6, 0, end{mac: groupMAC(to), ip: to})
	probe.near.ip, probe.near.ttl = netip.IPv6Unspecified(), 255
	t.send(probe, at, neighbour(135, t.v6, t.MAC)[:24])
	routers := netip.IPv6LinkLocalAllRouters()
	f := t.flow(protoICMPv6, 0, end{mac: groupMAC(routers), ip: routers})
	f.near.ip, f.near.ttl = t.v6, 255
	t.send(f, at.Add(50*time.Millisecond), append([]byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 1}, t.MAC[:]...))
}

// keepHouse is what every device does on a network: it keeps its lease and its
// ARP entry, and the gateway keeps its own. It begins after the given moment.
func (t *thing) keepHouse(at zone.Time) {
	t.settled = at
	t.sometimes(4*time.Minute, t.resolve)
	t.sometimes(5*time.Minute, t.beResolved)
	t.steady(30*time.Minute, func(at zone.Time) {
		m := dhcpMessage{id: t.r.uint32(), client: t.MAC, current: t.IP, server: t.home.ip, leased: t.IP, host: t.hostName()}
		m.kind = dhcpRequest
		t.home.engine.packet(at, t.dhcpSegment(&m))
		m.kind = dhcpAck
		t.home.engine.packet(at.Add(t.r.span(2*time.Millisecond, 9*time.Millisecond)), t.dhcpSegment(&m))
	})
}

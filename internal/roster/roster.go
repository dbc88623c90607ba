// Package roster knows who is who in a zone: which MAC addresses are its
// devices, which are gateways, and what people call them.
//
// A device is a globally administered unicast MAC address on the zone's side.
// Gateways, group addresses and addresses that telephones make up at random
// (IEEE 802, U/L bit) never become devices, unless the operator lists them.
// Without configuration gateways are guessed by Scan, and the zone's side is
// every sender with a private, link-local or no IP address.
package roster

import (
	"net/netip"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// Options says what the operator knows. The zero value knows nothing.
type Options struct {
	Subnets  []netip.Prefix      // the zone's side; empty: private and link-local addresses
	Gateways []zone.MAC          // routers; empty: guessed by Scan
	Devices  []zone.MAC          // devices whatever their address looks like
	Names    map[zone.MAC]string // what people call them
}

// Roster is who is who. It is not safe for concurrent use.
type Roster struct {
	subnets  []netip.Prefix
	names    map[zone.MAC]string
	listed   map[zone.MAC]bool
	gateways map[zone.MAC]bool
	guess    bool
	seen     map[zone.MAC]bool // senders of earlier scans: never turned into gateways later
}

// New makes a roster of what the operator knows.
func New(o Options) *Roster {
	r := &Roster{subnets: o.Subnets, names: o.Names, guess: len(o.Gateways) == 0,
		listed: map[zone.MAC]bool{}, gateways: map[zone.MAC]bool{}, seen: map[zone.MAC]bool{}}
	for _, m := range o.Gateways {
		r.gateways[m] = true
	}
	for _, m := range o.Devices {
		r.listed[m] = true
	}
	return r
}

// Name is what people call the device, else its address.
func (r *Roster) Name(m zone.MAC) string {
	if n := r.names[m]; n != "" {
		return n
	}
	return m.String()
}

// Known reports an address that the operator listed or named.
func (r *Roster) Known(m zone.MAC) bool { return r.listed[m] || r.names[m] != "" }

// IsGateway reports a router of the zone.
func (r *Roster) IsGateway(m zone.MAC) bool { return r.gateways[m] }

// Leases reports a sender whose DHCP answers are believed: a gateway, or
// anybody while no gateway is known.
func (r *Roster) Leases(m zone.MAC) bool { return r.gateways[m] || len(r.gateways) == 0 }

// IsDevice reports whether p's sender is a device of the zone.
func (r *Roster) IsDevice(p *packet.Packet) bool {
	m := p.SrcMAC
	switch {
	case !p.HasMAC || m.IsGroup() || m == (zone.MAC{}) || r.gateways[m]:
		return false
	case r.listed[m]:
		return true
	case m.IsLocal():
		return false
	}
	return !p.Src.IsValid() || p.Src.IsUnspecified() || r.inside(p.Src)
}

// inside reports an address on the zone's side.
func (r *Roster) inside(a netip.Addr) bool {
	if a.IsLinkLocalUnicast() {
		return true
	}
	if len(r.subnets) == 0 {
		return a.IsPrivate()
	}
	for _, s := range r.subnets {
		if s.Contains(a) {
			return true
		}
	}
	return false
}

// Scan is one pass over a set of captures that guesses the gateways, when
// the operator named none: a gateway is whom others send frames to whose IP
// destination lies outside the zone. For IPv6 that must be in two networks (/64):
// neighbours reach each other under global addresses of one. Feed it every
// packet, then call Done. A MAC address that sent packets in an earlier set is
// not turned into a gateway by a later one: an infected device that reroutes
// others stays a device.
type Scan struct {
	r       *Roster
	routers map[zone.MAC]bool
	once    map[zone.MAC]netip.Prefix // the one IPv6 network seen behind an address
	senders map[zone.MAC]bool
}

// scanLimit bounds each of the tables that a scan remembers.
const scanLimit = 4096

// NewScan begins a pass.
func (r *Roster) NewScan() *Scan {
	return &Scan{r: r, routers: map[zone.MAC]bool{}, once: map[zone.MAC]netip.Prefix{}, senders: map[zone.MAC]bool{}}
}

// Packet takes one packet of the pass.
func (s *Scan) Packet(p *packet.Packet) {
	if !s.r.guess || !p.HasMAC {
		return
	}
	if len(s.senders) < scanLimit {
		s.senders[p.SrcMAC] = true
	}
	ip := p.Kind == packet.KindIPv4 || p.Kind == packet.KindIPv6
	if !ip || p.DstMAC.IsGroup() || p.DstMAC == (zone.MAC{}) || s.r.listed[p.DstMAC] {
		return
	}
	if outside(p.Dst) && !s.r.inside(p.Dst) && len(s.routers) < scanLimit && s.routed(p) {
		s.routers[p.DstMAC] = true
	}
}

// routed reports whether p, whose destination is outside, needed a router.
func (s *Scan) routed(p *packet.Packet) bool {
	if p.Dst.Is4() {
		return true
	}
	network := netip.PrefixFrom(p.Dst, 64).Masked()
	first, known := s.once[p.DstMAC]
	if !known && len(s.once) < scanLimit {
		s.once[p.DstMAC] = network
	}
	return known && first != network
}

func outside(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLinkLocalUnicast()
}

// Done takes over what the pass found.
func (s *Scan) Done() {
	for m := range s.routers {
		if !s.r.seen[m] {
			s.r.gateways[m] = true
		}
	}
	for m := range s.senders {
		if !s.r.gateways[m] {
			s.r.seen[m] = true
		}
	}
}

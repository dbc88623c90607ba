package roster

import (
	"net/netip"
	"slices"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// Scan is one pass over a set of captures that guesses the gateways, when
// the operator named none. A gateway is whom others send frames to whose IP
// destination lies outside the zone, and either at least two stations of the zone
// do so for at least three destinations, or it also brings frames from outside:
// a single forged frame makes nobody a gateway. An IPv6 network (/64) counts as
// one destination, and one alone as none: neighbours reach each other under
// global addresses of one. Feed it every packet, then call Done. A MAC address
// that sent packets in an earlier set is not turned into a gateway by a later one:
// an infected device that reroutes others stays a device.
type Scan struct {
	r       *Roster
	hops    map[zone.MAC]*hop
	senders map[zone.MAC]bool
}

// scanLimit bounds each of the tables that a scan remembers.
const scanLimit = 4096

// What makes a next hop a gateway that brings nothing from outside.
const (
	hopUsers    = 2
	hopNetworks = 3
)

// hop is what speaks for a MAC address being a gateway's.
type hop struct {
	users []zone.MAC     // stations of the zone that send through it
	to    []netip.Prefix // networks outside that they reach so
	from  []netip.Prefix // networks outside whose packets it brings
}

// routes reports a gateway.
func (h *hop) routes() bool {
	several := len(h.users) >= hopUsers && len(h.to) >= hopNetworks
	return several || routed(h.to) && routed(h.from)
}

// routed reports networks that nobody reaches without a router.
func routed(networks []netip.Prefix) bool {
	return len(networks) > 1 || len(networks) == 1 && networks[0].Addr().Is4()
}

// network is the destination that an address stands for.
func network(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(a, 32)
	}
	return netip.PrefixFrom(a, 64).Masked()
}

// note adds v to the first few different ones.
func note[T comparable](few []T, v T, limit int) []T {
	if len(few) >= limit || slices.Contains(few, v) {
		return few
	}
	return append(few, v)
}

// NewScan begins a pass.
func (r *Roster) NewScan() *Scan {
	return &Scan{r: r, hops: map[zone.MAC]*hop{}, senders: map[zone.MAC]bool{}}
}

// Packet takes one packet of the pass.
func (s *Scan) Packet(p *packet.Packet) {
	if !s.r.guess || !p.HasMAC {
		return
	}
	if len(s.senders) < scanLimit {
		s.senders[p.SrcMAC] = true
	}
	if p.Kind != packet.KindIPv4 && p.Kind != packet.KindIPv6 {
		return
	}
	if s.outside(p.Dst) && s.local(p.Src) {
		if h := s.hop(p.DstMAC); h != nil {
			h.users = note(h.users, p.SrcMAC, hopUsers)
			h.to = note(h.to, network(p.Dst), hopNetworks)
		}
	}
	if s.outside(p.Src) && s.local(p.Dst) {
		if h := s.hop(p.SrcMAC); h != nil {
			h.from = note(h.from, network(p.Src), hopNetworks)
		}
	}
}

// hop is what is noted of a MAC address that may be a gateway's, nil if it may not.
func (s *Scan) hop(m zone.MAC) *hop {
	if m.IsGroup() || m == (zone.MAC{}) || s.r.listed[m] {
		return nil
	}
	h := s.hops[m]
	if h == nil && len(s.hops) < scanLimit {
		h = &hop{}
		s.hops[m] = h
	}
	return h
}

// outside reports an address that is reached through a router.
func (s *Scan) outside(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !s.r.Inside(a)
}

// local reports an address that a device of the zone may have: an IPv6 one is
// often global.
func (s *Scan) local(a netip.Addr) bool { return a.Is6() || s.r.Inside(a) }

// Done takes over what the pass found.
func (s *Scan) Done() {
	for m, h := range s.hops {
		if h.routes() && !s.r.seen[m] {
			s.r.gateways[m] = true
		}
	}
	for m := range s.senders {
		if !s.r.gateways[m] {
			s.r.seen[m] = true
		}
	}
}

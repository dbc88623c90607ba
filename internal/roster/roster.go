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
	"cmp"
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
	voices   map[zone.MAC]string // of members, by name
	gateways map[zone.MAC]bool
	guess    bool
	seen     map[zone.MAC]bool // senders of earlier scans: never turned into gateways later
}

// New makes a roster of what the operator knows.
func New(o Options) *Roster {
	r := &Roster{subnets: o.Subnets, names: o.Names, guess: len(o.Gateways) == 0,
		listed: map[zone.MAC]bool{}, voices: map[zone.MAC]string{}, gateways: map[zone.MAC]bool{}, seen: map[zone.MAC]bool{}}
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
	if n := cmp.Or(r.names[m], r.voices[m]); n != "" {
		return n
	}
	return m.String()
}

// Hear makes the voice of a member a device: its messages are observed as packets.
func (r *Roster) Hear(voice zone.MAC, name string) { r.voices[voice] = name }

// IsVoice reports the voice of a member. No frame comes from one, but from
// somebody who wants to speak for it.
func (r *Roster) IsVoice(m zone.MAC) bool { return r.voices[m] != "" }

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
	case r.listed[m] || r.voices[m] != "":
		return true
	case m.IsLocal():
		return false
	}
	return !p.Src.IsValid() || p.Src.IsUnspecified() || r.Inside(p.Src)
}

// Inside reports an address on the zone's side.
func (r *Roster) Inside(a netip.Addr) bool {
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

package monitor

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// sources knows which source addresses the zone's learned devices have had.
// A device may also take an address that a DHCP server of another MAC address gave it,
// a link-local one, and any address of an IPv6 /64 it had one in (RFC 8981
// changes them daily). After a time in which nothing was seen, a device may come
// back with another IPv4 address of its /24 that is no other device's: who gave
// it was not to be seen.
type sources struct {
	owners map[netip.Addr]*device // of IPv4 and global IPv6 addresses
	leases map[Lease]bool
	gap    uint64 // times that nothing was seen, the start being the first
}

// blindSpan is how long no packet at all has to be seen for leases to be missed.
const blindSpan = time.Minute

func newSources() sources {
	return sources{owners: map[netip.Addr]*device{}, leases: map[Lease]bool{}}
}

// claim says that a learned device had these addresses.
func (s *sources) claim(d *device, addrs []netip.Addr) {
	s.release(d)
	for _, a := range addrs {
		if Bindable(a) {
			s.owners[a] = d
		}
	}
}

// release forgets which addresses the device had.
func (s *sources) release(d *device) {
	for a, owner := range s.owners {
		if owner == d {
			delete(s.owners, a)
		}
	}
}

// Bindable reports an address that belongs to one device alone.
func Bindable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

// learnLease takes note of an address that a DHCP server gives away, and
// reports one that it gives to this device for the first time. A client can ask in
// anybody's name: leases of what is not known are kept only if they take an
// address away.
func (s *sources) learnLease(p *packet.Packet, known func(zone.MAC) bool) (Lease, bool) {
	msg, ok := p.DHCP()
	if !ok || !known(msg.Client) && s.owners[msg.Given] == nil || msg.Type != packet.DHCPAck || msg.Given.IsUnspecified() || msg.Client == p.SrcMAC || len(s.leases) >= maxLeases {
		return Lease{}, false
	}
	l := Lease{msg.Client, msg.Given}
	fresh := !s.leases[l]
	s.take(l)
	return l, fresh
}

// take gives an address to the device that leased it, and to no other.
func (s *sources) take(l Lease) {
	s.leases[l] = true
	if owner := s.owners[l.Addr]; owner != nil && owner.mac != l.MAC {
		delete(s.owners, l.Addr)
	}
}

// renumbered takes an unknown address for the device's new one, if it is the
// first that it uses since packets are seen, and reports the lease.
func (s *sources) renumbered(d *device, p *packet.Packet) (Lease, bool) {
	if !Bindable(p.Src) {
		return Lease{}, false
	}
	l := Lease{d.mac, p.Src}
	if d.model.Profile.Owns(p.Src) || s.leases[l] {
		d.placed = s.gap
		return l, false
	}
	if d.placed == s.gap || !couldMove(&d.model.Profile, p.Src) || s.taken(p.Src) || len(s.leases) >= maxLeases {
		return l, false
	}
	d.placed = s.gap
	s.take(l)
	return l, true
}

// taken reports an address that some device has.
func (s *sources) taken(a netip.Addr) bool {
	if s.owners[a] != nil {
		return true
	}
	for l := range s.leases {
		if l.Addr == a {
			return true
		}
	}
	return false
}

// couldMove reports an address in one of the device's networks that is no host
// that it turned to: not the gateway's.
func couldMove(p *detect.Profile, to netip.Addr) bool {
	neighbour := func(a netip.Addr) bool {
		return a.Is4() && to.Is4() && netip.PrefixFrom(a, 24).Masked().Contains(to)
	}
	return slices.ContainsFunc(p.Addresses, neighbour) && !slices.Contains(p.Known, to)
}

// misuse says why the learned device d cannot have sent p from its source
// address, "" if it can.
func (s *sources) misuse(d *device, p *packet.Packet) string {
	if d.model == nil || !Bindable(p.Src) || d.model.Profile.Owns(p.Src) || s.leases[Lease{d.mac, p.Src}] {
		return ""
	}
	if owner := s.owners[p.Src]; owner != nil && owner != d {
		return fmt.Sprintf("it uses the address %s of %s", p.Src, owner.name)
	}
	return fmt.Sprintf("it uses the source address %s, which it never had", p.Src)
}

// owner is the learned device whose address p claims to come from, though it
// was sent from another MAC address; nil if there is none.
func (s *sources) owner(p *packet.Packet) *device {
	d := s.owners[p.Src]
	if d == nil || d.mac == p.SrcMAC || s.leases[Lease{p.SrcMAC, p.Src}] {
		return nil
	}
	return d
}

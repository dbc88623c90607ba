package detect

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
)

// Bounds of a Profile's lists.
const (
	MaxAddresses = 256
	MaxPorts     = 256
	MaxKnown     = 1024
)

// Profile is what a device was seen to do while it was learned, in plain
// numbers: it gives reasons in words and says which source addresses are the
// device's own. The zero value is a device that was seen to do nothing.
type Profile struct {
	// Addresses are the source addresses that the device used, sorted.
	Addresses []netip.Addr `cbor:"addresses"`
	// Prefixes are the IPv6 /64 networks of its source addresses, sorted.
	Prefixes []netip.Prefix `cbor:"prefixes"`
	// Known are hosts that the device turned to, sorted.
	Known []netip.Addr `cbor:"known"`
	// First are, where Followed, the hosts that the device's first model knew, of
	// which this one is a follower. What was added since is known to be contacted,
	// but anybody could have taught that.
	First    []netip.Addr `cbor:"first"`
	Followed bool         `cbor:"followed"`
	// NewHosts and NewPorts are the most hosts and services that it turned to
	// for the first time, without an answer, within any 10 min after it settled.
	NewHosts int `cbor:"new_hosts"`
	NewPorts int `cbor:"new_ports"`
	// MaxFlows are the most flows opened within any 10 s, MaxBurst the most sockets
	// that sent, MaxRate the most packets sent within any second.
	MaxFlows int `cbor:"max_flows"`
	MaxBurst int `cbor:"max_burst"`
	MaxRate  int `cbor:"max_rate"`
	// MaxPeer are the most TCP connections opened to one host within any 10 s.
	MaxPeer int `cbor:"max_peer"`
	// MaxSilent are the most packets sent within any second to one host that had
	// not sent anything to the device.
	MaxSilent int `cbor:"max_silent"`
	// MaxPackets and MaxBytes are the most sent within any 10 s.
	MaxPackets int   `cbor:"max_packets"`
	MaxBytes   int64 `cbor:"max_bytes"`
	// Ports are the destination ports contacted, sorted by protocol and port.
	Ports []PortUse `cbor:"ports"`
}

// PortUse is one destination port of a Profile.
type PortUse struct {
	_        struct{} `cbor:",toarray"`
	Proto    uint16   // IP protocol number, or the EtherType of a frame without IP
	Port     uint16
	MaxHosts int // most distinct hosts contacted there within any 60 s
	NewHosts int // most contacted there that count for Profile.NewHosts
}

// Compare orders ports by protocol, then number.
func (p PortUse) Compare(q PortUse) int {
	return (int(p.Proto)<<16 | int(p.Port)) - (int(q.Proto)<<16 | int(q.Port))
}

// Use gives the use of a destination port, if the profile lists it.
func (p *Profile) Use(proto, port uint16) (PortUse, bool) {
	i, found := slices.BinarySearchFunc(p.Ports, PortUse{Proto: proto, Port: port}, PortUse.Compare)
	if !found {
		return PortUse{}, false
	}
	return p.Ports[i], true
}

// Validate says what is out of bounds or out of order, if anything is.
func (p *Profile) Validate() error {
	if err := p.validateSources(); err != nil {
		return err
	}
	for _, n := range []int{p.NewHosts, p.NewPorts, p.MaxFlows, p.MaxBurst, p.MaxRate, p.MaxPeer, p.MaxSilent, p.MaxPackets} {
		if n < 0 || n > math.MaxInt32 {
			return fmt.Errorf("profile: count %d is out of range", n)
		}
	}
	if p.MaxBytes < 0 {
		return fmt.Errorf("profile: %d bytes", p.MaxBytes)
	}
	if len(p.Ports) > MaxPorts {
		return fmt.Errorf("profile: %d ports, at most %d", len(p.Ports), MaxPorts)
	}
	for i, u := range p.Ports {
		if u.MaxHosts < 0 || u.MaxHosts > math.MaxInt32 || u.NewHosts < 0 || u.NewHosts > math.MaxInt32 || i > 0 && p.Ports[i-1].Compare(u) >= 0 {
			return fmt.Errorf("profile: port %d of protocol %d is out of order or range", u.Port, u.Proto)
		}
	}
	return nil
}

func (p *Profile) validateSources() error {
	if len(p.Addresses) > MaxAddresses || len(p.Prefixes) > MaxAddresses {
		return fmt.Errorf("profile: %d addresses and %d prefixes, at most %d each",
			len(p.Addresses), len(p.Prefixes), MaxAddresses)
	}
	if len(p.Known) > MaxKnown {
		return fmt.Errorf("profile: %d known hosts, at most %d", len(p.Known), MaxKnown)
	}
	if len(p.First) > MaxKnown || len(p.First) > 0 && !p.Followed {
		return fmt.Errorf("profile: %d hosts known first, at most %d, and none unless it follows another", len(p.First), MaxKnown)
	}
	for _, list := range [][]netip.Addr{p.Addresses, p.Known, p.First} {
		for i, a := range list {
			if !a.IsValid() || a.Is4In6() || a.Zone() != "" || i > 0 && list[i-1].Compare(a) >= 0 {
				return fmt.Errorf("profile: address %q is invalid or out of order", a)
			}
		}
	}
	for i, x := range p.Prefixes {
		if !x.Addr().Is6() || x.Addr().Is4In6() || x.Bits() != 64 || x != x.Masked() ||
			i > 0 && p.Prefixes[i-1].Addr().Compare(x.Addr()) >= 0 {
			return fmt.Errorf("profile: %q is no IPv6 /64 network or out of order", x)
		}
	}
	return nil
}

// clone copies the lists; an empty one becomes nil.
func (p Profile) clone() Profile {
	p.Addresses = append([]netip.Addr(nil), p.Addresses...)
	p.Prefixes = append([]netip.Prefix(nil), p.Prefixes...)
	p.Known = append([]netip.Addr(nil), p.Known...)
	p.First = append([]netip.Addr(nil), p.First...)
	p.Ports = append([]PortUse(nil), p.Ports...)
	return p
}

// FirstKnown are the hosts that the device turned to before its model began to
// follow it.
func (p *Profile) FirstKnown() []netip.Addr {
	if p.Followed {
		return p.First
	}
	return p.Known
}

// Owns reports whether the device used the source address while learning, or
// an IPv6 address of the same /64 network: those change by design (RFC 8981).
func (p *Profile) Owns(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if _, found := slices.BinarySearchFunc(p.Addresses, a, netip.Addr.Compare); found {
		return true
	}
	return slices.ContainsFunc(p.Prefixes, func(x netip.Prefix) bool { return x.Contains(a) })
}

func (p *Profile) equal(q Profile) bool {
	return slices.Equal(p.Addresses, q.Addresses) && slices.Equal(p.Prefixes, q.Prefixes) && slices.Equal(p.Ports, q.Ports) &&
		slices.Equal(p.Known, q.Known) && slices.Equal(p.First, q.First) && p.Followed == q.Followed && p.NewHosts == q.NewHosts && p.NewPorts == q.NewPorts && p.MaxFlows == q.MaxFlows && p.MaxBurst == q.MaxBurst && p.MaxRate == q.MaxRate && p.MaxPeer == q.MaxPeer && p.MaxSilent == q.MaxSilent &&
		p.MaxPackets == q.MaxPackets && p.MaxBytes == q.MaxBytes
}

package mud

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"bellwether/internal/zone"
)

// How learned rules are made wider than what was seen.
const (
	// manyPorts is how many ports of one peer, or of the device towards one peer,
	// become any port: such ports are made up for each connection.
	manyPorts = 8
	// ephemeral is the first port that Linux hands out to clients; other systems
	// begin later.
	ephemeral = 32768
)

// Learner makes a profile of the packets that a device sent while it was clean.
// The zero value has seen nothing.
type Learner struct {
	rows    int
	exempt  int
	uses    map[use]int // packets
	opened  map[end]bool
	serves  map[end]bool
	last    zone.Time
	dropped int
}

// maxUses bounds what a learner keeps.
const maxUses = 1 << 16

// use is one kind of packet that the device sent.
type use struct {
	peer     netip.Addr
	proto    uint16
	from, to uint16 // ports; from is 0 and to type<<8|code for ICMP
}

// end is a service: a port of the peer, or with the zero peer of the device.
type end struct {
	peer  netip.Addr
	proto uint16
	port  uint16
}

// Add takes the next snapshot.
func (l *Learner) Add(s *zone.Snapshot) {
	if l.uses == nil {
		l.uses, l.opened, l.serves = map[use]int{}, map[end]bool{}, map[end]bool{}
	}
	l.rows++
	l.last = max(l.last, s.Time)
	if exempt(s) || !s.Dst.IsValid() {
		l.exempt++
		return
	}
	u := use{peer: s.Dst, proto: s.Proto, from: s.SrcPort, to: s.DstPort}
	if s.Proto == protoTCP && s.TCPFlags&tcpSYN != 0 {
		if s.TCPFlags&tcpACK == 0 {
			l.opened[end{s.Dst, s.Proto, s.DstPort}] = true
		} else {
			l.serves[end{netip.Addr{}, s.Proto, s.SrcPort}] = true
		}
	}
	if _, known := l.uses[u]; !known && len(l.uses) == maxUses {
		l.dropped++
		return
	}
	l.uses[u]++
}

// Learned is what a learner came to.
type Learned struct {
	Profile Profile
	Rows    int       // snapshots that it saw
	Exempt  int       // of which MUD files do not speak
	Dropped int       // that were not taken, beyond 65,536 kinds
	Last    zone.Time // the newest
}

// Learned gives the profile, in each direction: for each service one rule for
// all hosts that are not local, since those of a cloud change from day to day, and
// for each local peer its own. With hosts each peer has its own rules, by the
// names of the site where it has some. It is the same for the same snapshots in
// any order.
func (l *Learner) Learned(site *Site, hosts bool) (Learned, error) {
	out := Learned{Rows: l.rows, Exempt: l.exempt, Dropped: l.dropped, Last: l.last}
	names := namesByAddress(site)
	rules := map[Rule]bool{}
	for u := range l.uses {
		r := l.ruleOf(u)
		if !hosts && !local(u.peer) {
			rules[r] = true
			rules[Rule{Drop: true, IPv6: r.IPv6, Proto: -1, ICMPType: -1, ICMPCode: -1, Peer: Peer{Class: "local-networks"}}] = true
			continue
		}
		for _, r.Peer = range peersOf(u.peer, names) {
			rules[r] = true
		}
	}
	for _, r := range widen(rules) {
		if len(out.Profile.From) == MaxRules/2 {
			return out, fmt.Errorf("mud: more than %d rules: this device talks to too many peers to be described", MaxRules/2)
		}
		r.Name = fmt.Sprintf("from-%d", len(out.Profile.From)+1)
		out.Profile.From = append(out.Profile.From, r)
		r.Name = fmt.Sprintf("to-%d", len(out.Profile.To)+1)
		if r.answerable() {
			out.Profile.To = append(out.Profile.To, r)
		}
	}
	return out, nil
}

// ruleOf gives the rule for one kind of packet, without its peer.
func (l *Learner) ruleOf(u use) Rule {
	r := Rule{IPv6: u.peer.Is6(), Proto: int(u.proto), ICMPType: -1, ICMPCode: -1}
	switch u.proto {
	case protoICMP, protoICMPv6:
		r.ICMPType, r.ICMPCode = int(u.to>>8), int(u.to&255)
	case protoTCP, protoUDP:
		switch {
		case u.from == 0 && u.to == 0: // a fragment
		case l.isServer(u):
			r.LocalPort = Ports{Low: u.from, High: u.from, Set: true}
		default:
			r.PeerPort = Ports{Low: u.to, High: u.to, Set: true}
		}
		if u.proto == protoTCP {
			r.Initiated = "from-device"
			if r.LocalPort.Set {
				r.Initiated = "to-device"
			}
		}
	}
	return r
}

// isServer says whose service a packet belongs to: the device's own, where it
// was seen answering there, or where its port is not made up and the peer's is.
func (l *Learner) isServer(u use) bool {
	if u.proto == protoTCP {
		switch {
		case l.opened[end{u.peer, u.proto, u.to}]:
			return false
		case l.serves[end{netip.Addr{}, u.proto, u.from}]:
			return true
		}
	}
	return u.from < ephemeral && u.to >= ephemeral
}

// answerable reports a rule whose packets are answered, or are answers: not one
// to a multicast or broadcast address.
func (r *Rule) answerable() bool {
	return !r.Peer.Net.IsValid() || !(r.Peer.Net.Addr().IsMulticast() || r.Peer.Net.Addr() == netip.AddrFrom4([4]byte{255, 255, 255, 255}))
}

// widen makes one rule of many that differ in a port alone, and sorts.
func widen(rules map[Rule]bool) []Rule {
	ports := map[Rule]int{}
	for r := range rules {
		ports[r.anyPort()]++
	}
	wide := map[Rule]bool{}
	for r := range rules {
		if w := r.anyPort(); ports[w] >= manyPorts {
			r = w
		}
		wide[r] = true
	}
	out := make([]Rule, 0, len(wide))
	for r := range wide {
		out = append(out, r)
	}
	slices.SortFunc(out, Rule.compare)
	return out
}

// anyPort is the rule without its port. A TCP service of the device keeps it,
// since it serves there.
func (r Rule) anyPort() Rule {
	r.PeerPort = Ports{}
	if r.Proto != protoTCP {
		r.LocalPort = Ports{}
	}
	return r
}

// rank puts the rules of known peers first, then that no other local peer is
// allowed, then those of anybody.
func (r *Rule) rank() int {
	switch {
	case r.Drop:
		return 1
	case r.Peer == Peer{}:
		return 2
	}
	return 0
}

// compare orders rules by family, rank, protocol, peer, ports.
func (r Rule) compare(o Rule) int {
	order := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(order(r.IPv6)-order(o.IPv6), r.rank()-o.rank(), r.Proto-o.Proto, cmp.Compare(r.Peer.Name, o.Peer.Name), cmp.Compare(r.Peer.Class, o.Peer.Class),
		r.Peer.Net.Addr().Compare(o.Peer.Net.Addr()), cmp.Compare(r.PeerPort.Low, o.PeerPort.Low), cmp.Compare(r.LocalPort.Low, o.LocalPort.Low),
		order(r.PeerPort.Set)-order(o.PeerPort.Set), order(r.LocalPort.Set)-order(o.LocalPort.Set), r.ICMPType-o.ICMPType, r.ICMPCode-o.ICMPCode,
		cmp.Compare(r.Initiated, o.Initiated))
}

// peersOf names a peer: by the names that stand for its address, else by the
// address.
func peersOf(a netip.Addr, names map[netip.Addr][]string) []Peer {
	if len(names[a]) == 0 {
		return []Peer{{Net: netip.PrefixFrom(a.WithZone(""), a.BitLen())}}
	}
	var out []Peer
	for _, name := range names[a] {
		out = append(out, Peer{Name: name})
	}
	return out
}

// maxNames is how many names of one address get rules of their own, the first
// of the alphabet.
const maxNames = 4

// namesByAddress turns the names of a site round. A name for an address that
// stays in the site is left out, since such a name is not the world's.
func namesByAddress(site *Site) map[netip.Addr][]string {
	out := map[netip.Addr][]string{}
	for _, name := range slices.Sorted(maps.Keys(site.Names)) {
		for _, a := range site.Names[name] {
			if !local(a) && len(out[a]) < maxNames && !slices.Contains(out[a], name) {
				out[a] = append(out[a], name)
			}
		}
	}
	return out
}

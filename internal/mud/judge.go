package mud

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"bellwether/internal/zone"
)

// Verdict is how a packet stands to a profile.
type Verdict uint8

// The verdicts. Exempt packets are what every device needs before it can say
// anything (ARP, DHCP, neighbour discovery), of which MUD files do not speak.
const (
	Inside Verdict = iota
	Outside
	Unchecked // only rules accept it that cannot be checked
	Exempt
)

// String gives the verdict's name.
func (v Verdict) String() string { return [...]string{"inside", "outside", "unchecked", "exempt"}[v] }

// Site is what a file leaves open: who is meant by names and abstractions. It is not
// safe for concurrent use, and what it says must not change once it was used.
type Site struct {
	// Names are the addresses that a name stands for, in lower case without the dot
	// at its end. A rule by a name that is not here is not checked.
	Names map[string][]netip.Addr
	// Classes are the networks of an abstraction, by its name, or by name, space and
	// whose: "controller urn:ietf:params:mud:dns". One that is not here is not
	// checked, but for local-networks, which are then the private, link-local and
	// multicast ones.
	Classes map[string][]netip.Prefix

	of map[netip.Addr][]string // the names of an address, ordered by backwards
}

// isNamed reports whether an address is one of the peer's. What it looks through is
// made once, and no larger than Names: many patterns may stand for the same addresses.
func (s *Site) isNamed(a netip.Addr, p Peer) bool {
	if s.of == nil {
		s.of = map[netip.Addr][]string{}
		for _, name := range slices.SortedFunc(maps.Keys(s.Names), backwards) {
			for _, a := range s.Names[name] {
				s.of[a] = append(s.of[a], name)
			}
		}
	}
	names := s.of[a]
	below, many := strings.CutPrefix(p.Name, "*")
	i, found := slices.BinarySearchFunc(names, below, backwards)
	return found || many && i < len(names) && strings.HasSuffix(names[i], below)
}

// backwards compares names from their ends: those with the same end follow on it.
func backwards(a, b string) int {
	for i := range min(len(a), len(b)) {
		if d := cmp.Compare(a[len(a)-1-i], b[len(b)-1-i]); d != 0 {
			return d
		}
	}
	return cmp.Compare(len(a), len(b))
}

// Judge holds a packet that the device sent against the profile.
func (p *Profile) Judge(s *zone.Snapshot, site *Site) Verdict {
	if exempt(s) {
		return Exempt
	}
	open := false
	for i := range p.From {
		r := &p.From[i]
		matches, certain := r.matches(s, site)
		switch {
		case !matches:
		case certain && r.Drop:
			return Outside
		case certain && !open:
			return Inside
		case certain: // whatever the open rule would have said
			return Unchecked
		default:
			open = true
		}
	}
	if open && !p.onlyDrops(s, site) {
		return Unchecked
	}
	return Outside
}

// onlyDrops reports that no open rule would have accepted it.
func (p *Profile) onlyDrops(s *zone.Snapshot, site *Site) bool {
	return !slices.ContainsFunc(p.From, func(r Rule) bool {
		matches, _ := r.matches(s, site)
		return matches && !r.Drop
	})
}

// exempt reports what no MUD file speaks of.
func exempt(s *zone.Snapshot) bool {
	switch {
	case s.Proto > 255: // an EtherType: no IP
		return true
	case s.Proto == protoUDP:
		return (s.SrcPort == 68 && s.DstPort == 67) || (s.SrcPort == 546 && s.DstPort == 547)
	case s.Proto == protoICMPv6: // neighbour discovery and listener reports
		t := s.DstPort >> 8
		return t >= 130 && t <= 136 || t == 143
	}
	return false
}

// matches reports whether a rule matches a packet of the device, and whether
// that is certain.
func (r *Rule) matches(s *zone.Snapshot, site *Site) (matches, certain bool) {
	if r.IPv6 != s.Dst.Is6() || r.Proto >= 0 && r.Proto != int(s.Proto) || !r.endMatches(s) || !r.directionMatches(s) {
		return false, true
	}
	matches, known := r.Peer.matches(s.Dst, site)
	portless := fragment(s) && (r.LocalPort.Set || r.PeerPort.Set)
	return matches, known && !portless && r.Unchecked == ""
}

// fragment reports a fragment other than the first, which has no ports.
func fragment(s *zone.Snapshot) bool {
	return (s.Proto == protoTCP || s.Proto == protoUDP) && s.SrcPort == 0 && s.DstPort == 0
}

// endMatches holds the device's address, and the ports or ICMP type, against the rule.
func (r *Rule) endMatches(s *zone.Snapshot) bool {
	if r.Local.IsValid() && !r.Local.Contains(s.Src) {
		return false
	}
	switch s.Proto {
	case protoTCP, protoUDP:
		return fragment(s) || r.LocalPort.Matches(s.SrcPort) && r.PeerPort.Matches(s.DstPort)
	case protoICMP, protoICMPv6:
		return (r.ICMPType < 0 || r.ICMPType == int(s.DstPort>>8)) && (r.ICMPCode < 0 || r.ICMPCode == int(s.DstPort&255))
	}
	return true
}

const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

// directionMatches: the first packet of a connection shows who opens it, and the
// answer to it who did not.
func (r *Rule) directionMatches(s *zone.Snapshot) bool {
	if s.Proto != protoTCP || s.TCPFlags&tcpSYN == 0 {
		return true
	}
	answers := s.TCPFlags&tcpACK != 0
	return r.Initiated == "" || (r.Initiated == "to-device") == answers
}

// matches reports whether an address is the peer's, and whether that is known.
func (p Peer) matches(a netip.Addr, site *Site) (matches, known bool) {
	switch {
	case p.Net.IsValid():
		return p.Net.Contains(a), true
	case p.Name != "":
		return p.named(a, site)
	case p.Class == "":
		return true, true
	}
	nets, known := site.Classes[strings.TrimSpace(p.Class+" "+p.Of)]
	if !known && p.Class == "local-networks" {
		return local(a), true
	}
	return !known || slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(a) }), known
}

// Uses gives those of the names, with their addresses, that rules about packets of
// the device name.
func (p *Profile) Uses(names map[string][]netip.Addr) map[string][]netip.Addr {
	used := map[string][]netip.Addr{}
	for name, addrs := range names {
		if slices.ContainsFunc(p.From, func(r Rule) bool { return r.Peer.isNamed(name) }) {
			used[name] = addrs
		}
	}
	return used
}

// isNamed reports whether the peer is meant by a name.
func (p Peer) isNamed(name string) bool {
	below, many := strings.CutPrefix(p.Name, "*")
	return p.Name != "" && (p.Name == name || many && strings.HasSuffix(name, below))
}

// named looks the name up. One that begins with *. stands for all below it, of which
// there may be others than those known.
func (p Peer) named(a netip.Addr, site *Site) (matches, known bool) {
	if strings.HasPrefix(p.Name, "*") {
		return true, site.isNamed(a, p)
	}
	_, known = site.Names[p.Name]
	return !known || site.isNamed(a, p), known
}

// local reports an address that does not leave a site.
func local(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

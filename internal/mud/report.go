package mud

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"bellwether/internal/zone"
)

// maxKinds bounds what a report keeps apart; maxNamed how much of it it names.
const (
	maxKinds = 1 << 12
	maxNamed = 8
)

// Report is how the packets that a device sent stand to its profile.
type Report struct {
	Packets   int `json:"packets"` // all, but for exempt ones
	Inside    int `json:"inside"`
	Outside   int `json:"outside"`
	Unchecked int `json:"unchecked"` // only rules accept them that cannot be checked
	Exempt    int `json:"exempt"`    // ARP, DHCP, neighbour discovery
	// Named is what lies outside, by service, most packets first, at most eight.
	Named []Strange `json:"named"`
	More  int       `json:"more"` // packets outside that Named leaves out
}

// Strange is a service outside the profile.
type Strange struct {
	Proto   int        `json:"proto"`
	Port    int        `json:"port"`  // of the peer; -1 without ports
	Hosts   int        `json:"hosts"` // at most 4,096 are told apart
	Packets int        `json:"packets"`
	First   netip.Addr `json:"first"` // the first peer
}

// String says it in words: "TCP port 23: 122 hosts, 980 packets, first 198.51.100.7".
func (s Strange) String() string {
	what := ProtoName(s.Proto)
	if s.Port >= 0 {
		what += fmt.Sprintf(" port %d", s.Port)
	}
	hosts := plural(s.Hosts, "host")
	if s.Hosts == maxKinds {
		hosts += " or more"
	}
	return fmt.Sprintf("%s: %s, %s, first %s", what, hosts, plural(s.Packets, "packet"), s.First)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Report holds snapshots of the device against the profile, in order.
func (p *Profile) Report(rows iter.Seq2[*zone.Snapshot, error], site *Site) (Report, error) {
	r := Report{Named: []Strange{}}
	kinds := map[[2]int]*Strange{}
	hosts := map[[2]int]map[netip.Addr]bool{}
	for s, err := range rows {
		if err != nil {
			return r, err
		}
		v := p.Judge(s, site)
		r.count(v)
		if v != Outside {
			continue
		}
		kind := [2]int{int(s.Proto), -1}
		if s.Proto == protoTCP || s.Proto == protoUDP {
			kind[1] = int(s.DstPort)
		}
		if kinds[kind] == nil {
			if len(kinds) == maxKinds {
				continue
			}
			kinds[kind], hosts[kind] = &Strange{Proto: kind[0], Port: kind[1], First: s.Dst}, map[netip.Addr]bool{}
		}
		kinds[kind].Packets++
		if len(hosts[kind]) < maxKinds {
			hosts[kind][s.Dst] = true
		}
	}
	for kind, k := range kinds {
		k.Hosts = len(hosts[kind])
		r.Named = append(r.Named, *k)
	}
	slices.SortFunc(r.Named, func(a, b Strange) int {
		return cmp.Or(b.Packets-a.Packets, a.Proto-b.Proto, a.Port-b.Port)
	})
	r.Named = r.Named[:min(len(r.Named), maxNamed)]
	r.More = r.Outside
	for _, k := range r.Named {
		r.More -= k.Packets
	}
	return r, nil
}

func (r *Report) count(v Verdict) {
	if v == Exempt {
		r.Exempt++
		return
	}
	r.Packets++
	switch v {
	case Inside:
		r.Inside++
	case Outside:
		r.Outside++
	case Unchecked:
		r.Unchecked++
	}
}

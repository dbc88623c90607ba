package mud

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"bellwether/internal/zone"
)

// maxKinds bounds the services that a report keeps apart; maxNamed how many it names.
const (
	maxKinds = 1 << 12
	maxNamed = 8
)

// Report holds snapshots of the device against the profile, in order.
func (p *Profile) Report(rows iter.Seq2[*zone.Snapshot, error], site *Site) (zone.NetworkReport, error) {
	r := zone.NetworkReport{Named: []zone.Strange{}}
	kinds := map[[2]int]*zone.Strange{}
	hosts := map[[2]int]map[netip.Addr]bool{}
	for s, err := range rows {
		if err != nil {
			return r, err
		}
		v := p.Judge(s, site)
		count(&r, v)
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
			kinds[kind], hosts[kind] = &zone.Strange{Proto: kind[0], Port: kind[1], First: s.Dst}, map[netip.Addr]bool{}
		}
		kinds[kind].Packets++
		if len(hosts[kind]) < zone.MaxStrangeHosts {
			hosts[kind][s.Dst] = true
		}
	}
	for kind, k := range kinds {
		k.Hosts = len(hosts[kind])
		r.Named = append(r.Named, *k)
	}
	slices.SortFunc(r.Named, func(a, b zone.Strange) int {
		return cmp.Or(b.Packets-a.Packets, a.Proto-b.Proto, a.Port-b.Port)
	})
	r.Named = r.Named[:min(len(r.Named), maxNamed)]
	r.More = r.Outside
	for _, k := range r.Named {
		r.More -= k.Packets
	}
	return r, nil
}

func count(r *zone.NetworkReport, v Verdict) {
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

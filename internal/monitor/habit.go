package monitor

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/novelty"
	"bellwether/internal/zone"
)

// The spans over which habits are counted.
const (
	hostSpan = time.Minute      // different hosts contacted
	rateSpan = 10 * time.Second // packets and bytes sent
)

// maxHabit bounds the snapshots that a habit remembers, and so the largest
// count that it can tell.
const maxHabit = 8192

type contact struct {
	time    zone.Time
	service novelty.Service
	dst     netip.Addr
	opens   bool // it counts among the hosts contacted
	length  uint32
}

// habit counts what a device did in the last minute.
type habit struct {
	contacts []contact // in order of arrival
	hosts    map[novelty.Service]map[netip.Addr]int
	all      map[netip.Addr]int
	packets  int // in the last rateSpan
	bytes    int64
	rate     int // index of the oldest contact that packets and bytes count
}

func newHabit() *habit {
	return &habit{hosts: map[novelty.Service]map[netip.Addr]int{}, all: map[netip.Addr]int{}}
}

// add counts the device's next snapshot.
func (h *habit) add(s *zone.Snapshot) {
	c := contact{time: s.Time, service: novelty.ServiceOf(s), dst: s.Dst, opens: novelty.Opens(s), length: s.Length}
	h.expire(s.Time)
	h.contacts = append(h.contacts, c)
	h.packets++
	h.bytes += int64(c.length)
	if !c.opens {
		return
	}
	hosts := h.hosts[c.service]
	if hosts == nil {
		hosts = map[netip.Addr]int{}
		h.hosts[c.service] = hosts
	}
	hosts[c.dst]++
	h.all[c.dst]++
}

// expire forgets what is too old at now.
func (h *habit) expire(now zone.Time) {
	for h.rate < len(h.contacts) && now.Sub(h.contacts[h.rate].time) > rateSpan {
		h.packets--
		h.bytes -= int64(h.contacts[h.rate].length)
		h.rate++
	}
	drop := 0
	for drop < h.rate && (now.Sub(h.contacts[drop].time) > hostSpan || len(h.contacts)-drop >= maxHabit) {
		h.forget(&h.contacts[drop])
		drop++
	}
	if len(h.contacts)-drop >= maxHabit { // all within rateSpan
		c := &h.contacts[drop]
		h.packets--
		h.bytes -= int64(c.length)
		h.rate++
		h.forget(c)
		drop++
	}
	h.contacts = slices.Delete(h.contacts, 0, drop)
	h.rate -= drop
}

func (h *habit) forget(c *contact) {
	if !c.opens {
		return
	}
	less(h.all, c.dst)
	less(h.hosts[c.service], c.dst)
	if len(h.hosts[c.service]) == 0 {
		delete(h.hosts, c.service)
	}
}

func less(m map[netip.Addr]int, a netip.Addr) {
	if m[a]--; m[a] <= 0 {
		delete(m, a)
	}
}

// maxServices bounds the services of a profile; those with most new hosts stay,
// then those with most hosts.
const maxServices = 256

// profiler finds the largest habits of a device in its learning snapshots.
type profiler struct {
	now       *habit
	profile   detect.Profile
	services  map[novelty.Service]int
	addresses map[netip.Addr]bool
	novelty   *novelty.Learner
}

func newProfiler() *profiler {
	return &profiler{now: newHabit(), services: map[novelty.Service]int{}, addresses: map[netip.Addr]bool{}, novelty: novelty.NewLearner()}
}

func (p *profiler) add(s *zone.Snapshot) {
	if s.SrcMAC != s.Device {
		return
	}
	if Bindable(s.Src) && len(p.addresses) < detect.MaxAddresses {
		p.addresses[s.Src] = true
	}
	p.novelty.Add(s)
	p.now.add(s)
	p.profile.MaxPackets = max(p.profile.MaxPackets, p.now.packets)
	p.profile.MaxBytes = max(p.profile.MaxBytes, p.now.bytes)
	if c := &p.now.contacts[len(p.now.contacts)-1]; c.opens {
		if len(p.services) < 16*maxServices || p.services[c.service] > 0 {
			p.services[c.service] = max(p.services[c.service], len(p.now.hosts[c.service]))
		}
	}
}

// result gives the profile, its lists sorted.
func (p *profiler) result() detect.Profile {
	out := p.profile
	p.novelty.Fill(&out)
	for a := range p.addresses {
		out.Addresses = append(out.Addresses, a)
		if a.Is6() {
			if prefix, err := a.Prefix(64); err == nil {
				out.Prefixes = append(out.Prefixes, prefix)
			}
		}
	}
	slices.SortFunc(out.Addresses, netip.Addr.Compare)
	slices.SortFunc(out.Prefixes, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	out.Prefixes = slices.Compact(out.Prefixes)
	out.Ports = p.ports()
	return out
}

// ports gives the services that were used, those with most hosts, sorted.
func (p *profiler) ports() []detect.PortUse {
	fresh := p.novelty.NewHosts()
	var out []detect.PortUse
	for s, n := range p.services {
		out = append(out, detect.PortUse{Proto: s.Proto, Port: s.Port, MaxHosts: n, NewHosts: fresh[s]})
		delete(fresh, s)
	}
	for s, n := range fresh { // beyond the bound of services
		out = append(out, detect.PortUse{Proto: s.Proto, Port: s.Port, MaxHosts: 1, NewHosts: n})
	}
	slices.SortFunc(out, func(a, b detect.PortUse) int {
		return cmp.Or(cmp.Compare(b.NewHosts, a.NewHosts), cmp.Compare(b.MaxHosts, a.MaxHosts), a.Compare(b))
	})
	out = out[:min(len(out), maxServices)]
	slices.SortFunc(out, detect.PortUse.Compare)
	return out
}

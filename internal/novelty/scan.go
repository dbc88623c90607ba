package novelty

import (
	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// maxEndpoints bounds what a scan remembers.
const maxEndpoints = 2 * maxContacts

// endpoint is a service of a host.
type endpoint struct {
	dst     host
	service Service
}

// scan counts, service by service, the hosts that a device turned to for the
// first time, without an answer, within ContactSpan. Which hosts are new is for
// the caller to say.
type scan struct {
	window[endpoint]
	hosts  map[host]int    // endpoints of pending
	counts map[Service]int // likewise
}

// newScan makes one that remembers the latest endpoints, most at the most.
func newScan(most int) *scan {
	return &scan{window: newWindow[endpoint](most, ContactSpan), hosts: map[host]int{}, counts: map[Service]int{}}
}

// add counts a host that is new and gives the hosts of its service; 0 if it
// counts there already.
func (n *scan) add(e endpoint, s *zone.Snapshot) int {
	if n.holds(e) {
		return 0
	}
	if oldest, full := n.push(e, s); full {
		n.less(oldest)
	}
	n.hosts[e.dst]++
	n.counts[e.service]++
	return n.counts[e.service]
}

// expire lets go of what is too old at now.
func (n *scan) expire(now zone.Time) {
	for _, c := range n.drop(now) {
		n.less(c.key)
	}
}

// settle takes back a host that is new no more, whatever it was asked.
func (n *scan) settle(h host) {
	if n.hosts[h] == 0 {
		return
	}
	kept := n.pending[:0]
	for _, c := range n.pending {
		if c.key.dst != h {
			kept = append(kept, c)
			continue
		}
		delete(n.keys, c.key)
		n.less(c.key)
	}
	n.pending = kept
}

// less counts an endpoint less.
func (n *scan) less(e endpoint) {
	if n.hosts[e.dst]--; n.hosts[e.dst] == 0 {
		delete(n.hosts, e.dst)
	}
	if n.counts[e.service]--; n.counts[e.service] == 0 {
		delete(n.counts, e.service)
	}
}

// latest gives the newest contacts of a service, most at the most.
func (n *scan) latest(v Service, most int) []contact[endpoint] {
	return n.newest(most, func(e endpoint) bool { return e.service == v })
}

// LimitOn gives the most hosts of one service that are tolerated of a device for
// ReasonScan; it is 0 where the device is not judged by that count. A device whose
// known hosts are too many to list is judged by the services that it never used:
// there every host is new. Of more services than are listed, those with most new
// hosts are, so that none of the others had more than they have.
func LimitOn(p *detect.Profile, v Service) int {
	use, listed := p.Use(v.Proto, v.Port)
	complete := len(p.Ports) < detect.MaxPorts
	if len(p.Known) >= detect.MaxKnown && (listed || !complete) {
		return 0
	}
	if !listed && !complete {
		use = p.Ports[0]
		for _, u := range p.Ports {
			use.NewHosts = min(use.NewHosts, u.NewHosts)
		}
	}
	return limit(hostFloor, hostFactor*use.NewHosts, maxContacts)
}

// scanLimits are the limits of all services.
type scanLimits struct {
	of    map[Service]int // of those listed
	other int
	most  int
}

func newScanLimits(p *detect.Profile) scanLimits {
	l := scanLimits{of: map[Service]int{}}
	for _, v := range Services(p) {
		l.other = LimitOn(p, v)
		l.of[v] = l.other
		l.most = max(l.most, l.other)
	}
	return l
}

// on gives the limit of a service.
func (l *scanLimits) on(v Service) int {
	if n, listed := l.of[v]; listed {
		return n
	}
	return l.other
}

// Services gives the services that a profile lists, and one for all others last.
func Services(p *detect.Profile) []Service {
	var out []Service
	other := Service{Proto: protoTCP}
	for _, u := range p.Ports {
		v := Service{u.Proto, u.Port}
		if v == other {
			other.Port++
		}
		out = append(out, v)
	}
	return append(out, other)
}

// room is how many endpoints are remembered of a device: several of each host
// and service that it may turn to without alarm.
func (l *scanLimits) room(p *detect.Profile) int {
	hosts, ports := Limit(p, zone.ReasonHosts), Limit(p, zone.ReasonPorts)
	if hosts == 0 || ports == 0 {
		return maxEndpoints
	}
	return min(8*(1+max(hosts, ports, l.most)), maxEndpoints)
}

package novelty

import (
	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// peers counts, host by host, the TCP connections that a device opened within
// FlowSpan to hosts that it did not turn to while it was learned.
type peers struct {
	window[flow]
	limit   int // of one host
	learned map[host]struct{}
}

// peerHosts is how many hosts can be at the limit before the oldest connections are
// forgotten.
const peerHosts = 4

// newPeers makes a count with a limit; 0 switches it off.
func newPeers(p *detect.Profile, limit int) *peers {
	n := &peers{window: newWindow[flow](min(peerHosts*(limit+1), maxEndpoints), FlowSpan), limit: limit, learned: map[host]struct{}{}}
	for _, a := range p.FirstKnown() {
		n.learned[host(a)] = struct{}{}
	}
	return n
}

// add counts a snapshot that turns to a host and reports whether it carries that
// host over the limit.
func (n *peers) add(s *zone.Snapshot) bool {
	if n.limit == 0 || s.Proto != protoTCP {
		return false
	}
	f := flowOf(s)
	if _, ok := n.learned[f.dst]; ok || n.holds(f) {
		return false
	}
	n.push(f, s)
	return n.count(f.dst) > n.limit
}

// count gives the connections to a host.
func (n *peers) count(to host) int {
	c := 0
	for i := range n.pending {
		if n.pending[i].key.dst == to {
			c++
		}
	}
	return c
}

// to gives the newest connections to a host, one more than the limit.
func (n *peers) to(h host) []contact[flow] {
	return n.newest(n.limit+1, func(f flow) bool { return f.dst == h })
}

package novelty

import (
	"net/netip"
	"slices"

	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// settled is the share of the learning snapshots, the earlier ones, after which
// new contacts say what is usual: a device that has just joined turns to
// everything for the first time. It is the share that fits the model.
const settled = 0.6

// maxPeaks bounds the new contacts that a Learner remembers, the latest.
const maxPeaks = 1 << 16

// Learner finds in a device's learning snapshots, in order, what its Tracker
// goes by.
type Learner struct {
	rows         int
	hosts        *fresh[host]
	ports        *fresh[Service]
	hostAt       []peak
	portAt       []peak
	known        map[netip.Addr]struct{}
	flows, burst *fresh[flow]
	mostFlows    int
	mostBurst    int
	second       []zone.Time // of the snapshots within RateSpan
	mostInSecond int
}

// peak is how many contacts were new when a row added one.
type peak struct{ row, count int }

// NewLearner makes a learner that has seen nothing.
func NewLearner() *Learner {
	return &Learner{
		hosts: newFresh[host](maxContacts, ContactSpan), ports: newFresh[Service](maxContacts, ContactSpan),
		flows: newFresh[flow](maxContacts, FlowSpan), burst: newFresh[flow](maxContacts, RateSpan),
		known: map[netip.Addr]struct{}{},
	}
}

// answered reports a snapshot that shows that its destination answered. What
// was sent to a device is not stored, so of other protocols than TCP a learner
// takes nothing for answered: its counts are at least a Tracker's.
func answered(s *zone.Snapshot) bool {
	return s.Proto == protoTCP && s.TCPFlags&(tcpSYN|tcpACK) == tcpACK
}

// Add takes the next snapshot.
func (l *Learner) Add(s *zone.Snapshot) {
	l.rows++
	l.hosts.expire(s.Time, false)
	l.ports.expire(s.Time, false)
	service, dst := ServiceOf(s), host(s.Dst)
	if answered(s) {
		l.hosts.settle(dst, false)
		l.ports.settle(service, false)
	}
	l.addRate(s.Time)
	if !Opens(s) {
		l.hosts.meet(dst, false)
		return
	}
	if len(l.known) < detect.MaxKnown {
		l.known[s.Dst] = struct{}{}
	}
	if service.flows() {
		l.mostFlows = max(l.mostFlows, l.flows.most(flowOf(s), s))
		l.mostBurst = max(l.mostBurst, l.burst.most(socketOf(s), s))
	}
	l.hosts.add(dst, s)
	l.hostAt = l.hosts.note(l.hostAt, l.rows, s)
	if service.countable() {
		l.ports.add(service, s)
		l.portAt = l.ports.note(l.portAt, l.rows, s)
	}
}

// note appends the count of now, if the snapshot is a new contact.
func (f *fresh[K]) note(peaks []peak, row int, s *zone.Snapshot) []peak {
	n := len(f.pending)
	if n == 0 || f.pending[n-1].seq != s.Seq {
		return peaks
	}
	if len(peaks) == maxPeaks {
		peaks = slices.Delete(peaks, 0, maxPeaks/2)
	}
	return append(peaks, peak{row, n})
}

// most counts the flow of a snapshot and gives the count.
func (f *fresh[K]) most(k K, s *zone.Snapshot) int {
	f.drop(s.Time)
	f.add(k, s)
	return len(f.pending)
}

func (l *Learner) addRate(now zone.Time) {
	old := 0
	for old < len(l.second) && (len(l.second)-old > maxRate || !within(l.second[old], now, RateSpan)) {
		old++
	}
	l.second = append(slices.Delete(l.second, 0, old), now)
	l.mostInSecond = max(l.mostInSecond, len(l.second))
}

// Fill sets the part of the profile that a Tracker reads, but for its ports.
func (l *Learner) Fill(p *detect.Profile) {
	for a := range l.known {
		p.Known = append(p.Known, a)
	}
	slices.SortFunc(p.Known, netip.Addr.Compare)
	p.NewHosts, p.NewPorts = l.usual(l.hostAt), l.usual(l.portAt)
	p.MaxFlows, p.MaxBurst, p.MaxRate = l.mostFlows, l.mostBurst, l.mostInSecond
}

// usual is the highest peak after the device had settled.
func (l *Learner) usual(peaks []peak) int {
	most := 0
	for _, p := range peaks {
		if float64(p.row) > settled*float64(l.rows) {
			most = max(most, p.count)
		}
	}
	return most
}

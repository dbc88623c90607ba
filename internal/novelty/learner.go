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
	scan         *scan
	ports        *fresh[Service]
	hostAt       []peak
	scanAt       []peak
	portAt       []peak
	known        map[netip.Addr]struct{}
	flows, burst *fresh[flow]
	peers        *peers
	mostPeer     int
	mostFlows    int
	mostBurst    int
	silence      *silence
	mostSilent   int
	second       []zone.Time // of the snapshots within RateSpan
	mostInSecond int
}

// peak is how many contacts were new when a row added one.
type peak struct {
	row     int
	count   int32
	service Service // that they are for, of a scan
}

// NewLearner makes a learner that has seen nothing.
func NewLearner() *Learner {
	return &Learner{
		hosts: newFresh[host](maxContacts, ContactSpan), scan: newScan(maxEndpoints), ports: newFresh[Service](maxContacts, ContactSpan),
		flows: newFresh[flow](maxContacts, FlowSpan), burst: newFresh[flow](maxContacts, RateSpan),
		peers: newPeers(&detect.Profile{}, maxContacts), silence: newSilence(maxContacts, NewHeard()), known: map[netip.Addr]struct{}{},
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
	l.expire(s.Time)
	service, dst := ServiceOf(s), host(s.Dst)
	if answered(s) {
		l.hosts.settle(dst, false)
		l.scan.settle(dst)
		l.ports.settle(service, false)
	}
	l.addRate(s.Time)
	l.addSilent(s)
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
		l.peers.drop(s.Time)
		l.peers.add(s)
		l.mostPeer = max(l.mostPeer, l.peers.count(dst))
	}
	if !l.hosts.knows(dst) {
		if n := l.scan.add(endpoint{dst, service}, s); n > 0 {
			l.scanAt = note(l.scanAt, peak{l.rows, int32(n), service})
		}
	}
	l.hosts.add(dst, s)
	l.hostAt = l.hosts.note(l.hostAt, l.rows, s)
	if service.countable() {
		l.ports.add(service, s)
		l.portAt = l.ports.note(l.portAt, l.rows, s)
	}
}

// expire lets go of what is too old at now.
func (l *Learner) expire(now zone.Time) {
	l.ports.expire(now, false)
	l.scan.expire(now)
	for _, c := range l.hosts.expire(now, false) {
		l.scan.settle(c.key)
	}
}

// note appends the count of now, if the snapshot is a new contact.
func (f *fresh[K]) note(peaks []peak, row int, s *zone.Snapshot) []peak {
	n := len(f.pending)
	if n == 0 || f.pending[n-1].seq != s.Seq {
		return peaks
	}
	return note(peaks, peak{row: row, count: int32(n)})
}

func note(peaks []peak, p peak) []peak {
	if len(peaks) == maxPeaks {
		peaks = slices.Delete(peaks, 0, maxPeaks/2)
	}
	return append(peaks, p)
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

func (l *Learner) addSilent(s *zone.Snapshot) {
	if showsHeard(s) {
		l.silence.hear(host(s.Dst))
	} else if to, _ := l.silence.add(s); to != nil {
		l.mostSilent = max(l.mostSilent, to.inSpan())
	}
}

// Fill sets the part of the profile that a Tracker reads, but for its ports.
func (l *Learner) Fill(p *detect.Profile) {
	for a := range l.known {
		p.Known = append(p.Known, a)
	}
	slices.SortFunc(p.Known, netip.Addr.Compare)
	p.NewHosts, p.NewPorts = l.usual(l.hostAt), l.usual(l.portAt)
	p.MaxFlows, p.MaxBurst, p.MaxRate = l.mostFlows, l.mostBurst, l.mostInSecond
	p.MaxPeer, p.MaxSilent = l.mostPeer, l.mostSilent
}

// NewHosts gives, by service, the most hosts that the device turned to there for
// the first time, without an answer, within ContactSpan, after it had settled.
func (l *Learner) NewHosts() map[Service]int {
	most := map[Service]int{}
	for _, p := range l.scanAt {
		if l.settled(p) {
			most[p.service] = max(most[p.service], int(p.count))
		}
	}
	return most
}

// settled reports a peak after the device had settled.
func (l *Learner) settled(p peak) bool { return float64(p.row) > settled*float64(l.rows) }

// usual is the highest peak after the device had settled.
func (l *Learner) usual(peaks []peak) int {
	most := 0
	for _, p := range peaks {
		if l.settled(p) {
			most = max(most, int(p.count))
		}
	}
	return most
}

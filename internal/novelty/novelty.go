// Package novelty is the plain evidence beside the detector: things that a
// device did not do while it was learned, counted. It sees what 115 statistics
// of one packet at a time cannot, such as a scan of one host a minute, and its
// reasons need no model to be understood.
//
// Eight counts are kept for each device:
//
//   - hosts: hosts that the device never turned to before and that did not
//     answer, within 10 minutes;
//   - scan: those of them that it turned to for one service, each service by
//     itself;
//   - ports: services (protocol and destination port) likewise;
//   - flows: TCP connections opened, or UDP services of hosts sent to, within 10
//     seconds;
//   - peer: TCP connections opened to one host that the device did not turn to
//     while it was learned, within 10 seconds;
//   - burst: sockets of TCP and UDP that send to one of another host, within one
//     second;
//   - rate: packets sent within one second;
//   - silent: packets sent within one second to one host that the device did not
//     turn to while it was learned and that has sent it nothing since but TCP resets
//     and ICMP errors.
//
// Each has a limit: a floor, or a multiple of the most that the device did while
// it was learned. Scan says nothing that hosts does not say, unless the device was
// seen to turn to many new hosts: it is then still held to the floor wherever it
// did not. A host or service that was turned to without alarm is known
// once it has left the span, or has answered: sent the device anything back but a
// TCP reset or an ICMP error. Where packets to the device are not seen nothing
// answers.
//
// The floors were set on a smart home's training days alone, 17 devices: from
// the third recording on, no device turned to more than 2 new silent hosts in 10
// minutes (5 while it booted for the first time), nor used a new service more
// often, nor sent over 3.3 times its earlier most within one second. In their
// whole time, boots included, they and the devices of a public set of set-ups
// opened at most 22 flows in 10 seconds, used at most 31 sockets in one second and
// sent at most 131 packets in one second; a download at 5 Mbit/s is 214
// acknowledgements a second. To one silent host the 17 devices sent at most 4
// packets in one second, and to any host they opened at most 2 connections in 10.
//
// Time comes with the snapshots. Memory is bounded for each device. Not safe
// for concurrent use.
package novelty

import (
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// The spans over which is counted.
const (
	ContactSpan = 10 * time.Minute // hosts, scan and ports
	FlowSpan    = 10 * time.Second // flows and peer
	RateSpan    = time.Second      // burst, rate and silent
)

// The most that is tolerated of any device: of one that did more while it was
// learned, twice as many hosts, services, flows, connections to one host and packets
// to a silent one, and five times as many packets.
const (
	hostFloor, hostFactor   = 7, 2 // of hosts, and of scan
	portFloor, portFactor   = 15, 2
	flowFloor, flowFactor   = 39, 2
	peerFloor, peerFactor   = 12, 2 // who tries again every second stays below
	burstFloor, burstFactor = 99, 2
	rateFloor, rateFactor   = 400, 5

	silentFloor, silentFactor = 15, 2
)

// maxContacts and maxRate bound the limits, and with them what is remembered: a
// device that is beyond them after learning is not judged by that count.
const (
	maxContacts = 1024
	maxRate     = 8192
)

// Limit gives the most that is tolerated of a device for one of the reasons
// ReasonHosts, ReasonPorts, ReasonFlows, ReasonPeer, ReasonBurst, ReasonRate and
// ReasonSilent; a device that does more is malicious. It is 0 where the device is not judged by that count. For ReasonScan
// see [LimitOn].
func Limit(p *detect.Profile, reason string) int {
	switch reason {
	case zone.ReasonHosts, zone.ReasonPeer, zone.ReasonSilent:
		if len(p.Known) >= detect.MaxKnown {
			return 0 // which hosts are new is not known
		}
	case zone.ReasonPorts:
		if len(p.Ports) >= detect.MaxPorts {
			return 0 // which services are new is not known
		}
	}
	switch reason {
	case zone.ReasonHosts:
		return limit(hostFloor, hostFactor*p.NewHosts, maxContacts)
	case zone.ReasonPorts:
		return limit(portFloor, portFactor*p.NewPorts, maxContacts)
	case zone.ReasonFlows:
		return limit(flowFloor, flowFactor*p.MaxFlows, maxContacts)
	case zone.ReasonPeer:
		return limit(peerFloor, peerFactor*p.MaxPeer, maxContacts)
	case zone.ReasonBurst:
		return limit(burstFloor, burstFactor*p.MaxBurst, maxContacts)
	case zone.ReasonRate:
		return limit(rateFloor, rateFactor*p.MaxRate, maxRate)
	case zone.ReasonSilent:
		return limit(silentFloor, silentFactor*p.MaxSilent, maxContacts)
	}
	return 0
}

// LimitOf gives the limit that the snapshots of a finding exceed.
func LimitOf(p *detect.Profile, reason string, rows []zone.Snapshot) int {
	if reason == zone.ReasonScan && len(rows) > 0 {
		return LimitOn(p, ServiceOf(&rows[0]))
	}
	return Limit(p, reason)
}

func limit(floor, learned, most int) int {
	if learned > most {
		return 0
	}
	return max(floor, learned)
}

// Finding is one count that exceeds its limit. The zero value is none; of a
// device that is malicious already only the reason is told.
type Finding struct {
	Reason string // one that LimitOf has
	// First is the oldest snapshot that counts. Contacts are the first
	// snapshots to each host or service, or of each flow, or those to a silent host,
	// in order; none for a rate, where every snapshot of the device counts.
	First    zone.SeqID
	Contacts []zone.SeqID
}

// Tracker counts what one device does after it was learned.
type Tracker struct {
	hosts *fresh[host]
	quiet bool  // hosts are known, but not judged
	scan  *scan // nil: switched off
	scans scanLimits
	ports *fresh[Service]
	flows *fresh[flow]
	peers *peers
	burst *fresh[flow]
	rate  *rate

	silence *silence
}

// NewTracker makes a tracker of a device with the given profile that keeps to
// the counts that are not switched off by their reasons. Callers are the hosts that
// sent to groups, those of many devices' trackers at once.
func NewTracker(p *detect.Profile, callers *Heard, without func(reason string) bool) *Tracker {
	limitOf := func(reason string) int {
		if without(reason) {
			return 0
		}
		return Limit(p, reason)
	}
	t := &Tracker{
		ports: newFresh[Service](limitOf(zone.ReasonPorts), ContactSpan),
		flows: newFresh[flow](limitOf(zone.ReasonFlows), FlowSpan),
		peers: newPeers(p, limitOf(zone.ReasonPeer)),
		burst: newFresh[flow](limitOf(zone.ReasonBurst), RateSpan),
		rate:  newRate(limitOf(zone.ReasonRate)),

		silence: newSilence(limitOf(zone.ReasonSilent), callers),
	}
	most := limitOf(zone.ReasonHosts)
	if !without(zone.ReasonScan) {
		t.scans = newScanLimits(p)
		t.scan = newScan(t.scans.room(p))
		if most == 0 {
			t.quiet, most = true, maxContacts
		}
	}
	t.hosts = newFresh[host](most, ContactSpan)
	for _, a := range p.Known {
		t.hosts.learn(host(a))
	}
	for _, a := range p.FirstKnown() {
		t.silence.heard.learn(host(a))
	}
	for _, u := range p.Ports {
		t.ports.learn(Service{u.Proto, u.Port})
	}
	return t
}

// Add counts the device's next snapshot and says which count it carries over
// its limit, hosts first. While the device is malicious nothing new becomes known.
func (t *Tracker) Add(s *zone.Snapshot, malicious bool) Finding {
	if s.SrcMAC != s.Device {
		return Finding{}
	}
	t.expire(s.Time, malicious)
	service, dst := ServiceOf(s), host(s.Dst)
	t.flows.drop(s.Time)
	t.peers.drop(s.Time)
	t.burst.drop(s.Time)
	var hosts, scan, ports, flows, peer, burst bool
	if Opens(s) {
		if !t.hosts.knows(dst) {
			scan = t.addScan(endpoint{dst, service}, s)
			hosts = t.hosts.add(dst, s) && !t.quiet
		}
		ports = service.countable() && t.ports.add(service, s)
		flows = service.flows() && t.flows.add(flowOf(s), s)
		peer = t.peers.add(s)
		burst = service.flows() && t.burst.add(socketOf(s), s)
	} else {
		t.hosts.meet(dst, malicious)
	}
	over := t.rate.add(s)
	to, silent := t.silence.add(s)
	switch {
	case hosts:
		return finding(zone.ReasonHosts, t.hosts.pending, malicious)
	case scan:
		return finding(zone.ReasonScan, t.scan.latest(service, t.scans.on(service)+1), malicious)
	case ports:
		return finding(zone.ReasonPorts, t.ports.pending, malicious)
	case flows:
		return finding(zone.ReasonFlows, t.flows.pending, malicious)
	case peer:
		return finding(zone.ReasonPeer, t.peers.to(dst), malicious)
	case burst:
		return finding(zone.ReasonBurst, t.burst.pending, malicious)
	case silent:
		return to.contacts(zone.ReasonSilent, malicious)
	case over:
		return t.rate.finding()
	}
	return Finding{}
}

// expire lets go of what is too old at now.
func (t *Tracker) expire(now zone.Time, malicious bool) {
	t.ports.expire(now, malicious)
	if t.scan == nil {
		t.hosts.expire(now, malicious)
		return
	}
	t.scan.expire(now)
	for _, c := range t.hosts.expire(now, malicious) {
		if t.hosts.knows(c.key) {
			t.scan.settle(c.key)
		}
	}
}

// addScan counts a new host for one service and reports whether it carries the
// count over the limit.
func (t *Tracker) addScan(e endpoint, s *zone.Snapshot) bool {
	if t.scan == nil {
		return false
	}
	limit := t.scans.on(e.service)
	if limit == 0 || t.scan.add(e, s) <= limit {
		return false
	}
	t.hosts.spoiled = s.Seq
	return true
}

// Met takes note of a snapshot of earlier days, when nothing was wrong: what it
// turned to is known, and who had answered was heard of.
func (t *Tracker) Met(s *zone.Snapshot) {
	if showsHeard(s) {
		t.silence.hear(host(s.Dst))
	}
	if Opens(s) {
		t.hosts.meet(host(s.Dst), false)
		t.ports.meet(ServiceOf(s), false)
	}
}

// Blind takes note that packets were not seen for a while: answers may have been
// missed.
func (t *Tracker) Blind() { t.silence.blind = true }

// Answered takes note of a packet to the device.
func (t *Tracker) Answered(a Answer, malicious bool) {
	t.silence.hear(a.from)
	if !a.settles {
		return
	}
	t.hosts.settle(a.from, malicious)
	if t.scan != nil {
		t.scan.settle(a.from)
	}
	t.ports.settle(a.service, malicious)
}

package novelty

import (
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// silentWarmUp is how long a device is not judged after its packets begin to be
// seen, or to be counted: who answers the streams that are under way is heard then.
// Receivers of RTP report at least every 7.5 s (RFC 3550, section 6.2).
const silentWarmUp = 15 * time.Second

// silentHosts is how many hosts that were never heard of are counted at a time,
// those that the device sent to last.
const silentHosts = 16

// silence counts what a device sends within RateSpan to one host that it did not
// turn to while it was learned and that sends it nothing but refusals.
type silence struct {
	limit   int
	heard   memory[host] // by the device, or learned
	callers *Heard
	slots   []slot
	blind   bool      // until the next snapshot
	from    zone.Time // from then on the device is judged
}

// slot is a host that has not been heard of; without a last snapshot it is free.
type slot struct {
	to   host
	last zone.SeqID
	sent *rate
}

// newSilence makes a count with a limit; 0 switches it off.
func newSilence(limit int, callers *Heard) *silence {
	return &silence{limit: limit, heard: newMemory[host](), callers: callers, blind: true}
}

// add counts a snapshot and gives those to its host within the span, with
// whether they are more than the limit.
func (q *silence) add(s *zone.Snapshot) (*rate, bool) {
	if q.blind || s.Time.Add(silentWarmUp) < q.from { // or the clock was set back
		q.blind, q.from = false, s.Time.Add(silentWarmUp)
	}
	to := host(s.Dst)
	if q.limit == 0 || !provokes(s) || q.heard.has(to) {
		return nil, false
	}
	l := q.slot(to)
	l.last = s.Seq
	if !l.sent.add(s) || s.Time < q.from {
		return l.sent, false
	}
	if q.callers.has(to) {
		q.hear(to)
		return nil, false
	}
	return l.sent, true
}

// slot gives the slot of a host, or the one that was used least lately.
func (q *silence) slot(to host) *slot {
	oldest := 0
	for i := range q.slots {
		if q.slots[i].to == to && q.slots[i].last > 0 {
			return &q.slots[i]
		}
		if q.slots[i].last < q.slots[oldest].last {
			oldest = i
		}
	}
	if len(q.slots) < silentHosts {
		q.slots = append(q.slots, slot{to: to, sent: newRate(q.limit)})
		return &q.slots[len(q.slots)-1]
	}
	l := &q.slots[oldest]
	l.to = to
	l.sent.reset()
	return l
}

// hear takes note that a host has sent the device something.
func (q *silence) hear(h host) {
	if q.limit == 0 {
		return
	}
	q.heard.add(h)
	for i := range q.slots {
		if q.slots[i].to == h {
			q.slots[i].last = 0
			q.slots[i].sent.reset()
		}
	}
}

// provokes reports a packet that its destination would answer if it wanted to
// have it: not one to a group, nor a refusal.
func provokes(s *zone.Snapshot) bool {
	switch {
	case s.Proto == protoARP, !s.Dst.IsValid(), s.Dst.IsMulticast(), s.DstMAC.IsGroup():
		return false
	case s.Proto == protoTCP:
		return s.TCPFlags&tcpRST == 0 || s.TCPFlags&tcpSYN != 0
	case s.Proto == protoICMP, s.Proto == protoICMPv6:
		return !isICMPError(s.Proto, uint8(s.DstPort>>8))
	}
	return true
}

// Columns of a snapshot's features: HH_L5_mean is over what the device sent to the
// host, HH_L5_magnitude over what both sent.
const (
	columnMean      = 31
	columnMagnitude = 33
)

// showsHeard reports a snapshot whose features show that its destination had sent
// something to the device before.
func showsHeard(s *zone.Snapshot) bool {
	return s.Features[columnMagnitude] > s.Features[columnMean]
}

// Heard is which hosts were heard of by all devices, the latest of them.
type Heard struct{ memory[host] }

// NewHeard makes one that is empty.
func NewHeard() *Heard { return &Heard{newMemory[host]()} }

// Called takes note of a packet to a group: every device may answer its sender.
func (h *Heard) Called(a Answer) { h.add(a.from) }

// isICMPError reports a type that refuses another packet.
func isICMPError(proto uint16, kind uint8) bool {
	if proto == protoICMPv6 {
		return kind < 128
	}
	switch kind {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

// AnswerOf gives what a packet to a device, or to a group of them, says of the host
// that sent it. A TCP reset and an ICMP error say nothing.
func AnswerOf(p *packet.Packet) (Answer, bool) {
	a := Answer{from: host(p.Src), service: Service{uint16(p.Proto), p.SrcPort}, settles: true}
	switch {
	case !p.Src.IsValid():
		return a, false
	case p.Kind == packet.KindARP:
		a.service = Service{Proto: protoARP}
	case p.Proto == protoTCP:
		a.settles = p.TCPFlags&(tcpSYN|tcpACK) != 0
		return a, p.TCPFlags&tcpRST == 0
	case p.Proto == protoICMP, p.Proto == protoICMPv6:
		a.settles = p.Proto == protoICMP && p.ICMPType == 0 || p.Proto == protoICMPv6 && p.ICMPType == 129
		return a, !isICMPError(uint16(p.Proto), p.ICMPType)
	}
	return a, true
}

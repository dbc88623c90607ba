package simulate

import (
	"time"

	"bellwether/internal/zone"
)

// host is the victim of a flood of closed ports. No source says how victims
// answer: that a third of them are silent behind a filter, a third answer until
// the flood from elsewhere is too much for them, and a third answer all along,
// is an assumption, and which of them it is depends on the seed.
type host struct {
	a      *assault
	until  zone.Time     // when it falls silent
	rtt    time.Duration // to it and back
	ttl    uint8
	errors int // ICMP messages so far
}

func (a *assault) host() *host {
	h := &host{a: a, rtt: a.r.span(15*time.Millisecond, 120*time.Millisecond), ttl: 45 + uint8(a.r.below(12))}
	choked := a.Start.Add(a.r.span(200*time.Millisecond, 800*time.Millisecond))
	h.until = []zone.Time{a.Start, choked, a.end}[a.r.below(3)]
	return h
}

// hit queues a packet of the flood and the victim's answer, if there is one: to
// TCP a reset, as RFC 9293, section 3.10.7.1, has it; to UDP that the port is
// unreachable.
func (h *host) hit(at zone.Time, f *flow, flags uint8, size int, body []byte) {
	s := segment{flow: f, up: true, flags: flags, size: max(size, len(body)), body: body}
	s.last = f.proto != protoTCP || at >= h.until
	if at < h.until && f.proto == protoUDP {
		h.unreachable(at, s)
	}
	h.a.e.packet(at, s)
	if s.last {
		return
	}
	f.far.ttl, f.far.window = h.ttl, 0
	back := segment{flow: f, flags: rst, last: true}
	if flags&ack == 0 {
		back.flags, f.far.seq = rst|ack, 0
	}
	h.a.e.packet(at.Add(h.a.r.about(h.rtt, 0.1)), back)
}

// unreachable queues the ICMP message about a UDP packet (RFC 792). A Linux host
// sends any one peer six of them at once, and then one a second; each quotes as
// much of the packet as 576 bytes hold.
func (h *host) unreachable(at zone.Time, s segment) {
	if h.errors >= 6+int(at.Sub(h.a.Start)/time.Second) {
		return
	}
	h.errors++
	same := *s.flow
	quote := same.appendFrame(nil, at, &s)[ethernetHeader:]
	body := append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, quote[:min(len(quote), 576-20-8)]...)
	f := h.a.single(protoICMP, s.flow.far.ip, 0)
	f.far.ttl = h.ttl
	h.a.e.packet(at.Add(h.a.r.about(h.rtt, 0.1)), segment{flow: f, size: len(body), body: body, last: true})
}

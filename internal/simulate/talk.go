package simulate

import (
	"time"

	"bellwether/internal/zone"
)

// segmentBytes is the most payload that one TCP segment carries here: an
// Ethernet frame less the headers with timestamps.
const segmentBytes = 1448

// talk queues one conversation over a flow, packet by packet. It is made, used
// and thrown away within one wake of a habit.
type talk struct {
	e   *engine
	r   random
	f   *flow
	at  zone.Time     // of the next packet
	rtt time.Duration // from the gateway to the far end and back
}

// put queues a packet without moving on.
func (t *talk) put(at zone.Time, s segment) {
	s.flow = t.f
	t.f.busy = max(t.f.busy, at)
	t.e.packet(at, s)
}

// wait moves on by about d.
func (t *talk) wait(d time.Duration) { t.at = t.at.Add(t.r.about(d, 0.25)) }

// turn moves on by the time until the other side's answer is seen: a round trip
// on the far side's account, a few milliseconds of radio on the near side's.
func (t *talk) turn(up bool) {
	if up {
		t.wait(t.rtt)
	} else {
		t.wait(3 * time.Millisecond)
	}
}

// flag queues an empty TCP segment.
func (t *talk) flag(up bool, flags uint8) { t.put(t.at, segment{up: up, flags: flags}) }

// datagram queues one UDP packet of at least len(body) bytes.
func (t *talk) datagram(up bool, size int, fm form, body []byte) {
	t.put(t.at, segment{up: up, size: max(size, len(body)), form: fm, body: body})
}

// query is one UDP packet up and one down.
func (t *talk) query(up, down int, ask, answer []byte) {
	t.datagram(true, up, opaque, ask)
	t.turn(true)
	t.datagram(false, down, opaque, answer)
}

// open is TCP's handshake.
func (t *talk) open() {
	t.flag(true, syn)
	t.turn(true)
	t.flag(false, syn|ack)
	t.turn(false)
	t.flag(true, ack)
	t.wait(2 * time.Millisecond)
}

// say sends size bytes one way. Every second segment but the last is
// acknowledged; the last is left to answer or settle.
func (t *talk) say(up bool, size int, fm form, body []byte) {
	size = max(size, len(body))
	for n := 1; size > 0; n++ {
		part := min(size, segmentBytes)
		own := body[:min(len(body), part)]
		body, size = body[len(own):], size-part
		s := segment{up: up, flags: ack, size: part, form: fm, body: own}
		if size == 0 {
			s.flags |= psh
		}
		t.put(t.at, s)
		if size == 0 {
			return
		}
		if n%2 == 0 {
			t.put(t.at.Add(t.delay(up)), segment{up: !up, flags: ack})
		}
		t.at = t.at.Add(t.r.span(200*time.Microsecond, 2*time.Millisecond))
	}
}

// delay is how long the acknowledgement of a segment in the middle of a message
// takes to be seen.
func (t *talk) delay(up bool) time.Duration {
	if up {
		return t.r.about(t.rtt, 0.1)
	}
	return t.r.span(80*time.Microsecond, 200*time.Microsecond)
}

// ask is a request, its answer and the acknowledgement of that.
func (t *talk) ask(up, down int, fm form) { t.exchange(true, up, down, fm, nil, nil) }

// exchange is a first message one way, the other way's answer, and the
// acknowledgement of that.
func (t *talk) exchange(up bool, there, back int, fm form, first, second []byte) {
	t.say(up, there, fm, first)
	t.turn(up)
	t.say(!up, back, fm, second)
	t.turn(!up)
	t.flag(up, ack)
}

// tell is a message one way and its acknowledgement.
func (t *talk) tell(up bool, size int, fm form, body []byte) {
	t.say(up, size, fm, body)
	t.turn(up)
	t.flag(!up, ack)
}

// secure is the handshake of TLS 1.3 (RFC 8446, section 2).
func (t *talk) secure(name string, chain int) {
	t.say(true, 0, opaque, clientHello(t.r, name))
	t.turn(true)
	t.say(false, chain, tls, serverHello(t.r))
	t.turn(false)
	t.say(true, 80, tls, changeCipherSpec())
}

// shut closes a TCP connection from one side.
func (t *talk) shut(up bool) {
	t.flag(up, fin|ack)
	t.turn(up)
	t.flag(!up, fin|ack)
	t.turn(!up)
	t.flag(up, ack)
}

package simulate

import (
	"time"

	"bellwether/internal/zone"
)

// habit is something that is done again and again. It is called at the moment
// it was due, queues the packets that follow from it, and says how long to wait
// until the next time; a negative duration ends it.
type habit func(now zone.Time) time.Duration

// event is a habit that is due, or with a nil habit a packet.
type event struct {
	at    zone.Time
	order uint64 // of two events at one moment, the one queued first comes first
	due   habit
	seg   segment
}

func (a *event) before(b *event) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

// engine holds what is going to happen, a binary heap by time. What is queued for
// a moment that has passed happens at once. It is not safe for concurrent use.
type engine struct {
	queue  []event
	queued uint64
	now    zone.Time // of the last event that happened
	frame  Frame
	buf    []byte
	spare  []*flow // flows of single packets, for reuse
}

// newEngine starts at a moment.
func newEngine(start zone.Time) *engine { return &engine{now: start} }

// wake lets a habit be due at a moment.
func (e *engine) wake(at zone.Time, h habit) { e.push(event{at: at, due: h}) }

// packet lets a segment pass at a moment.
func (e *engine) packet(at zone.Time, s segment) { e.push(event{at: at, seg: s}) }

// run yields the frames before until. It returns false when yield did.
func (e *engine) run(until zone.Time, yield func(*Frame) bool) bool {
	for len(e.queue) > 0 && e.queue[0].at < until {
		ev := e.pop()
		e.now = ev.at
		if ev.due != nil {
			if wait := ev.due(ev.at); wait >= 0 {
				e.wake(ev.at.Add(max(wait, 1)), ev.due)
			}
			continue
		}
		e.render(ev.at, &ev.seg)
		if !yield(&e.frame) {
			return false
		}
	}
	return true
}

func (e *engine) render(at zone.Time, s *segment) {
	f := s.flow
	e.buf = f.appendFrame(e.buf[:0], at, s)
	e.frame = Frame{Time: at, Data: e.buf, Attack: f.attack, Device: f.device}
	if s.last {
		e.spare = append(e.spare, f)
	}
}

// once gives a zeroed flow for a single packet. The segment that is queued with it
// has to be marked as the last.
func (e *engine) once() *flow {
	if n := len(e.spare); n > 0 {
		f := e.spare[n-1]
		e.spare = e.spare[:n-1]
		*f = flow{}
		return f
	}
	return new(flow)
}

func (e *engine) push(ev event) {
	ev.at = max(ev.at, e.now) // time does not run backwards
	ev.order = e.queued
	e.queued++
	e.queue = append(e.queue, ev)
	q, i := e.queue, len(e.queue)-1
	for i > 0 {
		parent := (i - 1) / 2
		if !q[i].before(&q[parent]) {
			break
		}
		q[i], q[parent] = q[parent], q[i]
		i = parent
	}
}

func (e *engine) pop() event {
	q := e.queue
	first, n := q[0], len(q)-1
	q[0] = q[n]
	q[n] = event{}
	e.queue = q[:n]
	for i := 0; ; {
		child := 2*i + 1
		if child >= n {
			return first
		}
		if child+1 < n && q[child+1].before(&q[child]) {
			child++
		}
		if !q[child].before(&q[i]) {
			return first
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
}

package novelty

import (
	"slices"

	"bellwether/internal/zone"
)

// rate remembers as many snapshots as are tolerated within RateSpan, and one.
type rate struct {
	ring   []beat
	oldest int
	newest zone.Time
}

type beat struct {
	seq  zone.SeqID
	time zone.Time
}

// newRate makes a rate with a limit; 0 switches it off.
func newRate(limit int) *rate {
	if limit == 0 {
		return &rate{}
	}
	return &rate{ring: make([]beat, 0, limit+1)}
}

// add takes the next snapshot and reports whether more than the limit are
// within the span.
func (r *rate) add(s *zone.Snapshot) bool {
	b := beat{s.Seq, s.Time}
	if r.newest.Sub(s.Time) > RateSpan { // the clock was set back
		r.reset()
		r.newest = s.Time
	}
	r.newest = max(r.newest, s.Time)
	switch {
	case cap(r.ring) == 0:
		return false
	case len(r.ring) < cap(r.ring):
		r.ring = append(r.ring, b)
	default:
		r.ring[r.oldest] = b
		r.oldest = (r.oldest + 1) % len(r.ring)
	}
	if len(r.ring) < cap(r.ring) || !within(r.ring[r.oldest].time, s.Time, RateSpan) {
		return false
	}
	return !slices.ContainsFunc(r.ring, func(b beat) bool { return !within(b.time, s.Time, RateSpan) })
}

// reset forgets all snapshots.
func (r *rate) reset() { r.ring, r.oldest = r.ring[:0], 0 }

// inSpan counts the snapshots within the span before the newest.
func (r *rate) inSpan() int {
	n := 0
	for _, b := range r.ring {
		if within(b.time, r.newest, RateSpan) {
			n++
		}
	}
	return n
}

func (r *rate) finding() Finding {
	return Finding{Reason: zone.ReasonRate, First: r.ring[r.oldest].seq}
}

// contacts is a finding that names every snapshot.
func (r *rate) contacts(reason string, malicious bool) Finding {
	if malicious {
		return Finding{Reason: reason}
	}
	found := Finding{Reason: reason, First: r.ring[r.oldest].seq}
	for i := range r.ring {
		found.Contacts = append(found.Contacts, r.ring[(r.oldest+i)%len(r.ring)].seq)
	}
	return found
}

package rehearse

import (
	"time"

	"bellwether/internal/zone"
)

// silence is how long nobody may send until it counts as a gap between
// captures, which belongs to no part of the traffic.
const silence = 10 * time.Minute

// timeline is the time that traffic covers, without the gaps: stretches in
// order, each from its first packet to its last.
type timeline []stretch

type stretch struct{ from, to zone.Time }

// add takes the time of the next packet. One that is stamped earlier than its
// predecessor changes nothing.
func (t *timeline) add(at zone.Time) {
	n := len(*t)
	switch {
	case n == 0 || at.Sub((*t)[n-1].to) > silence:
		*t = append(*t, stretch{at, at})
	case at > (*t)[n-1].to:
		(*t)[n-1].to = at
	}
}

func (t timeline) length() (sum time.Duration) {
	for _, s := range t {
		sum += s.to.Sub(s.from)
	}
	return sum
}

func (t timeline) start() zone.Time { return t[0].from }
func (t timeline) end() zone.Time   { return t[len(t)-1].to }

// after gives the moment by which so much of the traffic has passed, at the
// latest its end.
func (t timeline) after(passed time.Duration) zone.Time {
	for _, s := range t {
		if own := s.to.Sub(s.from); passed > own {
			passed -= own
			continue
		}
		return s.from.Add(passed)
	}
	return t.end()
}

// between gives the part from a moment on, until before another.
func (t timeline) between(from, until zone.Time) (part timeline) {
	for _, s := range t {
		if s.to >= from && s.from < until {
			part = append(part, stretch{max(s.from, from), min(s.to, until-1)})
		}
	}
	return part
}

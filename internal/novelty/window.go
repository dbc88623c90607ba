package novelty

import (
	"slices"
	"time"

	"bellwether/internal/zone"
)

// window holds the first contacts with different keys within the last span, the
// latest of them, most at the most. A lookup does not depend on how many there are.
type window[K comparable] struct {
	most      int
	span      time.Duration
	pending   []contact[K]
	room      []contact[K]   // that pending lies in
	keys      map[K]struct{} // of pending
	gone      []contact[K]   // scratch of drop
	unordered bool           // pending is not in the order of time
}

// contact is the first snapshot to a key.
type contact[K comparable] struct {
	key  K
	seq  zone.SeqID
	time zone.Time
}

func newWindow[K comparable](most int, span time.Duration) window[K] {
	return window[K]{most: most, span: span, keys: map[K]struct{}{}}
}

// few keys are sooner compared than hashed.
const few = 8

// holds reports a key that is pending.
func (w *window[K]) holds(k K) bool {
	if len(w.pending) <= few {
		return slices.ContainsFunc(w.pending, func(c contact[K]) bool { return c.key == k })
	}
	_, ok := w.keys[k]
	return ok
}

// push adds the first contact with a key. If the window is full, the oldest
// gives way and is returned.
func (w *window[K]) push(k K, s *zone.Snapshot) (oldest K, full bool) {
	if len(w.pending) == w.most {
		oldest, full = w.pending[0].key, true
		delete(w.keys, oldest)
		w.pending = w.pending[1:]
	}
	if n := len(w.pending); n > 0 && s.Time < w.pending[n-1].time {
		w.unordered = true
	}
	w.reserve()
	w.pending = append(w.pending, contact[K]{k, s.Seq, s.Time})
	w.keys[k] = struct{}{}
	return oldest, full
}

// reserve makes room for one contact more: where those were that gave way, or,
// if that is less than what is there, elsewhere.
func (w *window[K]) reserve() {
	switch {
	case len(w.pending) < cap(w.pending):
		return
	case len(w.pending) > cap(w.room)/2:
		w.room = make([]contact[K], 0, 2*len(w.pending)+few)
	}
	w.pending = append(w.room[:0], w.pending...)
}

// take removes a key and reports whether it was pending.
func (w *window[K]) take(k K) bool {
	if !w.holds(k) {
		return false
	}
	delete(w.keys, k)
	w.pending = slices.DeleteFunc(w.pending, func(c contact[K]) bool { return c.key == k })
	return true
}

// drop takes out the contacts that are too old at now, and gives them until it
// is called again. They are in the order of time, unless the clock was set.
func (w *window[K]) drop(now zone.Time) []contact[K] {
	n := len(w.pending)
	if n == 0 {
		w.unordered = false
		return nil
	}
	if !w.unordered && now >= w.pending[n-1].time && within(w.pending[0].time, now, w.span) {
		return nil
	}
	w.gone = w.gone[:0]
	w.pending = slices.DeleteFunc(w.pending, func(c contact[K]) bool {
		old := !within(c.time, now, w.span)
		if old {
			w.gone = append(w.gone, c)
			delete(w.keys, c.key)
		}
		return old
	})
	return w.gone
}

// newest gives the newest contacts that f selects, most at the most, in order.
func (w *window[K]) newest(most int, f func(K) bool) (out []contact[K]) {
	for i := len(w.pending) - 1; i >= 0 && len(out) < most; i-- {
		if f(w.pending[i].key) {
			out = append(out, w.pending[i])
		}
	}
	slices.Reverse(out)
	return out
}

// within reports a time that is at most span away from now; a clock that was set
// back leaves nothing behind that lies in its future.
func within(t, now zone.Time, span time.Duration) bool {
	age := now.Sub(t)
	return age <= span && age >= -span
}

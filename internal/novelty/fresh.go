package novelty

import (
	"slices"
	"time"

	"bellwether/internal/zone"
)

// maxMet bounds what becomes known of a device after it was learned; beyond it
// the earliest is forgotten.
const maxMet = 1024

// fresh counts the different keys that a device turned to for the first time,
// without an answer, within the last span.
type fresh[K comparable] struct {
	limit     int
	span      time.Duration
	known     map[K]struct{}
	met       []K // those known that were not learned, a ring once it is full
	oldest    int // of met
	pending   []contact[K]
	unordered bool       // pending is not in the order of time
	spoiled   zone.SeqID // contacts up to here were part of a finding: they never become known
}

// contact is the first snapshot to a key.
type contact[K comparable] struct {
	key  K
	seq  zone.SeqID
	time zone.Time
}

// newFresh makes a count with a limit; 0 switches it off.
func newFresh[K comparable](limit int, span time.Duration) *fresh[K] {
	return &fresh[K]{limit: limit, span: span, known: map[K]struct{}{}}
}

// learn makes a key known for good.
func (f *fresh[K]) learn(k K) {
	if f.limit > 0 {
		f.known[k] = struct{}{}
	}
}

// meet makes a key known that is not pending; while the device is malicious
// it does nothing.
func (f *fresh[K]) meet(k K, malicious bool) {
	if _, ok := f.known[k]; ok || malicious || f.limit == 0 || f.find(k) >= 0 {
		return
	}
	if len(f.met) < maxMet {
		f.met = append(f.met, k)
	} else {
		delete(f.known, f.met[f.oldest])
		f.met[f.oldest] = k
		f.oldest = (f.oldest + 1) % maxMet
	}
	f.known[k] = struct{}{}
}

func (f *fresh[K]) find(k K) int {
	return slices.IndexFunc(f.pending, func(c contact[K]) bool { return c.key == k })
}

// expire lets go of the contacts that are too old at now: they are known
// henceforth, unless there was an alarm.
func (f *fresh[K]) expire(now zone.Time, malicious bool) {
	for _, c := range f.drop(now) {
		f.meet(c.key, malicious || c.seq <= f.spoiled)
	}
}

// drop takes out the contacts that are too old at now. They are in the order of
// time, unless the clock was set.
func (f *fresh[K]) drop(now zone.Time) (gone []contact[K]) {
	n := len(f.pending)
	if n == 0 {
		f.unordered = false
		return nil
	}
	if !f.unordered && now >= f.pending[n-1].time && within(f.pending[0].time, now, f.span) {
		return nil
	}
	f.pending = slices.DeleteFunc(f.pending, func(c contact[K]) bool {
		old := !within(c.time, now, f.span)
		if old {
			gone = append(gone, c)
		}
		return old
	})
	return gone
}

// within reports a time that is at most span away from now; a clock that was set
// back leaves nothing behind that lies in its future.
func within(t, now zone.Time, span time.Duration) bool {
	age := now.Sub(t)
	return age <= span && age >= -span
}

// settle takes back the contact with a key that has answered.
func (f *fresh[K]) settle(k K, malicious bool) {
	if len(f.pending) == 0 {
		return
	}
	if i := f.find(k); i >= 0 {
		f.pending = slices.Delete(f.pending, i, i+1)
		f.meet(k, malicious)
	}
}

// add counts a contact and reports whether it carries the count over the limit.
func (f *fresh[K]) add(k K, s *zone.Snapshot) bool {
	if _, ok := f.known[k]; ok || f.limit == 0 || f.find(k) >= 0 {
		return false
	}
	if len(f.pending) > f.limit {
		f.pending = slices.Delete(f.pending, 0, 1)
	}
	if n := len(f.pending); n > 0 && s.Time < f.pending[n-1].time {
		f.unordered = true
	}
	f.pending = append(f.pending, contact[K]{k, s.Seq, s.Time})
	if len(f.pending) <= f.limit {
		return false
	}
	f.spoiled = s.Seq
	return true
}

func (f *fresh[K]) finding(reason string, malicious bool) Finding {
	if malicious {
		return Finding{Reason: reason}
	}
	found := Finding{Reason: reason, First: f.pending[0].seq}
	for _, c := range f.pending {
		found.Contacts = append(found.Contacts, c.seq)
	}
	return found
}

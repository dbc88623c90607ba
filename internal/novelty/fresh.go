package novelty

import (
	"time"

	"bellwether/internal/zone"
)

// fresh counts the different keys that a device turned to for the first time,
// without an answer, within the last span.
type fresh[K comparable] struct {
	window[K]
	limit   int
	known   memory[K]
	spoiled zone.SeqID // contacts up to here were part of a finding: they never become known
}

// newFresh makes a count with a limit; 0 switches it off.
func newFresh[K comparable](limit int, span time.Duration) *fresh[K] {
	return &fresh[K]{window: newWindow[K](limit+1, span), limit: limit, known: newMemory[K]()}
}

// learn makes a key known for good.
func (f *fresh[K]) learn(k K) {
	if f.limit > 0 {
		f.known.learn(k)
	}
}

// knows reports a key that is not new.
func (f *fresh[K]) knows(k K) bool { return f.known.has(k) }

// meet makes a key known that is not pending; while the device is malicious
// it does nothing.
func (f *fresh[K]) meet(k K, malicious bool) {
	if malicious || f.limit == 0 || f.holds(k) {
		return
	}
	f.known.add(k)
}

// expire lets go of the contacts that are too old at now, and gives them until it
// is called again: they are known henceforth, unless there was an alarm.
func (f *fresh[K]) expire(now zone.Time, malicious bool) []contact[K] {
	gone := f.drop(now)
	for _, c := range gone {
		f.meet(c.key, malicious || c.seq <= f.spoiled)
	}
	return gone
}

// settle takes back the contact with a key that has answered.
func (f *fresh[K]) settle(k K, malicious bool) {
	if f.take(k) {
		f.meet(k, malicious)
	}
}

// add counts a contact and reports whether it carries the count over the limit.
func (f *fresh[K]) add(k K, s *zone.Snapshot) bool {
	if f.knows(k) || f.limit == 0 || f.holds(k) {
		return false
	}
	f.push(k, s)
	if len(f.pending) <= f.limit {
		return false
	}
	f.spoiled = s.Seq
	return true
}

// finding is that a count exceeds its limit, by the contacts of a window.
func finding[K comparable](reason string, contacts []contact[K], malicious bool) Finding {
	if malicious {
		return Finding{Reason: reason}
	}
	found := Finding{Reason: reason, First: contacts[0].seq}
	for _, c := range contacts {
		found.Contacts = append(found.Contacts, c.seq)
	}
	return found
}

package bus

import (
	"sync"
	"sync/atomic"
	"time"

	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// position is where a message stands on the ledger: block<<16 and its index.
type position uint64

func positionOf(block uint64, index int) position { return position(block<<16 | uint64(index)) }

func (p position) block() uint64 { return uint64(p) >> 16 }
func (p position) index() int    { return int(p & 0xffff) }

// maxWait is how many positions wait for one member in memory. What comes behind
// them is read from the ledger when they are delivered.
const maxWait = 2048

// member is what the hub knows of one member.
type member struct {
	name       zone.MemberID
	associated atomic.Uint64 // position at which it did so last; 0: never

	// Of the goroutine that follows the ledger.
	joined  bool // it has associated
	revoked bool
	n       uint64                 // of its newest transaction
	recent  [message.Credit]recent // of its transactions, by their number
	doubted int                    // of its next ones are judged before they are stored

	mu      sync.Mutex // guards what follows
	cursor  position   // acknowledged up to here
	wait    []position // for it, behind the cursor
	sent    int        // of them, in this session
	upTo    position   // what is below is delivered or in wait
	more    bool       // there may be more from upTo on
	away    bool       // revoked, at upTo
	session *session   // nil: not connected

	// The moments up to which it has used what it may hand in, in all its sessions.
	bytesUsed, framesUsed time.Time
}

// recent is a transaction of a member, told from others by half of its H-ID.
type recent struct {
	at position
	id [16]byte
}

// named is how many names have a member, which most are.
func (h *Hub) named() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.members)
}

// member gives the member of that name, a new one if there is none.
func (h *Hub) member(name zone.MemberID) *member {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.members[name]
	if m == nil {
		m = &member{name: name, doubted: doubtFirst}
		h.members[name] = m
	}
	return m
}

// push adds a message for the member. Positions come in rising order.
func (m *member) push(at position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at <= m.cursor || at < m.upTo || m.more {
		return
	}
	if len(m.wait) >= maxWait {
		m.more, m.away, m.upTo = true, false, at
		return
	}
	m.wait = append(m.wait, at)
	m.upTo = at + 1
	if m.session != nil {
		m.session.nudge()
	}
}

// next gives the next position to deliver within the credit, and counts it as
// sent. refill says that the ledger has to be read for more. A session that was
// replaced gets nothing: what it sent would count as sent by the new one.
func (m *member) next(s *session) (at position, ok, refill bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.session != s:
		return 0, false, false
	case m.sent >= message.Credit:
		return 0, false, false
	case m.sent < len(m.wait):
		m.sent++
		return m.wait[m.sent-1], true, false
	}
	return 0, false, m.more
}

// skip takes a position away that was just given by next: nothing is left of it.
func (m *member) skip(s *session, at position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session != s || m.sent == 0 || m.wait[m.sent-1] != at {
		return
	}
	m.sent--
	m.wait = append(m.wait[:m.sent:m.sent], m.wait[m.sent+1:]...)
}

// acknowledge takes what was sent up to a position, and reports whether that
// changed anything.
func (m *member) acknowledge(s *session, at position) (cursor position, changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := 0
	for m.session == s && k < m.sent && m.wait[k] <= at {
		k++
	}
	if k == 0 {
		return m.cursor, false
	}
	m.cursor = m.wait[k-1]
	m.sent -= k
	if m.wait = m.wait[k:]; len(m.wait) == 0 {
		m.wait = nil
	}
	return m.cursor, true
}

// attach gives the member a session, in the place of the one it had: what was sent
// there and not acknowledged comes again.
func (m *member) attach(s *session) {
	m.mu.Lock()
	old := m.session
	m.session, m.sent = s, 0
	m.mu.Unlock()
	if old != nil && old != s {
		old.end(byeReplaced)
	}
}

func (m *member) detach(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session == s {
		m.session = nil
	}
}

// spend uses up what frames of so many bytes take of what the member may hand in,
// and says how long it has to wait for that. Another session gives nothing back.
func (m *member) spend(now time.Time, o *Options, frames, size int) (wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	use := func(used *time.Time, rate int, burst time.Duration, n int) {
		if full := now.Add(-burst); used.Before(full) {
			*used = full
		}
		*used = used.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
		wait = max(wait, used.Sub(now))
	}
	use(&m.bytesUsed, o.Rate, time.Second, size)
	use(&m.framesUsed, o.Messages, messagesBurst, frames)
	return wait
}

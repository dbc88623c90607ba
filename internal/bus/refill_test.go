package bus

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bellwether/internal/ledger"
	"bellwether/internal/message"
)

// slowLedger lets nobody read a block while the gate is closed.
type slowLedger struct {
	Ledger
	gate  *atomic.Pointer[chan struct{}] // nil: open
	waits *atomic.Int32
}

func (l slowLedger) Block(ctx context.Context, n uint64) (*ledger.Block, error) {
	if gate := l.gate.Load(); gate != nil {
		l.waits.Add(1)
		<-*gate
	}
	return l.Ledger.Block(ctx, n)
}

// TestRefillTwice: who comes again while the ledger is read for it is delivered
// everything once.
func TestRefillTwice(t *testing.T) {
	p := newPlace(t, Options{})
	gate, waits := new(atomic.Pointer[chan struct{}]), new(atomic.Int32)
	p.between = func(l Ledger) Ledger { return slowLedger{l, gate, waits} }
	p.restart()
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	b.close()
	until(t, "b is gone", func() bool { on, _, _ := p.hub.Member("b"); return !on })
	const n = 5
	for i := range n {
		a.send("b", fmt.Sprint(i))
		want[*message.Receipt](a)
	}
	m := p.hub.member("b")
	m.mu.Lock()
	m.wait, m.upTo, m.more = nil, 0, true // as if there were too many
	m.mu.Unlock()
	closed := make(chan struct{})
	gate.Store(&closed)
	b.open()
	until(t, "the first session reads the ledger", func() bool { return waits.Load() == 1 })
	b.open()
	until(t, "the second session reads the ledger", func() bool { return waits.Load() == 2 })
	gate.Store(nil)
	close(closed)
	last := uint64(0)
	for i := range n {
		d := want[*message.Delivery](b)
		if got := content(t, d); got != fmt.Sprintf("a: %d", i) {
			t.Fatalf("delivery %d is %q", i, got)
		}
		b.say(&message.Ack{Position: d.Position})
		last = d.Position
	}
	a.send("b", "and one more")
	if d := want[*message.Delivery](b); content(t, d) != "a: and one more" {
		t.Fatalf("delivered %q at %d behind %d", content(t, d), d.Position, last)
	}
}

// until waits for what has to come.
func until(tb testing.TB, what string, come func() bool) {
	tb.Helper()
	for began := time.Now(); !come(); time.Sleep(time.Millisecond) {
		if time.Since(began) > patienceOf {
			tb.Fatalf("waited in vain: %s", what)
		}
	}
}

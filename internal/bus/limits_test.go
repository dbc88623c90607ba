package bus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// TestDoubt: of who was trusted, what is refused first may be stored, and what comes
// behind it not.
func TestDoubt(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	for range doubtFirst {
		a.send("b", "x")
		want[*message.Receipt](a)
	}
	p.roll(&contract.PolicySet{Text: `forbid (principal, action, resource);`})
	refused := func() {
		body, payload := a.message("b", "x")
		if got := a.refusal(a.signAs(a.n+1, body), payload); got != contract.CodePolicy {
			t.Fatalf("refused with %q", got)
		}
	}
	stored := func() zone.SeqID {
		p.hub.payloads.mu.Lock()
		defer p.hub.payloads.mu.Unlock()
		return p.hub.payloads.next
	}
	refused()
	before := stored()
	refused()
	if got := stored() - before; got != 0 {
		t.Errorf("%d contents were stored of who was just refused", got)
	}
}

// TestRefusedStoresNothing: what the contract refuses leaves nothing on the disk,
// neither contents nor versions of objects, also in the middle of a batch and behind
// what made it wrong.
func TestRefusedStoresNothing(t *testing.T) {
	p := newPlace(t, Options{})
	good, bad := p.peer("good"), p.peer("bad")
	good.join(Grant{})
	bad.join(Grant{})
	p.roll(&contract.PolicySet{Text: `permit (principal, action, resource); forbid (principal == Member::"bad", action, resource);`})
	kept := func() int {
		versions := p.hub.objects.journal.Len()
		p.hub.payloads.mu.Lock()
		defer p.hub.payloads.mu.Unlock()
		return int(p.hub.payloads.next) + versions
	}
	before := kept()
	for i := range 40 {
		body, payload := bad.message("good", strings.Repeat("x", 60_000))
		if i%2 > 0 {
			body.Op, body.Object = contract.OpCreate, "log"
		}
		if got := bad.refusal(bad.signAs(bad.n+1, body), payload); got != contract.CodePolicy {
			t.Fatalf("refused with %q", got)
		}
	}
	if got := kept(); got != before {
		t.Errorf("%d contents were stored of who may do nothing", got-before)
	}
	// One is refused for what stands before it in the same batch; the next goes with it.
	body, payload := good.message("good", "x")
	body.Op, body.Object = contract.OpCreate, "log"
	good.say(&message.Submit{Object: good.sign(body), Payload: payload})
	good.say(&message.Submit{Object: good.sign(body), Payload: payload})
	good.say(&message.Submit{Object: good.sign(body), Payload: payload})
	var answers []string
	for range 3 {
		got, err := good.next()
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := got.(*message.Refusal); ok {
			answers = append(answers, string(r.Code))
		} else {
			answers = append(answers, "receipt")
		}
	}
	slices.Sort(answers)
	if want := []string{"order", "receipt", "transition"}; !slices.Equal(answers, want) {
		t.Errorf("answered with %q", answers)
	}
	if got := kept(); got != before+1 {
		t.Errorf("%d were stored, want one", got-before)
	}
	if _, err := p.hub.Say(t.Context(), Say{To: "nobody", Content: []byte("x")}); err == nil || kept() != before+1 {
		t.Errorf("what the master may not say: %v, %d stored", err, kept()-before)
	}
	good.n -= 2 // and the numbers are still to be used
	good.send("master", "on")
	if r := want[*message.Receipt](good); r.N != good.n {
		t.Errorf("receipt %+v", r)
	}
}

// contrary refuses what the hub has judged to be right, as after somebody else has
// written to the ledger.
type contrary struct {
	Ledger
	refuses *atomic.Bool
}

func (c contrary) SubmitChecked(ctx context.Context, tx *contract.Checked) error {
	if c.refuses.Load() {
		return &contract.RejectError{Code: contract.CodeRevoked, Reason: "just now"}
	}
	return c.Ledger.SubmitChecked(ctx, tx)
}

// TestLedgerJudgesLast: what the ledger itself refuses is refused, and nothing of it
// is left that would be given to anybody.
func TestLedgerJudgesLast(t *testing.T) {
	var refuses atomic.Bool
	p := newPlace(t, Options{})
	p.between = func(l Ledger) Ledger { return contrary{l, &refuses} }
	p.restart()
	a := p.peer("a")
	a.join(Grant{})
	body, payload := a.message("a", "first")
	body.Op, body.Object = contract.OpCreate, "log"
	refuses.Store(true)
	height := p.ledger.Height()
	if got := a.refusal(a.signAs(a.n+1, body), payload); got != contract.CodeRevoked || p.ledger.Height() != height {
		t.Errorf("refused with %q, %d blocks more", got, p.ledger.Height()-height)
	}
	until(t, "no version is kept", func() bool { // it is taken back behind the answer
		p.hub.objects.mu.Lock()
		defer p.hub.objects.mu.Unlock()
		return len(p.hub.objects.records) == 0
	})
	refuses.Store(false)
	a.say(&message.Submit{Object: a.sign(body), Payload: payload})
	if r := want[*message.Receipt](a); r.N != a.n {
		t.Errorf("receipt %+v", r)
	}
	a.say(&message.Submit{Object: a.sign(&contract.Message{To: "a", Op: contract.OpRead, Object: "log"})})
	want[*message.Receipt](a)
	if o := want[*message.Object](a); string(o.Payload) != string(payload) {
		t.Errorf("object %q", o.Payload)
	}
}

// tightPlace is a zone whose sockets take little that is not read.
func tightPlace(t *testing.T, o Options) *place {
	p := newPlace(t, o)
	p.tight = true
	p.restart()
	return p
}

// sessionOf gives the session of a member.
func (p *place) sessionOf(name string) *session {
	m := p.hub.member(zone.MemberID(name))
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

// stuck has a member send somebody who reads nothing more than its socket takes.
func stuck(t *testing.T, p *place) (from, slow *peer) {
	t.Helper()
	from, slow = p.peer("from"), p.peer("slow")
	from.join(Grant{})
	slow.join(Grant{})
	for i := range message.Credit {
		from.send("slow", fmt.Sprint(i, " ", strings.Repeat("x", 60_000)))
		want[*message.Receipt](from)
	}
	return from, slow
}

// TestSlowReader: nobody waits for who reads nothing.
func TestSlowReader(t *testing.T) {
	p := tightPlace(t, Options{patience: 10 * time.Minute})
	from, _ := stuck(t, p)
	other := p.peer("other")
	other.join(Grant{})
	for i := range 100 {
		from.send("other", fmt.Sprint(i))
		d := want[*message.Delivery](other)
		if got := content(t, d); got != fmt.Sprint("from: ", i) {
			t.Fatalf("delivered %q, want message %d", got, i)
		}
		other.say(&message.Ack{Position: d.Position})
		want[*message.Receipt](from)
	}
	if s := p.sessionOf("slow"); s == nil || s.ended() {
		t.Error("the slow one is not there any more, though there was patience")
	}
	if n := p.hub.Status().Delivered; n >= 100+message.Credit {
		t.Errorf("%d were delivered: nothing was slow", n)
	}
}

// TestSlowReaderEnds: who reads nothing is disconnected, and has everything when it
// comes back.
func TestSlowReaderEnds(t *testing.T) {
	const patience = time.Second
	p := tightPlace(t, Options{patience: patience})
	began := time.Now()
	_, slow := stuck(t, p)
	s := p.sessionOf("slow")
	for s != nil && !s.ended() {
		if time.Sleep(10 * time.Millisecond); time.Since(began) > patienceOf+patience {
			t.Fatal("it still has its session")
		}
	}
	if s != nil && s.bye != byeSlow || time.Since(began) < patience {
		t.Errorf("ended by %q after %s", s.bye, time.Since(began))
	}
	slow.close()
	p.options.patience = patienceOf
	p.restart()
	slow.open()
	for i := range message.Credit {
		d := want[*message.Delivery](slow)
		if got := content(t, d); !strings.HasPrefix(got, fmt.Sprint("from: ", i, " ")) {
			t.Fatalf("delivered %.20q, want message %d", got, i)
		}
		slow.say(&message.Ack{Position: d.Position})
	}
}

// TestReadsWait: objects that somebody asks for and does not read take no memory
// beyond a few.
func TestReadsWait(t *testing.T) {
	p := tightPlace(t, Options{patience: patienceOf})
	a := p.peer("a")
	a.join(Grant{})
	filling := strings.Repeat("x", 60_000)
	body, payload := a.message("a", filling)
	body.Op, body.Object = contract.OpCreate, "log"
	a.say(&message.Submit{Object: a.sign(body), Payload: payload})
	want[*message.Receipt](a)
	s := p.sessionOf("a")
	go func() {
		for range message.Credit {
			a.say(&message.Submit{Object: a.sign(&contract.Message{To: "a", Op: contract.OpRead, Object: "log"})})
		}
	}()
	most := 0
	for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		waits := 0
		for _, o := range s.out {
			waits += len(o.raw)
		}
		s.mu.Unlock()
		most = max(most, waits)
	}
	if bound := maxReads*message.MaxFrame + 16<<10; most > bound || most == 0 {
		t.Errorf("%d bytes wait for who reads nothing, want at most %d", most, bound)
	}
	for i := range message.Credit {
		r, o := want[*message.Receipt](a), want[*message.Object](a)
		if r.N != o.N || string(o.Payload[contract.PayloadSalt:]) != filling {
			t.Fatalf("read %d: receipt of %d, object of %d", i, r.N, o.N)
		}
	}
	// Reads that have no object give their places back, too.
	for range 3 * maxReads {
		if got := a.refusal(a.signAs(a.n+1, &contract.Message{To: "a", Op: contract.OpRead, Object: "no-such"}), nil); got != contract.CodeTransition {
			t.Fatalf("refused with %q", got)
		}
		again := a.signAs(a.n, &contract.Message{To: "a", Op: contract.OpRead, Object: "log"})
		a.say(&message.Submit{Object: again})
		want[*message.Receipt](a)
	}
}

// TestMessagesRate: who hands in more transactions and lookups than it may waits, and
// another session, or what acknowledges nothing, does not help.
func TestMessagesRate(t *testing.T) {
	const rate, burst = 10, 10 * int(messagesBurst/time.Second)
	p := newPlace(t, Options{Messages: rate})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	began := time.Now()
	for i := range burst + rate {
		switch i % 3 {
		case 0:
			a.send("master", "x")
			want[*message.Receipt](a)
		case 1:
			a.say(&message.Lookup{Member: "b"})
			want[*message.Member](a)
		default:
			a.say(&message.Ack{Position: 1})
		}
	}
	b.send("master", "nobody else waits")
	want[*message.Receipt](b)
	for range 3 * rate {
		a.close()
		a.open()
		a.send("master", "x")
		want[*message.Receipt](a)
	}
	if took, least := time.Since(began), 4*time.Second-2*time.Second/rate; took < least {
		t.Errorf("%d were taken within %s, at %d a second", burst+4*rate, took, rate)
	}
}

// TestLookupsOfNothing: a lookup that is answered with nothing counts as many messages.
func TestLookupsOfNothing(t *testing.T) {
	const rate = 100
	p := newPlace(t, Options{Messages: rate})
	a := p.peer("a")
	a.join(Grant{})
	began := time.Now()
	for range (int(messagesBurst/time.Second) + 1) * rate / (1 + perNothing) {
		a.say(&message.Lookup{Member: "nobody"})
		want[*message.Member](a)
	}
	if took := time.Since(began); took < 700*time.Millisecond {
		t.Errorf("all were answered within %s", took)
	}
}

// TestRateOverSessions: a session that begins anew brings no more bytes.
func TestRateOverSessions(t *testing.T) {
	p := newPlace(t, Options{Rate: 100 << 10})
	a := p.peer("a")
	a.join(Grant{})
	began := time.Now()
	for range 6 {
		a.send("master", strings.Repeat("x", 60_000))
		want[*message.Receipt](a)
		a.close()
		a.open()
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("360 kB were taken in %s at 100 kB/s", took)
	}
}

// TestEveryoneCosts: a message to everyone is as much as the deliveries that it
// leads to.
func TestEveryoneCosts(t *testing.T) {
	const members, messages = 800, 14
	p := newPlace(t, Options{Messages: 100})
	a := p.peer("a")
	a.join(Grant{})
	for i := range members {
		p.hub.member(zone.MemberID(fmt.Sprint("m", i)))
	}
	began := time.Now()
	for range messages {
		a.send("*", "x")
		want[*message.Receipt](a)
	}
	least := time.Duration(messages*(1+members/perDelivery)-1000) * time.Second / 100
	if took := time.Since(began); took < least-time.Second/10 {
		t.Errorf("%d messages to %d members were taken within %s, want %s", messages, members, took, least)
	}
}

// TestPings: pings are answered, not any number of them.
func TestPings(t *testing.T) {
	p := newPlace(t, Options{})
	a := p.peer("a")
	a.join(Grant{})
	go a.conn.Read(t.Context()) // takes the pongs
	began := time.Now()
	for range 10 {
		ctx, stop := context.WithTimeout(t.Context(), patienceOf)
		if err := a.conn.Ping(ctx); err != nil {
			t.Fatal(err)
		}
		stop()
	}
	if took := time.Since(began); took < 10*answerPing {
		t.Errorf("10 pings were answered within %s", took)
	}
}

// TestQueueBytes: what waits for the committer, all of it as large as it may be, takes
// a part of the memory that a hub may have.
func TestQueueBytes(t *testing.T) {
	p := newPlace(t, Options{})
	if most := cap(p.hub.queue) * message.MaxFrame; most > 80<<20 {
		t.Errorf("%d MiB may wait", most>>20)
	}
}

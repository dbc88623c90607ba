package follower

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// patience is how long a test waits for what has to happen.
const patience = 2 * time.Minute

func quick() Options {
	return Options{MinWait: 5 * time.Millisecond, MaxWait: 100 * time.Millisecond}
}

// newFollower makes a follower that has joined the master's zone.
func newFollower(t *testing.T, m *testMaster, name zone.MemberID) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), string(name))
	if _, err := Init(dir, name); err != nil {
		t.Fatal(err)
	}
	if err := Join(dir, m.invite, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start runs a follower until the test ends or stop is called.
func start(t *testing.T, dir string, o Options) (f *Follower, stop func()) {
	t.Helper()
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	f, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the follower ended: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return f, stop
}

func until(t *testing.T, what string, there func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !there(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for this: %s", patience, what)
		}
	}
}

// say gives an order and waits for its result.
func say(t *testing.T, f *Follower, o Order) (Result, <-chan Answer) {
	t.Helper()
	answers := make(chan Answer, 2)
	if _, err := f.Accept(o, answers); err != nil {
		t.Fatal(err)
	}
	return *answered(t, answers).Result, answers
}

func answered(t *testing.T, answers <-chan Answer) Answer {
	t.Helper()
	select {
	case a := <-answers:
		return a
	case <-time.After(patience):
		t.Fatal("no answer came")
		panic("not reached")
	}
}

func send(to zone.MemberID, text string) Order {
	return Order{To: to, Op: contract.OpSend, Content: []byte(text)}
}

// received gives the contents in the inbox.
func received(t *testing.T, f *Follower) (texts []string) {
	t.Helper()
	last := uint64(0)
	if _, _, err := f.Read(0, func(m *Message) error {
		if m.Position <= last {
			t.Errorf("position %d after %d", m.Position, last)
		}
		last = m.Position
		texts = append(texts, string(m.Content))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return texts
}

// TestMessages: two followers join, and what one says comes to the other, in the
// clear and sealed, once, in order, and also to one that was away.
func TestMessages(t *testing.T) {
	m := newMaster(t)
	a, _ := start(t, newFollower(t, m, "a"), quick())
	dirB := newFollower(t, m, "b")
	b, stopB := start(t, dirB, quick())
	until(t, "b has associated", func() bool { return m.numbers("b") == 1 })
	r, _ := say(t, a, send("b", "hello"))
	if r.Code != "" || r.N != 2 {
		t.Errorf("the first message came to %+v, want number 2", r)
	}
	sealed := send("b", "a secret")
	sealed.Seal = true
	if r, _ := say(t, a, sealed); r.Code != "" {
		t.Errorf("the sealed message was refused: %s", r.Code)
	}
	until(t, "both are delivered", func() bool { return len(received(t, b)) == 2 })
	stopB()
	if r, _ := say(t, a, send(zone.Everyone, "to all")); r.Code != "" {
		t.Errorf("the message to everyone was refused: %s", r.Code)
	}
	b, _ = start(t, dirB, quick())
	until(t, "b has what was said while it was away", func() bool { return len(received(t, b)) == 3 })
	if got, want := received(t, b), []string{"hello", "a secret", "to all"}; !slices.Equal(got, want) {
		t.Errorf("b received %q, want %q", got, want)
	}
	for _, s := range m.objects {
		if slices.Contains([]string{"a secret"}, string(s.payload[min(len(s.payload), contract.PayloadSalt):])) {
			t.Error("the master can read what was sealed")
		}
	}
}

// TestRequest: a request is answered by a reply that names it, once.
func TestRequest(t *testing.T) {
	m := newMaster(t)
	a, _ := start(t, newFollower(t, m, "a"), quick())
	b, _ := start(t, newFollower(t, m, "b"), quick())
	until(t, "b has associated", func() bool { return m.numbers("b") == 1 })
	r, _ := say(t, a, Order{To: "b", Op: contract.OpRequest, Content: []byte("time?")})
	until(t, "the request is delivered", func() bool { return len(received(t, b)) == 1 })
	if back, _ := say(t, b, Order{To: "a", Op: contract.OpReply, Ref: r.ID, Content: []byte("noon")}); back.Code != "" {
		t.Fatalf("the reply was refused: %s", back.Code)
	}
	for name, o := range map[string]Order{"a second reply": {To: "a", Op: contract.OpReply, Ref: r.ID}, "a reply to nothing": {To: "a", Op: contract.OpReply, Ref: zone.HID{1}}} {
		if back, _ := say(t, b, o); back.Code != contract.CodeUnasked {
			t.Errorf("%s: %q, want %q", name, back.Code, contract.CodeUnasked)
		}
	}
	until(t, "the reply is delivered", func() bool { return len(received(t, a)) == 1 })
	_, _, err := a.Read(0, func(got *Message) error {
		if got.Ref != r.ID || string(got.Content) != "noon" || got.From != "b" || got.Op != contract.OpReply {
			t.Errorf("the reply is %+v", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestData: a member's data is created, read, updated and deleted.
func TestData(t *testing.T) {
	m := newMaster(t)
	a, _ := start(t, newFollower(t, m, "a"), quick())
	on := func(op contract.Op, content string) (Result, <-chan Answer) {
		o := Order{To: "a", Op: op, Object: "state.door"}
		if content != "" {
			o.Content = []byte(content)
		}
		return say(t, a, o)
	}
	on(contract.OpCreate, "open")
	on(contract.OpUpdate, "shut")
	r, answers := on(contract.OpRead, "")
	if r.Code != "" {
		t.Fatalf("the read was refused: %s", r.Code)
	}
	if got := answered(t, answers).Object; got == nil || string(got.Content) != "shut" || got.Op != contract.OpUpdate {
		t.Errorf("the read found %+v, want what was updated", got)
	}
	on(contract.OpDelete, "")
	if r, _ := on(contract.OpRead, ""); r.Code != contract.CodeTransition {
		t.Errorf("reading what was deleted: %+v, want %s", r, contract.CodeTransition)
	}
}

// TestLostObject: whoever asks for an object that the master cannot give is answered.
func TestLostObject(t *testing.T) {
	m := newMaster(t)
	a, _ := start(t, newFollower(t, m, "a"), quick())
	r, _ := say(t, a, Order{To: "a", Op: contract.OpCreate, Object: "door", Content: []byte("open")})
	m.mu.Lock()
	m.objects[r.ID] = stored{}
	m.mu.Unlock()
	_, answers := say(t, a, Order{To: "a", Op: contract.OpRead, Object: "door"})
	if got := answered(t, answers); !got.Lost || got.Object != nil {
		t.Errorf("answered %+v, want that it was lost", got)
	}
}

// TestRefusal: what stands behind a refused order is numbered and signed anew, and
// keeps its place.
func TestRefusal(t *testing.T) {
	m := newMaster(t)
	a, _ := start(t, newFollower(t, m, "a"), quick())
	b, _ := start(t, newFollower(t, m, "b"), quick())
	until(t, "both have associated", func() bool { return m.numbers("a") == 1 && m.numbers("b") == 1 })
	answers := make(chan Answer, 200)
	var want []string
	for i := range 100 {
		o := send("b", fmt.Sprint(i))
		if i%7 == 3 {
			o.To = "nobody"
		} else {
			want = append(want, fmt.Sprint(i))
		}
		if _, err := a.Accept(o, answers); err != nil {
			t.Fatal(err)
		}
	}
	refused := 0
	for range 100 {
		if r := answered(t, answers).Result; r.Code == contract.CodeRecipient {
			refused++
		} else if r.Code != "" {
			t.Errorf("refused with %s", r.Code)
		}
	}
	if refused != 100-len(want) {
		t.Errorf("%d were refused, want %d", refused, 100-len(want))
	}
	until(t, "all are delivered", func() bool { return len(received(t, b)) >= len(want) })
	if got := received(t, b); !slices.Equal(got, want) {
		t.Errorf("b received %q, want %q", got, want)
	}
	if waiting, _ := a.out.counts(); waiting != 0 {
		t.Errorf("%d orders wait", waiting)
	}
}

// TestReconnect: lost connections and restarts of both sides lose nothing and
// repeat nothing.
func TestReconnect(t *testing.T) {
	m := newMaster(t)
	dirA := newFollower(t, m, "a")
	a, stopA := start(t, dirA, quick())
	b, _ := start(t, newFollower(t, m, "b"), quick())
	until(t, "both have associated", func() bool { return m.numbers("a") == 1 && m.numbers("b") == 1 })
	var want []string
	for i := range 300 {
		want = append(want, fmt.Sprint(i))
		if _, err := a.Accept(send("b", fmt.Sprint(i)), nil); err != nil {
			t.Fatal(err)
		}
		switch i % 60 {
		case 20:
			m.drop()
		case 40:
			stopA()
			a, stopA = start(t, dirA, quick())
		case 59:
			address := m.invite.Address
			m.stop()
			m.forget()
			m.listen(address)
		}
	}
	until(t, "all are delivered", func() bool { return len(received(t, b)) >= len(want) })
	if got := received(t, b); !slices.Equal(got, want) {
		t.Errorf("b received %q", got)
	}
	if n := m.numbers("a"); n != 301 {
		t.Errorf("the ledger has %d transactions of a, want 301", n)
	}
	until(t, "no order waits", func() bool { waiting, _ := a.out.counts(); return waiting == 0 })

	m.forget() // more than may be without acknowledgement
	m.drop()
	say(t, a, send("b", "last"))
	until(t, "b has what was said after what it had seen", func() bool { return len(received(t, b)) > len(want) })
	if got := received(t, b); !slices.Equal(got, append(want, "last")) {
		t.Errorf("b received %q", got)
	}
}

// TestSilence: a master that says nothing any more is given up.
func TestSilence(t *testing.T) {
	m := newMaster(t)
	o := quick()
	o.Silence = 300 * time.Millisecond
	a, _ := start(t, newFollower(t, m, "a"), o)
	until(t, "a has associated", func() bool { return m.numbers("a") == 1 })
	m.mu.Lock()
	m.mute = true
	m.mu.Unlock()
	until(t, "a is not connected", func() bool { return !a.Status().Connected })
	m.mu.Lock()
	m.mute = false
	m.mu.Unlock()
	m.drop()
	if r, _ := say(t, a, Order{To: "a", Op: contract.OpCreate, Object: "x", Content: []byte("y")}); r.Code != "" {
		t.Errorf("refused: %s", r.Code)
	}
}

// TestRenewal: a ticket that holds no longer is renewed by itself, and what was
// said meanwhile comes to the ledger.
func TestRenewal(t *testing.T) {
	m := newMaster(t)
	m.until = 8
	a, _ := start(t, newFollower(t, m, "a"), quick())
	answers := make(chan Answer, 64)
	for i := range 32 {
		if _, err := a.Accept(Order{To: "a", Op: contract.OpCreate, Object: fmt.Sprint(i), Content: []byte("y")}, answers); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the ticket ended", func() bool { return m.numbers("a") >= 8 })
	m.mu.Lock()
	m.until = 1 << 40
	m.mu.Unlock()
	for range 32 {
		if r := answered(t, answers).Result; r.Code != "" {
			t.Errorf("refused: %s", r.Code)
		}
	}
	if n := m.numbers("a"); n < 34 {
		t.Errorf("%d transactions, want 32 and two associations at least", n)
	}
}

// TestSameOrder: an order with an ID that comes again is that order, also after a
// restart and after the outbox was written anew.
func TestSameOrder(t *testing.T) {
	m := newMaster(t)
	dir := newFollower(t, m, "a")
	a, stop := start(t, dir, quick())
	o := Order{ID: "door-1", To: "a", Op: contract.OpCreate, Object: "x", Content: []byte("y")}
	first, _ := say(t, a, o)
	stop()
	a, stop = start(t, dir, quick())
	if again, _ := say(t, a, o); again != first {
		t.Errorf("given again, the order came to %+v, and first to %+v", again, first)
	}
	a.out.mu.Lock()
	err := a.out.compact()
	a.out.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	a, _ = start(t, dir, quick())
	if again, _ := say(t, a, o); again != first {
		t.Errorf("given again, the order came to %+v, and first to %+v", again, first)
	}
	if n := m.numbers("a"); n != 2 {
		t.Errorf("the ledger has %d transactions, want 2", n)
	}
}

// TestStrangers: a master with another certificate is not talked to, and one that
// refuses is asked again.
func TestStrangers(t *testing.T) {
	m := newMaster(t)
	dir := newFollower(t, m, "a")
	wrong := m.invite
	wrong.Pin[0] ^= 1
	if err := Join(dir, wrong, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir, quick())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.session(t.Context()); err == nil {
		t.Error("a master with another certificate was talked to")
	}
	f.invite = m.invite
	m.deny = true
	if _, err := f.session(t.Context()); !errors.Is(err, errRefused) {
		t.Errorf("a refused hello gives %v", err)
	}
	other := m.invite
	other.Master[0] ^= 1
	if err := Join(t.TempDir(), other, nil); err == nil {
		t.Error("a directory without a follower joined")
	}
	f.Close()
	if err := Join(dir, other, nil); err == nil {
		t.Error("a follower joined a second zone")
	}
}

// TestInboxBound: what does not fit is left with the master, and comes when the
// application is done with some.
func TestInboxBound(t *testing.T) {
	m := newMaster(t)
	a, _ := start(t, newFollower(t, m, "a"), quick())
	o := quick()
	o.Inbox = 40_000
	dirB := newFollower(t, m, "b")
	b, stopB := start(t, dirB, o)
	until(t, "both have associated", func() bool { return m.numbers("a") == 1 && m.numbers("b") == 1 })
	for i := range 200 {
		if _, err := a.Accept(send("b", fmt.Sprintf("%01000d", i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all are on the ledger", func() bool { return m.numbers("a") == 201 })
	until(t, "the inbox is full", b.in.full)
	next, restarted := uint64(1), false
	for deadline := time.Now().Add(patience); next <= 200; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d messages came", next-1)
		}
		var err error
		if _, _, err = b.Read(next, func(got *Message) error {
			if got.Position != next || string(got.Content) != fmt.Sprintf("%01000d", next-1) {
				return fmt.Errorf("position %d with %.9q… after %d", got.Position, got.Content, next-1)
			}
			next++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := b.Done(next - 1); err != nil {
			t.Fatal(err)
		}
		if next > 100 && !restarted {
			restarted = true
			stopB()
			b, stopB = start(t, dirB, o)
		}
	}
	if b.in.bytes > 120_000 {
		t.Errorf("the inbox holds %d bytes", b.in.bytes)
	}
}

// TestSealedToAnother: what was not sealed to this follower is kept and said to be
// closed.
func TestSealedToAnother(t *testing.T) {
	m := newMaster(t)
	dirB := newFollower(t, m, "b")
	b, _ := start(t, dirB, quick())
	until(t, "b has associated", func() bool { return m.numbers("b") == 1 })
	e := message.Envelope{Zone: m.invite.Zone, From: "a", To: "b", N: 2}
	payload, err := message.Seal([32]byte(b.seal.PublicKey().Bytes()), e, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := message.Unseal(b.seal, e, payload); err != nil || string(got) != "x" {
		t.Errorf("unsealed %q, %v", got, err)
	}
	for _, wrong := range []message.Envelope{
		{Zone: e.Zone, From: "a", To: "b", N: 3}, {Zone: e.Zone, From: "c", To: "b", N: 2}, {From: "a", To: "b", N: 2}, {Zone: e.Zone, From: "a", To: "ab", N: 2},
	} {
		if got, err := message.Unseal(b.seal, wrong, payload); err == nil {
			t.Errorf("%+v: unsealed %q", wrong, got)
		}
	}
	a, _ := start(t, newFollower(t, m, "a"), quick())
	o := Order{To: "b", Op: contract.OpSend, Content: payload, Seal: false}
	say(t, a, o)
	o = Order{To: "nobody", Op: contract.OpSend, Content: []byte("x"), Seal: true}
	if r, _ := say(t, a, o); r.Code != contract.CodeRecipient {
		t.Errorf("sealed to nobody: %+v, want %s", r, contract.CodeRecipient)
	}
}

// TestSealedByPolicy: a key that the policy keeps from a follower is none, and is
// asked for anew with the next order.
func TestSealedByPolicy(t *testing.T) {
	m := newMaster(t)
	policy := func(n uint64, text string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.master(contract.Tx{Zone: m.invite.Zone, Time: 1_700_000_000_000_000_001, N: n, Body: &contract.PolicySet{Text: text}})
	}
	policy(1, `permit (principal == Member::"b", action, resource);`)
	start(t, newFollower(t, m, "b"), quick())
	a, _ := start(t, newFollower(t, m, "a"), quick())
	until(t, "both have associated", func() bool { return m.numbers("a") == 1 && m.numbers("b") == 1 })
	o := Order{To: "b", Op: contract.OpSend, Content: []byte("x"), Seal: true}
	if r, _ := say(t, a, o); r.Code != contract.CodeRecipient {
		t.Errorf("sealed to whom it may say nothing: %+v, want %s", r, contract.CodeRecipient)
	}
	policy(2, `permit (principal, action, resource);`)
	if r, _ := say(t, a, o); r.Code != "" {
		t.Errorf("once it may: %+v", r)
	}
}

package bus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// inbox gathers what a member is delivered, without repetitions.
type inbox struct {
	seen position
	all  []string
}

// take notes a delivery, unless it was seen before.
func (i *inbox) take(tb testing.TB, d *message.Delivery) {
	tb.Helper()
	if at := position(d.Position); at > i.seen {
		i.seen = at
		i.all = append(i.all, content(tb, d))
	}
}

// TestOrder: whatever ends connections and hubs, each message comes to its
// recipient once or again, in the order of its sender, and none is missing.
func TestOrder(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	rng := rand.New(rand.NewPCG(3, 4))
	var in inbox
	var want []string
	for round := range 12 {
		n := 1 + rng.IntN(100)
		go func() {
			for i := range n {
				a.send("b", fmt.Sprintf("%d-%d", round, i))
			}
		}()
		for i := range n {
			want = append(want, fmt.Sprintf("a: %d-%d", round, i))
			for {
				got, err := a.next()
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := got.(*message.Receipt); ok {
					break
				}
			}
		}
		for range rng.IntN(n + 1) { // it takes some, acknowledges some of them, and goes
			d := wantFrame[*message.Delivery](b)
			in.take(t, d)
			if rng.IntN(3) == 0 {
				b.say(&message.Ack{Position: d.Position})
			}
		}
		switch rng.IntN(3) {
		case 0:
			b.close()
			b.open()
		case 1:
			b.close()
			a.close()
			p.restart()
			a.open()
			b.open()
		}
	}
	for len(in.all) < len(want) {
		d := wantFrame[*message.Delivery](b)
		in.take(t, d)
		b.say(&message.Ack{Position: d.Position})
	}
	for i := range want {
		if in.all[i] != want[i] {
			t.Fatalf("message %d is %q, want %q", i, in.all[i], want[i])
		}
	}
}

// wantFrame is want, where a variable hides that.
func wantFrame[F message.Frame](f *peer) F {
	f.Helper()
	return want[F](f)
}

// TestBehind: more waits for a member than is kept in memory, also while it comes,
// and across a restart.
func TestBehind(t *testing.T) {
	p := newPlace(t, Options{})
	a, b, c := p.peer("a"), p.peer("b"), p.peer("c")
	a.join(Grant{})
	b.join(Grant{})
	c.join(Grant{})
	b.close()
	const n = maxWait + 700
	say := func(from, to int) {
		go func() {
			for i := from; i < to; i++ {
				target := "b"
				if i%3 == 0 {
					target = "*"
				}
				a.send(target, fmt.Sprint(i))
			}
		}()
		for range to - from {
			want[*message.Receipt](a)
		}
	}
	c.close()
	say(0, n)
	if _, waiting, more := p.hub.Member("b"); waiting != maxWait || !more {
		t.Errorf("%d wait, more %v", waiting, more)
	}
	p.restart()
	a.open()
	b.open()
	var in inbox
	done := make(chan bool)
	go func() { say(n, n+300); close(done) }()
	for len(in.all) < n+300 {
		d := want[*message.Delivery](b)
		in.take(t, d)
		b.say(&message.Ack{Position: d.Position})
	}
	<-done
	for i, got := range in.all {
		if got != fmt.Sprintf("a: %d", i) {
			t.Fatalf("message %d is %q", i, got)
		}
	}
	if _, waiting, more := p.hub.Member("b"); waiting > message.Credit || more {
		t.Errorf("%d wait still, more %v", waiting, more)
	}
}

// TestRetention: what the store had to drop is counted, and the rest comes.
func TestRetention(t *testing.T) {
	p := newPlace(t, Options{KeepMax: 1, Rate: 1 << 30}) // two segments
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	b.close()
	const n = 900 // of 60 kB are more than three segments
	filling := strings.Repeat("x", 60_000)
	go func() {
		for i := range n {
			a.send("b", fmt.Sprintf("%d %s", i, filling))
		}
	}()
	for range n {
		want[*message.Receipt](a)
	}
	p.restart()
	b.open()
	next := -1
	count := 0
	for next < n {
		d := want[*message.Delivery](b)
		var i int
		if _, err := fmt.Sscanf(content(t, d), "a: %d", &i); err != nil {
			t.Fatal(err)
		}
		if next >= 0 && i != next {
			t.Fatalf("message %d, want %d", i, next)
		}
		next = i + 1
		count++
		b.say(&message.Ack{Position: d.Position})
	}
	if s := p.hub.Status(); count == n || s.Expired != int64(n-count) {
		t.Errorf("%d of %d came, and %d were counted as expired", count, n, s.Expired)
	}
}

// TestData: a member's objects are kept, read, changed and taken away, each by a
// transaction.
func TestData(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	policy := contract.PolicySet{Text: "permit (principal, action, resource);"}
	p.roll(&policy)
	act := func(f *peer, owner string, op contract.Op, content string) uint64 {
		t.Helper()
		body := &contract.Message{To: zone.MemberID(owner), Op: op, Object: "state"}
		var payload []byte
		if op.Carries() {
			payload = salted(content)
			body.Hash, body.Size = contract.PayloadHash(payload), uint32(len(payload))
		}
		f.say(&message.Submit{Object: f.sign(body), Payload: payload})
		if r := want[*message.Receipt](f); r.N != f.n {
			t.Errorf("receipt %+v", r)
		}
		return f.n
	}
	read := func(f *peer, want string) {
		t.Helper()
		n := act(f, "a", contract.OpRead, "")
		o := wantFrame[*message.Object](f)
		if o.N != n || string(o.Payload[contract.PayloadSalt:]) != want {
			t.Errorf("object %d %q, want %d %q", o.N, o.Payload, n, want)
		}
	}
	body := &contract.Message{To: "a", Op: contract.OpCreate, Object: "state"}
	payload := salted("off")
	body.Hash, body.Size = contract.PayloadHash(payload), uint32(len(payload))
	created := a.sign(body)
	a.say(&message.Submit{Object: created, Payload: payload})
	want[*message.Receipt](a)
	read(a, "off")
	// What comes again and is refused takes nothing away: with another payload, or
	// when its number is long past.
	if got := a.refusal(created, salted("other")); got != contract.CodeMalformed {
		t.Errorf("refused with %q", got)
	}
	read(b, "off")
	for range message.Credit {
		read(a, "off")
	}
	if got := a.refusal(created, payload); got != contract.CodeOrder {
		t.Errorf("refused with %q", got)
	}
	read(b, "off")
	act(b, "a", contract.OpUpdate, "on")
	if got := content(t, want[*message.Delivery](a)); got != "b: on" {
		t.Errorf("the owner is delivered %q", got)
	}
	read(b, "on")
	a.close()
	b.close()
	p.restart()
	b.open()
	read(b, "on")
	payload = salted("again")
	body.Hash, body.Size = contract.PayloadHash(payload), uint32(len(payload))
	if got := b.refusal(b.signAs(b.n+1, body), payload); got != contract.CodeTransition {
		t.Errorf("refused with %q", got)
	}
	read(b, "on")
	act(b, "a", contract.OpDelete, "")
	read2 := contract.Message{To: "a", Op: contract.OpRead, Object: "state"}
	if got := b.refusal(b.signAs(b.n+1, &read2), nil); got != contract.CodeTransition {
		t.Errorf("refused with %q", got)
	}
	a.open()
	if got := content(t, want[*message.Delivery](a)); got != "b: on" {
		t.Errorf("delivered %q", got)
	}
	if got := content(t, want[*message.Delivery](a)); got != "b delete state" {
		t.Errorf("delivered %q", got)
	}
}

// TestTwice: a transaction that comes twice before it stands on the ledger, as over
// a connection that was lost and the next one, has a receipt both times. After a
// refusal the follower would sign it anew, and it would be said twice.
func TestTwice(t *testing.T) {
	p := newPlace(t, Options{})
	a := p.peer("a")
	a.join(Grant{})
	for range 20 {
		b, payload := a.message("master", "x")
		once := &message.Submit{Object: a.sign(b), Payload: payload}
		a.say(once)
		a.say(once)
		first, second := want[*message.Receipt](a), want[*message.Receipt](a)
		if first.N != a.n || *first != *second {
			t.Fatalf("%+v, then %+v", first, second)
		}
	}
}

// TestRestored: after a backup was restored, positions and serials are above those
// that followers saw before, and what they acknowledged then moves nothing.
func TestRestored(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	a.send("b", "1")
	before := want[*message.Delivery](b)
	code, _, err := p.desk.Invite("", Grant{}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.desk.Restored(); err != nil {
		t.Fatal(err)
	}
	p.restart()
	a.open()
	b.open()
	again := want[*message.Delivery](b)
	if again.Position <= before.Position || content(t, again) != content(t, before) {
		t.Errorf("position %d, before %d", again.Position, before.Position)
	}
	b.say(&message.Ack{Position: before.Position})
	b.close()
	b.open()
	if d := want[*message.Delivery](b); d.Position != again.Position {
		t.Errorf("%d was acknowledged by %d, of the time before: %d comes", again.Position, before.Position, d.Position)
	}
	b.say(&message.Ack{Position: again.Position})
	a.send("b", "2")
	if got := content(t, want[*message.Delivery](b)); got != "a: 2" {
		t.Errorf("delivered %q", got)
	}
	raw, err := p.desk.Admit(p.ledger.State(), p.ledger.Height(), b.identity(), Grant{})
	if err != nil {
		t.Fatal(err)
	}
	if k, _, err := contract.ParseTicket(raw); err != nil || k.Serial != 1<<32+1 {
		t.Errorf("ticket %+v, %v", k, err)
	}
	c := p.peer("c")
	c.code = code
	if err := c.attempt(t.Context(), nil); !errors.Is(err, errRefused) {
		t.Errorf("a code of before the restore: %v", err)
	}
}

// TestLifetime: tickets that are signed while no hub runs hold as long as those that
// are signed while one does.
func TestLifetime(t *testing.T) {
	p := newPlace(t, Options{})
	p.stop()
	members := filepath.Join(p.dir, "members")
	for _, lifetime := range []uint64{7, 0, Lifetime, 0} {
		d, err := OpenDesk(members, p.zone, ledgertest.Master(), lifetime)
		if err != nil {
			t.Fatal(err)
		}
		want := d.lifetime
		if lifetime != 0 && want != lifetime {
			t.Errorf("%d, want %d", want, lifetime)
		}
		if err := errors.Join(d.renew(), d.Close()); err != nil {
			t.Fatal(err)
		}
		if d, err = OpenDesk(members, p.zone, ledgertest.Master(), 0); err != nil {
			t.Fatal(err)
		}
		if d.lifetime != want {
			t.Errorf("opened again, %d, want %d", d.lifetime, want)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLookup: who wants to encrypt to a member asks for its association.
func TestLookup(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	for _, name := range []zone.MemberID{"b", "nobody"} {
		a.say(&message.Lookup{Member: name})
		m := want[*message.Member](a)
		if m.Member != name || (len(m.Object) > 0) != (name == "b") {
			t.Errorf("%s: %+v", name, m)
		}
		if name != "b" {
			continue
		}
		raw, err := contract.Receive(m.Object, 1)
		if err != nil {
			t.Fatal(err)
		}
		tx, err := contract.Parse(raw)
		if err != nil || tx.Member != "b" || !tx.Key.Equal(b.identity().Key) || tx.Verify() != nil {
			t.Errorf("%+v, %v", tx, err)
		}
	}
}

// TestLookupByPolicy: nobody hears of whom it may say nothing to, nor does who is no
// member, more than of a name that there is not.
func TestLookupByPolicy(t *testing.T) {
	p := newPlace(t, Options{Ask: true})
	lamp, hub := p.peer("lamp"), p.peer("hub")
	lamp.join(Grant{Role: "light"})
	hub.join(Grant{Role: "hub"})
	asks := func(f *peer, name zone.MemberID, known bool) {
		t.Helper()
		f.say(&message.Lookup{Member: name})
		if m := want[*message.Member](f); m.Member != name || (len(m.Object) > 0) != known {
			t.Errorf("%s of %s: %+v, want known %t", f.name, name, m, known)
		}
	}
	asks(lamp, "hub", true)
	p.roll(&contract.PolicySet{Text: `permit (principal in Role::"hub", action == Action::"send", resource is Member) when { context.encrypted };`})
	asks(hub, "lamp", true)
	asks(lamp, "hub", false)
	asks(lamp, "nobody", false)
	for _, name := range []zone.MemberID{zone.Master, zone.Everyone, "x"} {
		asks(hub, name, false)
	}
	p.roll(&contract.MemberAction{Action: contract.ActionRevoke, Member: "lamp"})
	lamp.wantBye(contract.CodeRevoked)
	asks(hub, "lamp", false)
	p.roll(&contract.MemberAction{Action: contract.ActionRelease, Member: "lamp"})
	asks(hub, "lamp", true)
	// Who has a ticket, and is no member, or no more.
	p.roll(&contract.PolicySet{Text: `permit (principal, action, resource);`})
	f := p.peer("f")
	if _, err := p.desk.Admit(p.ledger.State(), p.ledger.Height(), f.identity(), Grant{}); err != nil {
		t.Fatal(err)
	}
	f.open()
	ticket := want[*message.Ticket](f).Ticket
	asks(f, "lamp", false)
	f.associate(ticket)
	asks(f, "lamp", true)
	f.close()
	// Nor who was admitted under a name that another key took.
	former, latter := p.peer("heir"), p.peer("heir")
	latter.key = p.peer("latter").key
	if err := p.hub.Admit(former.identity(), Grant{}); err != nil {
		t.Fatal(err)
	}
	former.open()
	want[*message.Ticket](former)
	latter.join(Grant{})
	asks(latter, "lamp", true)
	asks(former, "lamp", false)
	f.lapsed(func() { asks(f, "lamp", false) })
}

// lapsed has the member come while its ticket does not hold.
func (f *peer) lapsed(do func()) {
	f.Helper()
	f.roll(&contract.EpochBegun{Epoch: 1})
	if w := f.open(); w.Standing != message.StandingRenew {
		f.Fatalf("welcome %+v", w)
	}
	do()
}

// TestFlood: who hands in more than its rate waits, and nobody else.
func TestFlood(t *testing.T) {
	p := newPlace(t, Options{Rate: 100 << 10})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	began := time.Now()
	go func() {
		for range 6 {
			a.send("master", strings.Repeat("x", 60_000))
		}
	}()
	for range 6 {
		want[*message.Receipt](a)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("360 kB were taken in %s at 100 kB/s", took)
	}
}

// TestCursorAhead: what was acknowledged of a ledger that went on, as when a backup
// was made meanwhile, keeps nothing from being delivered.
func TestCursorAhead(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	b.close()
	p.stop()
	c, err := openCursors(filepath.Join(p.dir, "members"))
	if err != nil {
		t.Fatal(err)
	}
	c.set("b", positionOf(1000, 0))
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	p.start()
	a.open()
	b.open()
	a.send("b", "hello")
	if got := content(t, want[*message.Delivery](b)); got != "a: hello" {
		t.Errorf("delivered %q", got)
	}
}

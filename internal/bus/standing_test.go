package bus

import (
	"context"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// wantBye reads until the session ends, which has to be by that code.
func (f *peer) wantBye(code contract.Code) {
	f.Helper()
	for {
		got, err := f.next()
		if err != nil {
			f.Fatalf("%s: the session ended without a last frame: %v", f.name, err)
		}
		if bye, ok := got.(*message.Bye); ok {
			if bye.Code != code {
				f.Errorf("%s: bye %q, want %q", f.name, bye.Code, code)
			}
			if _, err := f.next(); err == nil {
				f.Errorf("%s: the session goes on after its last frame", f.name)
			}
			return
		}
	}
}

// device puts what the master says about a device on the ledger.
func (p *place) device(mac zone.MAC, n uint64, at zone.Time, body contract.Body) {
	p.Helper()
	tx := contract.Tx{Zone: p.zone, Time: at, Device: mac, N: n, Body: body}
	raw, err := tx.Sign(ledgertest.Master())
	if err == nil {
		err = p.ledger.Submit(p.Context(), raw)
	}
	if err == nil {
		err = p.ledger.Commit(p.Context())
	}
	if err != nil {
		p.Fatal(err)
	}
}

// TestVerdict: the block that calls a member's device malicious ends its session,
// and until an operator releases it, it comes in no more.
func TestVerdict(t *testing.T) {
	p := newPlace(t, Options{})
	mac := ledgertest.Device(1)
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{MAC: mac})
	b.join(Grant{})
	at := ledgertest.Created
	model := zone.Hash{7}
	p.device(mac, 1, at, &contract.DeviceSeen{Name: "a"})
	p.device(mac, 2, at, &contract.SegmentRecorded{First: 1, Last: 1, Rows: 1, Root: zone.Hash{1}, Unjudged: 1})
	p.device(mac, 3, at, &contract.ModelAccepted{Digest: model, Features: zone.Hash{1}, First: 1, Last: 1, Rows: 1, Threshold: 1, Rule: "max", Window: 1})
	began := time.Now()
	p.device(mac, 4, at, &contract.VerdictChanged{From: zone.StateWatching, To: zone.StateMalicious, Reason: "score", Model: model, Alert: zone.Hash{1}, Since: at})
	a.wantBye(contract.CodeBehaviour)
	t.Logf("closed %s after the verdict was submitted", time.Since(began))
	a.refuses(refusedVerdict, nil)
	p.restart()
	a.refuses(refusedVerdict, nil)
	b.open()
	p.roll(&contract.MemberAction{Action: contract.ActionRelease, Member: "a"})
	a.open()
	a.send("b", "released")
	if got := content(t, want[*message.Delivery](b)); got != "a: released" {
		t.Errorf("delivered %q", got)
	}
}

// TestRevoke: a revocation ends the session with its block, and what was sent
// meanwhile is refused.
func TestRevoke(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	p.roll(&contract.MemberAction{Action: contract.ActionRevoke, Member: "a"})
	a.wantBye(contract.CodeRevoked)
	a.refuses(refusedRevoked, nil)
	b.send("a", "are you there?")
	if r := want[*message.Refusal](b); r.Code != contract.CodeRecipient {
		t.Errorf("refused with %q", r.Code)
	}
	b.n--
	b.send("*", "to who is here")
	want[*message.Receipt](b)
	p.roll(&contract.MemberAction{Action: contract.ActionRelease, Member: "a"})
	a.open()
	b.send("a", "welcome back")
	if got := content(t, want[*message.Delivery](a)); got != "b: welcome back" {
		t.Errorf("delivered %q: what went to everyone while it was revoked is not for it", got)
	}
}

// TestEpoch: with another epoch every session ends, and members come back with the
// ticket that they are given.
func TestEpoch(t *testing.T) {
	for _, ask := range []bool{false, true} {
		p := newPlace(t, Options{Ask: ask})
		a := p.peer("a")
		a.join(Grant{Role: "light"})
		p.roll(&contract.EpochBegun{Epoch: 1})
		a.wantBye(contract.CodeExpired)
		w := a.open()
		if w.Standing != message.StandingRenew || w.Epoch != 1 {
			t.Fatalf("welcome %+v", w)
		}
		if ask {
			requests := p.desk.Requests()
			if len(requests) != 1 || !requests[0].Renewal || requests[0].Identity != a.identity().String() {
				t.Fatalf("requests %+v", requests)
			}
			body, payload := a.message("master", "x")
			if got := a.refusal(a.signAs(a.n+1, body), payload); got != contract.CodeExpired {
				t.Errorf("refused with %q", got)
			}
			if err := p.hub.Admit(a.identity(), Grant{}); err != nil {
				t.Fatal(err)
			}
			if w := want[*message.Welcome](a); w.Standing != message.StandingRenew {
				t.Errorf("welcome %+v", w)
			}
		}
		a.associate(want[*message.Ticket](a).Ticket)
		a.send("master", "back")
		want[*message.Receipt](a)
		m, _, err := contract.ReadMember(p.ledger.State(), "a")
		if err != nil || m.Epoch != 1 || m.Role != "light" || m.Serial != 2 {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

// TestUntil: a ticket ends with its last block.
func TestUntil(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.ticket = b.ticketFor(ledgertest.Master(), func(t *contract.Ticket) { t.Until = p.ledger.Height() + 2 })
	if w := b.open(); w.Standing != message.StandingAssociate {
		t.Fatalf("welcome %+v", w)
	}
	b.associate(b.ticket)
	for range 4 {
		a.send("master", "x")
		want[*message.Receipt](a)
	}
	b.wantBye(contract.CodeExpired)
	b.ticket = nil
	if w := b.open(); w.Standing != message.StandingRenew {
		t.Errorf("welcome %+v", w)
	}
}

// TestInvite: a code admits once, and brings its follower the same ticket again.
func TestInvite(t *testing.T) {
	p := newPlace(t, Options{})
	code, err := p.desk.Invite("", Grant{Role: "light"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	named, err := p.desk.Invite("lamp", Grant{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	a, b, lamp := p.peer("a"), p.peer("b"), p.peer("lamp")
	a.code, b.code, lamp.code = code, code, named
	if w := a.open(); w.Standing != message.StandingAssociate {
		t.Fatalf("welcome %+v", w)
	}
	first := want[*message.Ticket](a).Ticket
	a.close()
	b.refuses(refusedCode, nil)
	b.code = named
	b.refuses(refusedCode, nil)
	p.restart() // before it has associated
	b.refuses(refusedCode, nil)
	if w := a.open(); w.Standing != message.StandingAssociate {
		t.Fatalf("welcome %+v", w)
	}
	again := want[*message.Ticket](a).Ticket
	if string(again) != string(first) {
		t.Error("another ticket")
	}
	a.associate(again)
	lamp.open()
	lamp.associate(want[*message.Ticket](lamp).Ticket)
	if p.desk.Invites() != 0 {
		t.Errorf("%d invites are open", p.desk.Invites())
	}
	m, _, err := contract.ReadMember(p.ledger.State(), "a")
	if err != nil || m.Role != "light" {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestPending: who comes with nothing waits until an operator admits it.
func TestPending(t *testing.T) {
	p := newPlace(t, Options{})
	a := p.peer("a")
	if w := a.open(); w.Standing != message.StandingPending {
		t.Fatalf("welcome %+v", w)
	}
	a.close()
	p.restart()
	if r := p.desk.Requests(); len(r) != 1 || r[0].Identity != a.identity().String() || r[0].From != "127.0.0.1" {
		t.Fatalf("requests after a restart: %+v", r)
	}
	a.open()
	id, err := message.ParseIdentity(p.desk.Requests()[0].Identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.hub.Admit(id, Grant{}); err != nil {
		t.Fatal(err)
	}
	if w := want[*message.Welcome](a); w.Standing != message.StandingAssociate {
		t.Errorf("welcome %+v", w)
	}
	a.associate(want[*message.Ticket](a).Ticket)
	if r := p.desk.Requests(); len(r) != 0 {
		t.Errorf("requests %+v", r)
	}
	impostor := p.peer("a")
	impostor.key = p.peer("x").key
	if err := p.hub.Admit(impostor.identity(), Grant{}); err == nil {
		t.Error("a member's name was given away")
	}
	// Who was not admitted and speaks all the same is shown out.
	b := p.peer("b")
	b.open()
	b.say(&message.Lookup{Member: "a"})
	b.wantBye(byeProtocol)
	// There are never too many of them.
	for i := range maxRequests + 5 {
		f := p.peer("f" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		f.open()
		defer f.close()
	}
	if n := len(p.desk.Requests()); n != maxRequests {
		t.Errorf("%d requests", n)
	}
	for began := time.Now(); p.hub.Status().Sessions > maxPending+1; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patienceOf {
			t.Fatalf("%d sessions", p.hub.Status().Sessions)
		}
	}
}

// TestReplaced: a member has one session, the newest.
func TestReplaced(t *testing.T) {
	p := newPlace(t, Options{})
	a := p.peer("a")
	a.join(Grant{})
	second := *a
	second.open()
	a.wantBye(byeReplaced)
	second.send("master", "x")
	want[*message.Receipt](&second)
}

// TestReplacedBefore: nor has who is no member yet, so that nobody takes the places of
// others with a ticket that it does not associate with.
func TestReplacedBefore(t *testing.T) {
	p := newPlace(t, Options{Max: 1})
	a := p.peer("a")
	if _, err := p.desk.Admit(p.ledger.State(), p.ledger.Height(), a.identity(), Grant{}); err != nil {
		t.Fatal(err)
	}
	a.open()
	for range maxPending + 1 {
		last := *a
		a.open()
		last.wantBye(byeReplaced)
	}
	p.peer("b").join(Grant{})
}

// TestDeadPeer: a follower that is gone without a word is found within 30 s.
func TestDeadPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	p := newPlace(t, Options{})
	a := p.peer("a")
	a.join(Grant{})
	began := time.Now()
	for p.hub.Status().Sessions > 0 { // it reads nothing, so it answers no ping
		if time.Since(began) > 2*patienceOf {
			t.Fatal("it still has its session")
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("found after %s", time.Since(began))
}

// TestBusyPeer: a member whose frames cannot be taken at once answers no ping
// before its turn comes, and is not dead.
func TestBusyPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	content := strings.Repeat("x", 3000)
	p := newPlace(t, Options{Rate: 100}) // it waits about half a minute until this is taken
	a := p.peer("a")
	a.join(Grant{})
	a.send("*", content)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 5*patienceOf)
	defer cancel()
	_, raw, err := a.conn.Read(ctx)
	if err != nil {
		t.Fatalf("the session ended after %s: %v", time.Since(began), err)
	}
	f, err := message.Parse(raw)
	if r, ok := f.(*message.Receipt); !ok || r.N != 2 {
		t.Errorf("got %+v, %v, want the receipt", f, err)
	}
	if took := time.Since(began); took < 2*pingEvery {
		t.Errorf("it was taken after %s, before anybody would be called dead", took)
	}
}

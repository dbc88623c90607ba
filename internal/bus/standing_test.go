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
	code, _, err := p.desk.Invite("", Grant{Role: "light"}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	named, _, err := p.desk.Invite("lamp", Grant{}, 1, 0)
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
	if p.desk.Invites(1) != 0 {
		t.Errorf("%d invites are open", p.desk.Invites(1))
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
	for _, frame := range []message.Frame{&message.Lookup{Member: "a"}, &message.Ack{Position: 1}} {
		b.open()
		b.say(frame)
		b.wantBye(byeProtocol)
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
	p := newPlace(t, Options{Max: 2})
	a := p.peer("a")
	if _, err := p.desk.Admit(p.ledger.State(), p.ledger.Height(), a.identity(), Grant{}); err != nil {
		t.Fatal(err)
	}
	a.open()
	for range maxRequests + 1 {
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

// standings are the ways in which a session may stand, and how it comes to that.
var standings = map[string]func(p *place, f *peer, g Grant){
	"pending": func(p *place, f *peer, _ Grant) { f.open() },
	"associate": func(p *place, f *peer, g Grant) {
		if _, err := p.desk.Admit(p.ledger.State(), p.ledger.Height(), f.identity(), g); err != nil {
			p.Fatal(err)
		}
		f.open()
		want[*message.Ticket](f)
	},
	"associate by a ticket of its own": func(p *place, f *peer, g Grant) {
		f.ticket = f.ticketFor(ledgertest.Master(), func(t *contract.Ticket) { t.MAC, t.Until = g.MAC, p.ledger.Height()+p.desk.lifetime })
		f.open()
	},
	"associate after it was pending": func(p *place, f *peer, g Grant) {
		f.open()
		if err := p.hub.Admit(f.identity(), g); err != nil {
			p.Fatal(err)
		}
		want[*message.Welcome](f)
		want[*message.Ticket](f)
	},
	"renew": func(p *place, f *peer, g Grant) {
		f.lapse(g)
		if err := p.hub.Admit(f.identity(), Grant{}); err != nil {
			p.Fatal(err)
		}
		f.open()
		want[*message.Ticket](f)
	},
	"renew, and nobody has admitted it": func(p *place, f *peer, g Grant) {
		f.lapse(g)
		f.open()
	},
	"renew, and it was admitted meanwhile": func(p *place, f *peer, g Grant) {
		f.lapse(g)
		f.open()
		if err := p.hub.Admit(f.identity(), Grant{}); err != nil {
			p.Fatal(err)
		}
		want[*message.Welcome](f)
		want[*message.Ticket](f)
	},
	"member": func(p *place, f *peer, g Grant) { f.join(g) },
}

// lapse makes it a member whose ticket does not hold any more.
func (f *peer) lapse(g Grant) {
	f.Helper()
	f.join(g)
	r, err := contract.ReadRoll(f.ledger.State())
	if err != nil {
		f.Fatal(err)
	}
	f.roll(&contract.EpochBegun{Epoch: r.Epoch + 1})
	f.wantBye(contract.CodeExpired)
}

// TestEnds: what ends which session, with its block. Empty: it goes on, and is what it
// was once an operator admits it.
func TestEnds(t *testing.T) {
	mac := ledgertest.Device(1)
	at := ledgertest.Created
	model := zone.Hash{7}
	blocks := byte(0)
	events := map[string]func(p *place){
		"revoke": func(p *place) { p.roll(&contract.MemberAction{Action: contract.ActionRevoke, Member: "f"}) },
		"behaviour": func(p *place) {
			p.device(mac, 4, at, &contract.VerdictChanged{From: zone.StateWatching, To: zone.StateMalicious, Reason: "score", Model: model, Alert: zone.Hash{1}, Since: at})
		},
		"epoch": func(p *place) {
			r, err := contract.ReadRoll(p.ledger.State())
			if err != nil {
				p.Fatal(err)
			}
			p.roll(&contract.EpochBegun{Epoch: r.Epoch + 1})
		},
		"expiry": func(p *place) {
			for range p.desk.lifetime + 2 { // the first of them may be the last that it holds for
				blocks++
				p.device(ledgertest.Device(100+int(blocks)), 1, at, &contract.DeviceSeen{Name: "x"})
			}
		},
	}
	ends := map[string]map[string]contract.Code{}
	for standing := range standings {
		ends[standing] = map[string]contract.Code{"revoke": contract.CodeRevoked, "behaviour": contract.CodeBehaviour, "epoch": contract.CodeExpired, "expiry": contract.CodeExpired}
	}
	// Who has no ticket has nothing that could end, and no device.
	ends["pending"] = map[string]contract.Code{"revoke": contract.CodeRevoked}
	delete(ends["renew, and nobody has admitted it"], "expiry")
	for standing, begin := range standings {
		for event, happens := range events {
			t.Run(standing+"/"+event, func(t *testing.T) {
				p := newPlace(t, Options{Ask: true})
				p.desk.lifetime = 100
				if event == "expiry" {
					p.desk.lifetime = 12
				}
				p.device(mac, 1, at, &contract.DeviceSeen{Name: "f"})
				p.device(mac, 2, at, &contract.SegmentRecorded{First: 1, Last: 1, Rows: 1, Root: zone.Hash{1}, Unjudged: 1})
				p.device(mac, 3, at, &contract.ModelAccepted{Digest: model, Features: zone.Hash{1}, First: 1, Last: 1, Rows: 1, Threshold: 1, Rule: "max", Window: 1})
				f := p.peer("f")
				begin(p, f, Grant{MAC: mac})
				happens(p)
				if code := ends[standing][event]; code != "" {
					f.wantBye(code)
					return
				}
				for began := time.Now(); p.hub.followed.Load() < p.ledger.Height(); time.Sleep(time.Millisecond) {
					if time.Since(began) > patienceOf {
						t.Fatal("the hub does not follow")
					}
				}
				if err := p.hub.Admit(f.identity(), Grant{MAC: ledgertest.Device(2)}); err != nil {
					t.Fatal(err)
				}
				want[*message.Welcome](f)
				f.associate(want[*message.Ticket](f).Ticket)
			})
		}
	}
}

// TestMaliciousRenewal: no other ticket lets in whose device is malicious.
func TestMaliciousRenewal(t *testing.T) {
	p := newPlace(t, Options{})
	mac := ledgertest.Device(1)
	at := ledgertest.Created
	model := zone.Hash{7}
	p.device(mac, 1, at, &contract.DeviceSeen{Name: "f"})
	p.device(mac, 2, at, &contract.SegmentRecorded{First: 1, Last: 1, Rows: 1, Root: zone.Hash{1}, Unjudged: 1})
	p.device(mac, 3, at, &contract.ModelAccepted{Digest: model, Features: zone.Hash{1}, First: 1, Last: 1, Rows: 1, Threshold: 1, Rule: "max", Window: 1})
	f := p.peer("f")
	f.join(Grant{MAC: mac})
	f.close()
	p.roll(&contract.EpochBegun{Epoch: 1})
	p.device(mac, 4, at, &contract.VerdictChanged{From: zone.StateWatching, To: zone.StateMalicious, Reason: "score", Model: model, Alert: zone.Hash{1}, Since: at})
	f.refuses(refusedVerdict, nil)
	if n := len(p.desk.issued); n > 1 {
		t.Errorf("%d tickets are out", n)
	}
}

package bus

import (
	"errors"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// TestMasterSays: what the master says is a transaction like any other, comes in the
// order of the ledger, also after a restart, and replies to requests.
func TestMasterSays(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	b.close()
	request, payload := a.message("master", "how late is it?")
	request.Op = contract.OpRequest
	a.say(&message.Submit{Object: a.sign(request), Payload: payload})
	asked := want[*message.Receipt](a)
	id, err := p.hub.Say(t.Context(), Say{To: "a", Reply: asked.ID, Content: []byte("noon")})
	if err != nil {
		t.Fatal(err)
	}
	got := want[*message.Delivery](a)
	tx := delivered(t, got)
	if m, ok := tx.Body.(*contract.Message); !ok || tx.Member != zone.Master || tx.ID != id || m.Ref != asked.ID || m.Op != contract.OpReply || content(t, got) != "master: noon" {
		t.Errorf("%+v, %q", tx.Tx, content(t, got))
	}
	if _, err := p.hub.Say(t.Context(), Say{To: "*", Content: []byte("good night")}); err != nil {
		t.Fatal(err)
	}
	if got := want[*message.Delivery](a); content(t, got) != "master: good night" {
		t.Errorf("%q", content(t, got))
	}
	refused := (*contract.RejectError)(nil)
	if _, err := p.hub.Say(t.Context(), Say{To: "nobody", Content: []byte("x")}); !errors.As(err, &refused) || refused.Code != contract.CodeRecipient {
		t.Errorf("to nobody: %v", err)
	}
	if _, err := p.hub.Say(t.Context(), Say{To: "a", Reply: asked.ID, Content: []byte("noon, again")}); !errors.As(err, &refused) || refused.Code != contract.CodeUnasked {
		t.Errorf("a second reply: %v", err)
	}
	if _, err := p.hub.Say(t.Context(), Say{To: "a", Request: true, Reply: asked.ID, Content: []byte("x")}); err == nil || errors.As(err, &refused) && refused.Code == contract.CodeUnasked {
		t.Errorf("both at once: %v", err)
	}
	if _, err := p.hub.Say(t.Context(), Say{To: "a", Content: []byte("x"), Seal: true}); err == nil {
		t.Error("sealed to a member without a key")
	}
	a.close()
	p.restart()
	b.open()
	if got := want[*message.Delivery](b); content(t, got) != "master: good night" {
		t.Errorf("%q after the restart", content(t, got))
	}
	if _, err := p.hub.Say(t.Context(), Say{To: "b", Content: []byte("again")}); err != nil {
		t.Error(err)
	}
	if all, err := contract.Members(p.ledger.State()); err != nil || len(all) != 2 {
		t.Errorf("%d members: %v", len(all), err)
	}
}

// TestReplyOnce: of two replies to one request the second is refused, and the first
// that is handed in again has its receipt, also after a restart.
func TestReplyOnce(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	asked, err := p.hub.Say(t.Context(), Say{To: "a", Request: true, Content: []byte("are you well?")})
	if err != nil {
		t.Fatal(err)
	}
	got := want[*message.Delivery](a)
	a.say(&message.Ack{Position: got.Position})
	if tx := delivered(t, got); tx.ID != asked || tx.Body.(*contract.Message).Op != contract.OpRequest {
		t.Errorf("%+v", tx.Tx)
	}
	reply := func(f *peer, content string) *message.Submit {
		m, payload := f.message("master", content)
		m.Op, m.Ref = contract.OpReply, asked
		return &message.Submit{Object: f.sign(m), Payload: payload}
	}
	b.say(reply(b, "I am"))
	if r := want[*message.Refusal](b); r.Code != contract.CodeUnasked {
		t.Errorf("who was not asked: %+v", r)
	}
	yes := reply(a, "yes")
	a.say(yes)
	a.say(yes)
	first, second := want[*message.Receipt](a), want[*message.Receipt](a)
	if *first != *second || first.N != a.n {
		t.Errorf("%+v, then %+v", first, second)
	}
	a.say(reply(a, "no"))
	if r := want[*message.Refusal](a); r.Code != contract.CodeUnasked || r.N != a.n {
		t.Errorf("a second reply: %+v", r)
	}
	a.close()
	p.restart()
	a.open()
	a.say(yes)
	if third := want[*message.Receipt](a); *third != *first {
		t.Errorf("%+v after a restart, before %+v", third, first)
	}
	a.say(reply(a, "no"))
	if r := want[*message.Refusal](a); r.Code != contract.CodeUnasked {
		t.Errorf("a second reply after a restart: %+v", r)
	}
}

// delivered gives the transaction of a delivery.
func delivered(tb testing.TB, d *message.Delivery) *contract.Signed {
	tb.Helper()
	raw, err := contract.Receive(d.Object, d.Received)
	if err != nil {
		tb.Fatal(err)
	}
	tx, err := contract.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return tx
}

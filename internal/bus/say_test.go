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

package follower

import (
	"path/filepath"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/message"
)

// TestTicketByHand: a ticket that was handed over is held against zone, name and
// key, and associated with at once.
func TestTicketByHand(t *testing.T) {
	m := newMaster(t)
	dir := filepath.Join(t.TempDir(), "a")
	me, err := Init(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	good := m.ticket("a", [32]byte(me.Key))
	other, stranger := m.ticket("b", [32]byte(me.Key)), m.ticket("a", [32]byte{1})
	m.serials["a"] = 1
	m.mu.Unlock()
	foreigner := newMaster(t)
	foreigner.invite.Zone = m.invite.Zone
	forged := foreigner.ticket("a", [32]byte(me.Key))
	for name, bad := range map[string][]byte{"another name": other, "another key": stranger, "another master": forged, "cut": good[:len(good)-1], "empty": {}} {
		if err := Join(dir, m.invite, bad); err == nil {
			t.Errorf("%s: the ticket was taken", name)
		}
	}
	if err := Join(dir, m.invite, good); err != nil {
		t.Fatal(err)
	}
	a, _ := start(t, dir, quick())
	if h := a.hello(); string(h.Ticket) != string(good) {
		t.Errorf("the hello shows a ticket of %d bytes", len(h.Ticket))
	}
	until(t, "a has associated", func() bool { return m.numbers("a") >= 1 })
	until(t, "the follower knows it", func() bool { _, serial := a.out.newest(); return serial > 0 })
	if h := a.hello(); len(h.Ticket) > 0 {
		t.Error("the hello of a member shows a ticket")
	}
	if r, _ := say(t, a, Order{To: "a", Op: contract.OpCreate, Object: "x", Content: []byte("y")}); r.Code != "" {
		t.Errorf("refused: %s", r.Code)
	}
	if got := a.Status(); got.Standing == "" || got.Identity != (message.Identity{Member: "a", Key: me.Key}).String() {
		t.Errorf("its status is %+v", got)
	}
}

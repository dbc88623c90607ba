package bus

import (
	"fmt"
	"path/filepath"
	"reflect"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/embedded"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// pastOf is what a hub knows of a member when it opens.
type pastOf struct {
	joined, revoked, more, away bool
	associated                  uint64
	n                           uint64
	recent                      [message.Credit]recent
	cursor, upTo                position
	wait                        []position
}

// TestPast: a hub that takes up the past while the ledger is opened is the one that
// reads the ledger itself; what the ledger has more by then it follows, too.
func TestPast(t *testing.T) {
	p := newPlace(t, Options{})
	a, b, c := p.peer("a"), p.peer("b"), p.peer("c")
	for _, f := range []*peer{a, b, c} {
		f.join(Grant{})
	}
	say := func(to string, n int) {
		go func() {
			for i := range n {
				a.send(to, fmt.Sprint(i))
			}
		}()
		for range n {
			want[*message.Receipt](a)
		}
	}
	say("b", 3)
	b.say(&message.Ack{Position: want[*message.Delivery](b).Position})
	c.close()
	say("*", 5)
	p.roll(&contract.MemberAction{Action: contract.ActionRevoke, Member: "c"})
	b.close()
	say("*", maxWait+20) // c gets none, and b more than are kept in memory
	p.stop()

	dir := filepath.Join(p.dir, "members")
	known := func(past bool, until uint64) map[zone.MemberID]pastOf {
		t.Helper()
		h, err := Prepare(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		given := uint64(0)
		o := embedded.Options{Past: func(n uint64, txs []*contract.Signed) error {
			if !past || n >= until {
				return nil
			}
			given++
			return h.Past(n, txs)
		}}
		l, err := embedded.Open(filepath.Join(p.dir, "ledger"), ledgertest.Master(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		desk, err := OpenDesk(dir, p.zone, ledgertest.Master(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Close()
		defer h.Close()
		if err := h.Open(t.Context(), p.zone, ledgertest.Master(), l, desk); err != nil {
			t.Fatal(err)
		}
		if want := min(until, l.Height()); past && given != want || h.followed.Load() != l.Height() {
			t.Fatalf("%d blocks were given, want %d; %d followed of %d", given, want, h.followed.Load(), l.Height())
		}
		out := map[zone.MemberID]pastOf{}
		for name, m := range h.members {
			out[name] = pastOf{m.joined, m.revoked, m.more, m.away, m.associated.Load(), m.n, m.recent, m.cursor, m.upTo, m.wait}
		}
		return out
	}
	read := known(false, 0)
	if m := read["b"]; len(read) != 3 || len(m.wait) != maxWait || !m.more || m.cursor == 0 || !read["c"].revoked || len(read["c"].wait) != 5 {
		t.Fatalf("members %v", read)
	}
	for _, until := range []uint64{never, 20} {
		if taken := known(true, until); !reflect.DeepEqual(taken, read) {
			t.Errorf("up to block %d: taken %+v\nread %+v", until, taken, read)
		}
	}
	h, err := Prepare(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Past(1, nil); err == nil {
		t.Error("a past without its beginning was taken")
	}
}

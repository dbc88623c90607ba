package gateway

import (
	"crypto/ed25519"
	"flag"
	"fmt"
	"log/slog"
	"testing"

	"golang.org/x/sync/errgroup"

	"bellwether/internal/bus"
	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

var benchMessages = flag.Int("messages", 10_000, "messages on the ledger of BenchmarkOpen")

// spoken is a state directory whose members have said n messages. None has been
// acknowledged.
func spoken(t testing.TB, n int) (dir string) {
	t.Helper()
	dir = keyedDir(t)
	s, err := OpenState(t.Context(), dir, StateOptions{Identity: Identity{Name: "home", Created: 1}, BlockTxs: memberBlockTxs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := zone.Time(1_700_000_000e9)
	say := func(name zone.MemberID, key ed25519.PrivateKey, n uint64, body contract.Body) {
		at++
		tx := contract.Tx{Zone: s.Zone.ID, Sent: at, Member: name, N: n, Body: body}
		object, err := tx.SignMember(key)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := contract.Receive(object, at)
		if err == nil {
			err = s.Ledger.Submit(t.Context(), raw)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const members = 100
	var names []zone.MemberID
	var keys []ed25519.PrivateKey
	for i := range members {
		names = append(names, zone.MemberID(fmt.Sprintf("m%02d", i)))
		seed := [32]byte{byte(i + 1)}
		keys = append(keys, ed25519.NewKeyFromSeed(seed[:]))
		ticket := contract.Ticket{Zone: s.Zone.ID, Member: names[i], Key: [32]byte(keys[i].Public().(ed25519.PublicKey)), Role: "member", Until: 1 << 40, Serial: 1}
		raw, err := ticket.Sign(s.Key)
		if err != nil {
			t.Fatal(err)
		}
		say(names[i], keys[i], 1, &contract.Associated{Ticket: raw})
	}
	for i := range n {
		from := i % members
		say(names[from], keys[from], uint64(i/members)+2, &contract.Message{To: names[(from+1)%members], Op: contract.OpSend, Hash: zone.Hash{1}, Size: 256})
	}
	if err := s.Ledger.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// BenchmarkOpen: a master starts, up to where it serves.
func BenchmarkOpen(b *testing.B) {
	dir := spoken(b, *benchMessages)
	var c Config
	c.State, c.Members.Listen = dir, "127.0.0.1:0"
	for b.Loop() {
		w := &watching{Live: Live{Config: c, Log: slog.New(slog.DiscardHandler)}, heard: make(chan bus.Heard, heardQueue)}
		if err := w.open(b.Context()); err != nil {
			b.Fatal(err)
		}
		w.writer = newWriter(w.state.Ledger)
		go w.writer.Run()
		if err := w.begin(b.Context(), new(errgroup.Group)); err != nil {
			b.Fatal(err)
		}
		l, err := w.members.openHub(b.Context(), c.Members)
		if err != nil {
			b.Fatal(err)
		}
		l.Close()
		w.writer.end()
		if err := w.close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(*benchMessages)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

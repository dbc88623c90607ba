package ledgertest

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

// Members are the suite's members "a" and "b", who say one thing after another.
type Members struct {
	Joined [][]byte // their associations
	n      map[zone.MemberID]uint64
}

// Associated gives members who have associated.
func Associated(tb testing.TB) *Members {
	tb.Helper()
	m := &Members{n: map[zone.MemberID]uint64{}}
	for _, id := range []zone.MemberID{"a", "b"} {
		ticket, err := (&contract.Ticket{Zone: group(), Member: id, Key: [32]byte(memberKey(id).Public().(ed25519.PublicKey)), Role: "sensor", Until: 1 << 20, Serial: 1}).Sign(Master())
		if err != nil {
			tb.Fatal(err)
		}
		m.Joined = append(m.Joined, m.say(tb, id, &contract.Associated{Ticket: ticket}))
	}
	return m
}

func memberKey(id zone.MemberID) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{id[0]}, ed25519.SeedSize))
}

// say gives the member's next transaction.
func (m *Members) say(tb testing.TB, id zone.MemberID, b contract.Body) []byte {
	tb.Helper()
	m.n[id]++
	object, err := (&contract.Tx{Zone: group(), Member: id, N: m.n[id], Body: b}).SignMember(memberKey(id))
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := contract.Receive(object, Created.Add(time.Duration(m.n[id])*time.Second))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// Request has one member ask another.
func (m *Members) Request(tb testing.TB, id, to zone.MemberID) []byte {
	return m.say(tb, id, &contract.Message{To: to, Op: contract.OpRequest, Hash: zone.Hash{1}, Size: 16})
}

// Reply has a member reply to a request.
func (m *Members) Reply(tb testing.TB, id, to zone.MemberID, request []byte) []byte {
	tb.Helper()
	ref, err := contract.ID(request)
	if err != nil {
		tb.Fatal(err)
	}
	return m.say(tb, id, &contract.Message{To: to, Op: contract.OpReply, Ref: ref, Hash: zone.Hash{2}, Size: 16})
}

// testMembers: the rules for what members say are those of the contract: a reply
// counts once, also over a reopening, and the state is what the blocks lead to.
func testMembers(t *testing.T, b *bench) {
	m := Associated(t)
	b.submit(t, Genesis(t))
	b.submit(t, m.Joined...)
	question, open := m.Request(t, "a", "b"), m.Request(t, "a", "b")
	b.submit(t, question)
	b.commit(t)
	b.submit(t, open)
	answer, twice := m.Reply(t, "b", "a", question), m.Reply(t, "b", "a", question)
	b.submit(t, answer, answer)
	b.refused(t, twice, contract.CodeUnasked)
	b.commit(t)
	digest := b.digest(t)
	b.reopen(t)
	b.refused(t, twice, contract.CodeUnasked)
	b.submit(t, answer) // its receipt was lost
	if got := b.digest(t); got != digest {
		t.Errorf("the state is %s after reopening, before %s", got.Short(), digest.Short())
	}
	if requests, err := contract.ReadOpen(b.l.State(), "a"); err != nil || len(requests) != 1 {
		t.Errorf("%d requests are open (%v), want the second", len(requests), err)
	}
	state := contract.Memory{}
	for _, block := range b.blocks(t) {
		checkContent(t, state, block)
	}
	b.want(t, append([][]byte{Genesis(t)}, append(m.Joined, question, open, answer)...)...)
}

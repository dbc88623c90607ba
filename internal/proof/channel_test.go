package proof

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/embedded"
	"bellwether/internal/ledger/fabric/evidence"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/zone"
)

// kept reads a sample that a real network gave: `go test ./internal/ledger/fabric
// -run TestHandoverEvidence -update`.
func kept(tb testing.TB, name string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "ledger", "fabric", "evidence", "testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// keptZone is the zone of the samples: its creation and what became of one device, a
// block each. The first three were handed over to a channel, the fourth was made there.
func keptZone(tb testing.TB) *embedded.Ledger {
	tb.Helper()
	l, err := embedded.Open(tb.TempDir(), ledgertest.Master(), embedded.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	txs := [][]byte{ledgertest.Genesis(tb)}
	for i := uint64(1); i < 4; i++ {
		txs = append(txs, ledgertest.Tx(tb, 0, i, "name "+string(rune('0'+i))))
	}
	for _, tx := range txs {
		if err := errors.Join(l.Submit(tb.Context(), tx), l.Commit(tb.Context())); err != nil {
			tb.Fatal(err)
		}
	}
	return l
}

// attested is a bundle in form that rests on blocks 0, 1 and 3 of that zone, and
// its channel. There is no alert in it, so that only the channel's part holds.
func attested(tb testing.TB) (*Bundle, *evidence.Channel) {
	tb.Helper()
	l := keptZone(tb)
	entry := func(n uint64) Entry {
		block, err := l.Block(tb.Context(), n)
		if err != nil {
			tb.Fatal(err)
		}
		in, err := l.Prove(tb.Context(), n, 0)
		if err != nil {
			tb.Fatal(err)
		}
		return NewEntry(block.Txs[0], in)
	}
	z, _, err := contract.ReadZone(l.State())
	if err != nil {
		tb.Fatal(err)
	}
	b := small(tb)
	b.Alert.Contacts = []zone.SeqID{}
	if b.Anchor, err = identity.Anchor(ledger.Origin(z.ID), z.Master[:]); err != nil {
		tb.Fatal(err)
	}
	b.Alert.Zone, b.Zone, b.Model.Accepted, b.Verdict, b.Segments, b.Between = z.ID, entry(0), entry(1), entry(3), []Segment{}, []Entry{}
	var all []*evidence.Evidence
	for _, name := range []string{"handover.evidence", "behind.evidence"} {
		e, err := evidence.Parse(kept(tb, name))
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, e)
	}
	b.Channel, err = NewChannel(b, all, 3, func(n uint64) (zone.Hash, error) {
		block, err := l.Block(tb.Context(), n)
		if err != nil {
			return zone.Hash{}, err
		}
		return block.Header.Hash(), nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	c, err := evidence.ParseChannel(kept(tb, "handover.channel"))
	if err != nil {
		tb.Fatal(err)
	}
	return b, c
}

// channelOnly checks what the channel shows and nothing else.
func channelOnly(b *Bundle, c *evidence.Channel) (string, bool, error) {
	at := &checker{b: b, anchor: ledgertest.Master().Public().(ed25519.PublicKey), channel: c}
	says, err := at.checkChannel()
	return says, at.warning, err
}

func TestChannel(t *testing.T) {
	b, c := attested(t)
	again := copyOf(t, b)
	says, warning, err := channelOnly(again, c)
	for _, part := range []string{"bellwether (etcdraft)", "by configuration block 0, " + c.Digest.String(), "ordered by OrdererMSP/orderer1, endorsed by org1MSP, org2MSP, valid as a peer of org1MSP says",
		"blocks 0, 1 are from before the zone came there with block 2", "blocks 3 were checked by the endorsers"} {
		if err != nil || warning || !strings.Contains(says, part) {
			t.Errorf("%q, %v: want %q", says, err, part)
		}
	}
	if says, warning, err := channelOnly(again, nil); err != nil || !warning || !strings.Contains(says, "--channel") {
		t.Errorf("without a channel: %q, %v", says, err)
	}
	again.Channel = nil
	if _, _, err := channelOnly(again, c); err == nil || !strings.Contains(err.Error(), "made without") {
		t.Errorf("without evidence: %v", err)
	}
	raw := marshal(t, again)
	if bytes.Contains(raw, []byte("channel")) {
		t.Error("a bundle without evidence names it")
	}
}

// TestEveryFieldOfChannel changes every value of the channel's part, and every
// array, and bytes all over the evidence: each is found, and named.
func TestEveryFieldOfChannel(t *testing.T) {
	b, c := attested(t)
	raw := marshal(t, b)
	tree := parseTree(t, raw)
	tried := 0
	try := func(path, what string, raw []byte) {
		if tried++; tried%sampled != 0 {
			return
		}
		b, err := Parse(raw)
		if err == nil {
			_, _, err = channelOnly(b, c)
		}
		var field *FieldError
		if !errors.As(err, &field) || !names(field.Field, path) {
			t.Errorf("%s: %s: %v", path, what, err)
		}
	}
	tree.each(func(n *node) {
		if !strings.HasPrefix(n.path, "channel") {
			return
		}
		for _, change := range changes(n) {
			try(n.path, change.what, n.with(t, raw, tree, change.to))
		}
		if !regexp.MustCompile(`^channel\.evidence\[\d+\]$`).MatchString(n.path) {
			return
		}
		for i := 1; i < len(n.leaf)-3; i += 7 { // all but the last letters, whose bits do not all count
			leaf := []byte(n.leaf)
			if leaf[i] = 'A'; n.leaf[i] == 'A' {
				leaf[i] = 'B'
			}
			try(n.path, "another letter", n.with(t, raw, tree, node{path: n.path, leaf: string(leaf)}))
		}
	})
	if tried < 3000 {
		t.Errorf("only %d changes were made", tried)
	}
	t.Logf("%d changes", tried)
}

// TestForeignEvidence: evidence that holds by itself and is not the bundle's is
// refused.
func TestForeignEvidence(t *testing.T) {
	later := func(header []byte) []byte {
		h, err := ledger.ParseHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		h.Time++
		return h.Bytes()
	}
	for name, tt := range map[string]struct {
		change func(b *Bundle, c *evidence.Channel)
		field  string
	}{
		"none":             {func(b *Bundle, _ *evidence.Channel) { b.Channel.Evidence = nil }, "channel.carried"},
		"none of the last": {func(b *Bundle, _ *evidence.Channel) { b.Channel.Evidence = b.Channel.Evidence[:1] }, "channel.evidence"},
		"no handover":      {func(b *Bundle, _ *evidence.Channel) { b.Channel.Evidence = b.Channel.Evidence[1:] }, "channel.evidence[0]"},
		"twice": {func(b *Bundle, _ *evidence.Channel) {
			b.Channel.Evidence = append(b.Channel.Evidence, b.Channel.Evidence[1])
		}, "channel.evidence[2]"},
		"out of order":      {func(b *Bundle, _ *evidence.Channel) { slices.Reverse(b.Channel.Evidence) }, "channel.evidence[0]"},
		"another network's": {func(b *Bundle, _ *evidence.Channel) { b.Channel.Evidence[1] = kept(t, "raft.evidence") }, "channel.evidence[1]"},
		"nothing carried":   {func(b *Bundle, _ *evidence.Channel) { b.Channel.Carried = nil }, "channel.carried"},
		"one less":          {func(b *Bundle, _ *evidence.Channel) { b.Channel.Carried = b.Channel.Carried[:1] }, "channel.carried"},
		"more carried": {func(b *Bundle, _ *evidence.Channel) {
			b.Channel.Carried = append(b.Channel.Carried, Carried{Block: 3, Path: [][]byte{}})
		}, "channel.carried[2].path"},
		"a block that is not there":         {func(b *Bundle, _ *evidence.Channel) { b.Channel.Carried[1].Block = 2 }, "channel.carried[1].block"},
		"another channel":                   {func(_ *Bundle, c *evidence.Channel) { c.Name = "other" }, "channel.evidence[0]"},
		"another block's header":            {func(b *Bundle, _ *evidence.Channel) { b.Verdict.Header = later(b.Verdict.Header) }, "channel.evidence[1]"},
		"another header of a carried block": {func(b *Bundle, _ *evidence.Channel) { b.Zone.Header = later(b.Zone.Header) }, "channel.carried[0].path"},
		"another zone":                      {func(b *Bundle, _ *evidence.Channel) { b.Alert.Zone[0] ^= 1 }, "channel.evidence[0]"},
	} {
		b, c := attested(t)
		tt.change(b, c)
		var field *FieldError
		if _, _, err := channelOnly(b, c); !errors.As(err, &field) || field.Field != tt.field {
			t.Errorf("%s: %v, want %s", name, err, tt.field)
		}
	}
	b, c := attested(t)
	at := &checker{b: b, anchor: master(), channel: c}
	if _, err := at.checkChannel(); err == nil || !strings.Contains(err.Error(), "the handover does not hold") {
		t.Errorf("by another master: %v", err)
	}
}

package chaincode

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/ledgertest"
)

// handover hands over the first n blocks of chain.
func handover(t testing.TB, blocks []*ledger.Block, n int) *ledger.Handover {
	t.Helper()
	var c ledger.Chain
	state := contract.Memory{}
	var v contract.Validator
	for _, b := range blocks[:n] {
		if err := c.Follow(b); err != nil {
			t.Fatal(err)
		}
		for _, tx := range b.Txs {
			if _, err := v.Apply(state, b.Header.Number, tx); err != nil {
				t.Fatal(err)
			}
		}
	}
	h, err := c.HandOver(state, func(i uint64) (*ledger.Block, error) { return blocks[i], nil })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestAdopt: after a handover the channel's state is what it would be with all
// blocks, but for their keys, and the next block goes on.
func TestAdopt(t *testing.T) {
	blocks := chain(t)
	whole := newPeer()
	for _, b := range blocks {
		if _, failed := whole.call(FunctionAppend, string(b.Bytes())); failed != "" {
			t.Fatal(failed)
		}
	}
	p, h := newPeer(), handover(t, blocks, 2)
	want := blocks[1].Header.Hash()
	if hash, failed := p.call(FunctionAdopt, string(h.Bytes())); failed != "" || hash != string(want[:]) {
		t.Fatalf("%x, %s", hash, failed)
	}
	if !slices.IsSorted(p.writes) {
		t.Errorf("it writes %q", p.writes)
	}
	if _, failed := p.call(FunctionAppend, string(blocks[2].Bytes())); failed != "" {
		t.Fatal(failed)
	}
	delete(whole.committed, blockKey(0))
	if len(p.committed) != len(whole.committed) {
		t.Errorf("%d keys, want %d", len(p.committed), len(whole.committed))
	}
	for key, want := range whole.committed {
		if !bytes.Equal(p.committed[key], want) {
			t.Errorf("%s is %x, want %x", key, p.committed[key], want)
		}
	}
	for _, again := range []string{FunctionAdopt, FunctionAppend} {
		arg := map[string][]byte{FunctionAdopt: h.Bytes(), FunctionAppend: blocks[0].Bytes()}[again]
		if _, failed := p.call(again, string(arg)); failed == "" || len(p.writes) > 0 {
			t.Errorf("%s on a channel with the zone: %q, %q", again, failed, p.writes)
		}
	}
}

// TestNotAdopted: what is not as the master signed it is refused, and writes nothing.
func TestNotAdopted(t *testing.T) {
	blocks := chain(t)
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	resign := func(h *ledger.Handover, key ed25519.PrivateKey) {
		var err error
		if h.Signature, err = h.Header.Sign(key); err != nil {
			t.Fatal(err)
		}
	}
	// digested lets the header commit to the state, as a master might that lies.
	digested := func(h *ledger.Handover) {
		state := contract.Memory{}
		for _, p := range h.State {
			state[p.Key] = p.Value
		}
		var err error
		if h.Header.State, err = contract.Digest(state); err != nil {
			t.Fatal(err)
		}
		resign(h, ledgertest.Master())
	}
	for _, tt := range []struct {
		name   string
		change func(h *ledger.Handover)
		reason string
	}{
		{"no state", func(h *ledger.Handover) { h.State = nil }, "no zone"},
		{"a device less", func(h *ledger.Handover) { h.State = h.State[1:] }, "the header says"},
		{"a value", func(h *ledger.Handover) { h.State[0].Value = h.State[1].Value }, "belongs under"},
		{"a changed value", func(h *ledger.Handover) {
			v := bytes.Clone(h.State[0].Value)
			at := bytes.IndexByte(v, 'b')
			v[at] = 'c'
			h.State[0].Value = v
		}, "the header says"},
		{"a key of a block", func(h *ledger.Handover) {
			h.State = slices.Insert(h.State, 0, ledger.Pair{Key: blockKey(9), Value: make([]byte, 32)})
			digested(h)
		}, "block/"},
		{"a value in another form", func(h *ledger.Handover) {
			h.State[0].Value = append(bytes.Clone(h.State[0].Value), 0)
			digested(h)
		}, "device/"},
		{"another zone's ID", func(h *ledger.Handover) {
			i := len(h.State) - 1
			v := bytes.Clone(h.State[i].Value)
			v[bytes.Index(v, h.Header.Zone[:])] ^= 1
			h.State[i].Value = v
			digested(h)
		}, "does not follow"},
		{"the header's zone", func(h *ledger.Handover) { h.Header.Zone[0] ^= 1; resign(h, ledgertest.Master()) }, "it is of zone"},
		{"keys out of order", func(h *ledger.Handover) { slices.Reverse(h.State) }, "in order"},
		{"a key twice", func(h *ledger.Handover) { h.State = slices.Insert(h.State, 0, h.State[0]) }, "in order"},
		{"a stranger's signature", func(h *ledger.Handover) { resign(h, stranger) }, "not signed"},
		{"no signature", func(h *ledger.Handover) { h.Signature = nil }, "not signed"},
		{"the header's time", func(h *ledger.Handover) { h.Header.Time++ }, "not signed"},
		{"another header that is signed", func(h *ledger.Handover) { h.Header.Time++; resign(h, ledgertest.Master()) }, "not under its checkpoint"},
		{"the path", func(h *ledger.Handover) {
			h.HeaderPath = [][]byte{bytes.Clone(h.HeaderPath[0])}
			h.HeaderPath[0][0] ^= 1
		}, "not under its checkpoint"},
		{"no path", func(h *ledger.Handover) { h.HeaderPath = nil }, "not under its checkpoint"},
		{"a short hash", func(h *ledger.Handover) { h.HeaderPath = [][]byte{{1}} }, "a hash of 1 bytes"},
		{"the checkpoint", func(h *ledger.Handover) {
			h.Checkpoint = bytes.Replace(h.Checkpoint, []byte("\n2\n"), []byte("\n3\n"), 1)
		}, "checkpoint"},
		{"another block's checkpoint", func(h *ledger.Handover) { h.Checkpoint = blocks[2].Checkpoint }, "of 3 headers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, h := newPeer(), handover(t, blocks, 2)
			tt.change(h)
			if _, failed := p.call(FunctionAdopt, string(h.Bytes())); !strings.Contains(failed, tt.reason) || len(p.writes) > 0 {
				t.Errorf("%q, wrote %q; want a refusal with %q", failed, p.writes, tt.reason)
			}
		})
	}
	p := newPeer()
	if _, failed := p.call(FunctionAdopt, string(handover(t, blocks, 1).Bytes())); !strings.Contains(failed, "its block is appended") {
		t.Errorf("of one block: %q", failed)
	}
	for _, raw := range []string{"", "x", string(blocks[0].Bytes()), strings.Repeat("x", ledger.MaxHandover+1)} {
		if _, failed := p.call(FunctionAdopt, raw); failed == "" {
			t.Errorf("%d bytes of something else are taken", len(raw))
		}
	}
}

// TestEveryByteOfAHandover: whatever byte is another one, it is refused.
func TestEveryByteOfAHandover(t *testing.T) {
	good := handover(t, chain(t), 3).Bytes()
	for i := range good {
		for _, bit := range []byte{1, 0x80} {
			changed := bytes.Clone(good)
			changed[i] ^= bit
			p := newPeer()
			if _, failed := p.call(FunctionAdopt, string(changed)); failed == "" || len(p.writes) > 0 {
				t.Fatalf("byte %d of %d: %q", i, len(good), failed)
			}
		}
	}
}

// TestTooManyDevices: what would not fit a transaction of Fabric is refused
// where it is made.
func TestTooManyDevices(t *testing.T) {
	var c ledger.Chain
	b := chain(t)[0]
	if err := c.Follow(b); err != nil {
		t.Fatal(err)
	}
	state := contract.Memory{}
	for i := range 20_000 {
		state[fmt.Sprintf("device/%05d", i)] = make([]byte, 250)
	}
	if _, err := c.HandOver(state, func(uint64) (*ledger.Block, error) { return b, nil }); err == nil || !strings.Contains(err.Error(), "at most 4194304") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseHandover(f *testing.F) {
	blocks := chain(f)
	good := handover(f, blocks, 3).Bytes()
	f.Add(good)
	f.Add([]byte{0x85, 0x40, 0x40, 0x80, 0x40, 0x80})
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := ledger.ParseHandover(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(h.Bytes(), raw) {
			t.Fatalf("%x is taken, its canonical form is %x", raw, h.Bytes())
		}
		if handedOver(h) == nil && !bytes.Equal(raw, good) && h.Header.Zone == blocks[0].Header.Zone {
			t.Fatalf("another handover of the zone: %x", raw)
		}
	})
}

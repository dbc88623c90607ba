package chaincode

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/ledgertest"
)

// fakePeer is the state of a channel as one call sees it: what the call writes is
// not read back until it is committed.
type fakePeer struct {
	shim.ChaincodeStubInterface
	args      [][]byte
	committed map[string][]byte
	writes    []string // keys, in order
	written   map[string][]byte
	failed    error
}

func newPeer() *fakePeer { return &fakePeer{committed: map[string][]byte{}} }

func (p *fakePeer) GetArgs() [][]byte { return p.args }

func (p *fakePeer) GetState(key string) ([]byte, error) { return p.committed[key], p.failed }

func (p *fakePeer) DelState(key string) error { return p.PutState(key, nil) }

func (p *fakePeer) PutState(key string, value []byte) error {
	p.writes = append(p.writes, key)
	p.written[key] = value
	return p.failed
}

// call runs one call and commits it if it succeeds. It gives the error's text.
func (p *fakePeer) call(args ...string) (string, string) {
	p.args, p.writes, p.written = nil, nil, map[string][]byte{}
	for _, a := range args {
		p.args = append(p.args, []byte(a))
	}
	r := Contract{}.Invoke(p)
	if r.Status != shim.OK {
		return "", r.Message
	}
	maps.Copy(p.committed, p.written)
	return string(r.Payload), ""
}

// chain gives blocks of one zone: its creation, and two with each of three devices.
func chain(t testing.TB) []*ledger.Block {
	t.Helper()
	blocks := [][][]byte{{ledgertest.Genesis(t)}, nil, nil}
	for n := uint64(1); n < 3; n++ {
		for i := range 3 {
			blocks[n] = append(blocks[n], ledgertest.Tx(t, i, 2*n-1, "a"), ledgertest.Tx(t, i, 2*n, "b"))
		}
	}
	return chainOf(t, blocks...)
}

// chainOf gives blocks with these transactions.
func chainOf(t testing.TB, txs ...[][]byte) []*ledger.Block {
	t.Helper()
	l := ledgertest.NewFake(ledgertest.Master())
	var blocks []*ledger.Block
	for n := range txs {
		for _, tx := range txs[n] {
			if err := l.Submit(t.Context(), tx); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, err := l.Block(t.Context(), uint64(n))
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// TestAppend: the state on the channel is that which the contract leads to, and
// the keys are written in order.
func TestAppend(t *testing.T) {
	p, state := newPeer(), contract.Memory{}
	for n, b := range chain(t) {
		hash, failed := p.call(FunctionAppend, string(b.Bytes()))
		if want := b.Header.Hash(); failed != "" || hash != string(want[:]) {
			t.Fatalf("block %d: %x, %s", n, hash, failed)
		}
		if !slices.IsSorted(p.writes) || len(p.writes) != len(slices.Compact(slices.Clone(p.writes))) {
			t.Errorf("block %d writes %q", n, p.writes)
		}
		for _, tx := range b.Txs {
			if _, err := new(contract.Validator).Apply(state, uint64(n), tx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(p.committed) != len(state)+3 {
		t.Errorf("%d keys, want %d of the contract and 3 of blocks", len(p.committed), len(state))
	}
	for key, want := range state {
		if !bytes.Equal(p.committed[key], want) {
			t.Errorf("%s is %x, want %x", key, p.committed[key], want)
		}
	}
}

// TestMembers: requests and replies lead to the state that the contract leads to, over
// blocks and after a handover; a block with a reply that nobody asked for is refused.
func TestMembers(t *testing.T) {
	m := ledgertest.Associated(t)
	question, open := m.Request(t, "a", "b"), m.Request(t, "b", "a")
	answer, again := m.Reply(t, "b", "a", question), m.Reply(t, "b", "a", question)
	blocks := chainOf(t, append([][]byte{ledgertest.Genesis(t)}, m.Joined...), [][]byte{question, open}, [][]byte{answer}, [][]byte{m.Reply(t, "a", "b", open)})
	state := contract.Memory{}
	var v contract.Validator
	p, adopted := newPeer(), newPeer()
	for n, b := range blocks {
		if _, failed := p.call(FunctionAppend, string(b.Bytes())); failed != "" {
			t.Fatalf("block %d: %s", n, failed)
		}
		if n > 1 {
			if _, failed := adopted.call(FunctionAppend, string(b.Bytes())); failed != "" {
				t.Fatalf("block %d after the handover: %s", n, failed)
			}
		} else if n == 1 {
			if _, failed := adopted.call(FunctionAdopt, string(handover(t, blocks, 2).Bytes())); failed != "" {
				t.Fatal(failed)
			}
		}
		for _, tx := range b.Txs {
			if _, err := v.Apply(state, uint64(n), tx); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range []string{"member/a", "member/b", "ask/a", "ask/b"} {
			if !bytes.Equal(p.committed[key], state[key]) || n > 0 && !bytes.Equal(adopted.committed[key], state[key]) {
				t.Errorf("block %d: %s is %x, and %x after the handover; want %x", n, key, p.committed[key], adopted.committed[key], state[key])
			}
		}
	}
	var c ledger.Chain
	for _, b := range blocks[:3] {
		if err := c.Follow(b); err != nil {
			t.Fatal(err)
		}
	}
	b, err := c.Seal(ledgertest.Master(), ledger.Content{Zone: blocks[0].Header.Zone, Txs: [][]byte{again}, Time: blocks[3].Header.Time})
	if err != nil {
		t.Fatal(err)
	}
	p = newPeer()
	for _, b := range blocks[:3] {
		if _, failed := p.call(FunctionAppend, string(b.Bytes())); failed != "" {
			t.Fatal(failed)
		}
	}
	if _, failed := p.call(FunctionAppend, string(b.Bytes())); !strings.Contains(failed, string(contract.CodeUnasked)) || len(p.writes) > 0 {
		t.Errorf("%q, wrote %q; want a refusal with %q", failed, p.writes, contract.CodeUnasked)
	}
}

// TestRefused: what does not hold is refused with a reason, and writes nothing.
func TestRefused(t *testing.T) {
	blocks := chain(t)
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	sign := func(b *ledger.Block, key ed25519.PrivateKey) {
		var err error
		if b.Signature, err = b.Header.Sign(key); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		change func(b *ledger.Block)
		reason string
	}{
		{"again", func(b *ledger.Block) { *b = *blocks[0] }, "already"},
		{"too early", func(b *ledger.Block) { *b = *blocks[2] }, "no block 1"},
		{"of another chain", func(b *ledger.Block) { b.Header.Previous[0] ^= 1; sign(b, ledgertest.Master()) }, "follows"},
		{"root", func(b *ledger.Block) { b.Header.TxRoot[0] ^= 1 }, "root"},
		{"by a stranger", func(b *ledger.Block) { sign(b, stranger) }, "not signed"},
		{"time", func(b *ledger.Block) { b.Header.Time++; sign(b, ledgertest.Master()) }, "time"},
		{"zone", func(b *ledger.Block) { b.Header.Zone[0] ^= 1; sign(b, ledgertest.Master()) }, "zone"},
		{"checkpoint", func(b *ledger.Block) { b.Checkpoint[90] ^= 1 }, "checkpoint"},
		{"checkpoint of another block", func(b *ledger.Block) { b.Checkpoint = blocks[0].Checkpoint }, "of 1 headers"},
		{"transactions out of order", func(b *ledger.Block) {
			b.Txs = slices.Clone(b.Txs)
			slices.Reverse(b.Txs)
			b.Header.TxRoot = ledger.RootOf(b.Txs)
			sign(b, ledgertest.Master())
		}, "order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer()
			if _, failed := p.call(FunctionAppend, string(blocks[0].Bytes())); failed != "" {
				t.Fatal(failed)
			}
			b, err := ledger.ParseBlock(blocks[1].Bytes())
			if err != nil {
				t.Fatal(err)
			}
			tt.change(b)
			if _, failed := p.call(FunctionAppend, string(b.Bytes())); !strings.Contains(failed, tt.reason) || len(p.writes) > 0 {
				t.Errorf("%q, wrote %q; want a refusal with %q", failed, p.writes, tt.reason)
			}
			if _, failed := p.call(FunctionAppend, string(blocks[1].Bytes())); failed != "" {
				t.Errorf("the true block after it: %s", failed)
			}
		})
	}
}

func TestCalls(t *testing.T) {
	p := newPeer()
	if got, failed := p.call(FunctionVersion); got != Version || failed != "" {
		t.Errorf("version gives %q, %s", got, failed)
	}
	for _, args := range [][]string{{}, {"version", "x"}, {"append"}, {"append", "x"}, {"append", "", ""}, {"delete"}} {
		if got, failed := p.call(args...); failed == "" || len(p.writes) > 0 {
			t.Errorf("%q gives %q", args, got)
		}
	}
	p.failed = errors.New("broken")
	if _, failed := p.call(FunctionAppend, string(chain(t)[0].Bytes())); !strings.Contains(failed, "broken") {
		t.Errorf("with a peer that fails: %q", failed)
	}
}

// TestPackage: the bytes are always the same and hold what the peer's builder
// looks for.
func TestPackage(t *testing.T) {
	ca, err := os.ReadFile("testdata/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	p := Package{Label: "bellwether_1", Address: "127.0.0.1:9999", RootCert: string(ca)}
	raw, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	id, err := p.ID()
	if err != nil || id != "bellwether_1:d08d6f2e898c49c9f9a0d576b7b576ca0d6edd9a20c3c83ff9aebd8922db5450" {
		t.Errorf("ID %s, %v: another ID is another chaincode to every peer", id, err)
	}
	outer := untar(t, raw)
	inner := untar(t, outer["code.tar.gz"])
	for text, want := range map[string]string{
		string(outer["metadata.json"]):   `{"type":"ccaas","label":"bellwether_1"}`,
		string(inner["connection.json"]): `{"address":"127.0.0.1:9999","dial_timeout":"10s","tls_required":true,"root_cert":"` + strings.ReplaceAll(string(ca), "\n", `\n`) + `"}`,
	} {
		if text != want {
			t.Errorf("got %s, want %s", text, want)
		}
	}
	for _, bad := range []string{"", "a b", "-a", "a/b", "a:b"} {
		if _, err := (Package{Label: bad, Address: p.Address}).ID(); err == nil {
			t.Errorf("label %q is taken", bad)
		}
	}
	for _, bad := range []string{"", "host", "host:", ":1", "a:b:1"} {
		if _, err := (Package{Label: "a", Address: bad}).ID(); err == nil {
			t.Errorf("address %q is taken", bad)
		}
	}
	private := "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
	for _, bad := range []string{"PEM", "\n", private, string(ca) + private, string(ca[:40]), strings.Replace(string(ca), "MI", "AA", 1)} {
		if _, err := (Package{Label: "a", Address: p.Address, RootCert: bad}).ID(); err == nil {
			t.Errorf("authority %q is taken", bad)
		}
	}
}

func untar(t *testing.T, raw []byte) map[string][]byte {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

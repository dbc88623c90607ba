package producer

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/ledgertest"
)

func pub() ed25519.PublicKey { return ledgertest.Master().Public().(ed25519.PublicKey) }

func producer(t *testing.T, o Options) *Producer {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// none is asked for blocks by a chain that has none.
func none(n uint64) (*ledger.Block, error) { return nil, errors.New("there are no blocks") }

func checked(t *testing.T, tx []byte) *contract.Checked {
	t.Helper()
	c, err := contract.Check(tx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// take validates and takes transactions.
func take(t *testing.T, p *Producer, txs ...[]byte) {
	t.Helper()
	for i, tx := range txs {
		v, err := p.Validate(checked(t, tx), pub(), none)
		if err != nil || v == nil {
			t.Fatalf("transaction %d: %v, %v", i, v, err)
		}
		if err := p.Take(v); err != nil {
			t.Fatal(err)
		}
	}
}

func seal(t *testing.T, p *Producer) *ledger.Block {
	t.Helper()
	b, err := p.Seal(ledgertest.Master())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSame: the same transactions give the same blocks, and whoever follows or
// joins them has the same state.
func TestSame(t *testing.T) {
	one, two, follower, joiner := producer(t, Options{}), producer(t, Options{}), producer(t, Options{}), producer(t, Options{})
	for n := range uint64(3) {
		txs := [][]byte{ledgertest.Tx(t, 1, n+1, "x"), ledgertest.Tx(t, 2, n+1, "y")}
		if n == 0 {
			txs = append([][]byte{ledgertest.Genesis(t)}, txs...)
		}
		take(t, one, txs...)
		take(t, two, txs...)
		if one.Open() != len(txs) {
			t.Errorf("%d transactions are open, want %d", one.Open(), len(txs))
		}
		a, b := seal(t, one), seal(t, two)
		if !bytes.Equal(a.Bytes(), b.Bytes()) || one.Open() != 0 {
			t.Fatalf("block %d is another one the second time", n)
		}
		followed, err := follower.Follow(a)
		if err := errors.Join(err, joiner.Join(a, pub())); err != nil {
			t.Fatal(err)
		}
		for i, tx := range followed {
			if id, err := contract.ID(a.Txs[i]); err != nil || tx.ID != id || len(followed) != len(a.Txs) {
				t.Errorf("block %d, transaction %d: followed as %s, %v", n, i, tx.ID.Short(), err)
			}
		}
	}
	for name, p := range map[string]*Producer{"sealed": one, "followed": follower, "joined": joiner} {
		if err := p.Check(pub()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if p.Chain().Root() != one.Chain().Root() || !bytes.Equal(p.Head(), one.Head()) {
			t.Errorf("%s: another chain", name)
		}
	}
}

// TestCloses: what closes a block by itself.
func TestCloses(t *testing.T) {
	validate := func(p *Producer, i int, n uint64) *Valid {
		v, err := p.Validate(checked(t, ledgertest.Tx(t, i, n, strings.Repeat("x", 100))), pub(), none)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	p := producer(t, Options{Txs: 3, Age: 5 * time.Second})
	if p.Full() || p.Ripe(ledgertest.Created.Add(time.Hour)) {
		t.Error("an empty block closes")
	}
	take(t, p, ledgertest.Genesis(t), ledgertest.Tx(t, 0, 1, ""))
	if p.Full() || p.ClosesFor(validate(p, 1, 1)) || !p.Ripe(ledgertest.Created.Add(5*time.Second)) || p.Ripe(ledgertest.Created.Add(4*time.Second)) {
		t.Error("a block of two, one second old")
	}
	take(t, p, ledgertest.Tx(t, 1, 1, ""))
	if !p.Full() {
		t.Error("a block of three of three is not full")
	}
	p = producer(t, Options{Txs: 1 << 12, Age: -1, Bytes: contract.MaxTx})
	take(t, p, ledgertest.Genesis(t))
	for i := 0; !p.ClosesFor(validate(p, i, 1)); i++ {
		if p.open.bytes > contract.MaxTx {
			t.Fatalf("a block of %d bytes", p.open.bytes)
		}
		take(t, p, ledgertest.Tx(t, i, 1, strings.Repeat("x", 100)))
	}
	if p.open.bytes < contract.MaxTx*9/10 || p.Ripe(ledgertest.Created.Add(time.Hour)) {
		t.Errorf("it closes at %d bytes", p.open.bytes)
	}
}

// TestJoin: a block from elsewhere is held against everything.
func TestJoin(t *testing.T) {
	p := producer(t, Options{})
	take(t, p, ledgertest.Genesis(t), ledgertest.Tx(t, 1, 1, "x"))
	good := seal(t, p)
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for name, change := range map[string]func(*ledger.Block) ed25519.PublicKey{
		"state":       func(b *ledger.Block) ed25519.PublicKey { b.Header.State[0] ^= 1; resign(t, b); return pub() },
		"signature":   func(b *ledger.Block) ed25519.PublicKey { b.Signature = make([]byte, 64); return pub() },
		"checkpoint":  func(b *ledger.Block) ed25519.PublicKey { b.Checkpoint = []byte("x"); return pub() },
		"number":      func(b *ledger.Block) ed25519.PublicKey { b.Header.Number++; return pub() },
		"transaction": func(b *ledger.Block) ed25519.PublicKey { b.Txs = b.Txs[:1]; return pub() },
		"key":         func(*ledger.Block) ed25519.PublicKey { return other.Public().(ed25519.PublicKey) },
	} {
		b := *good
		key := change(&b)
		if err := producer(t, Options{}).Join(&b, key); err == nil {
			t.Errorf("%s: joined", name)
		}
	}
	open := producer(t, Options{})
	take(t, open, ledgertest.Genesis(t))
	if err := open.Join(good, pub()); err == nil {
		t.Error("joined over an open block")
	}
}

func resign(t *testing.T, b *ledger.Block) {
	t.Helper()
	var err error
	if b.Signature, err = b.Header.Sign(ledgertest.Master()); err != nil {
		t.Fatal(err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Txs: -1}, {Txs: ledger.MaxBlockTxs + 1}, {Bytes: 1}, {Bytes: ledger.MaxBlockBytes + 1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v: taken", o)
		}
	}
}

// Package ledgertest is the conformance suite of ledger drivers, and a driver in
// memory that passes it.
//
// The suite holds a driver against the words of [ledger.Ledger]: order,
// durability over a reopening, what happens to transactions in doubt, that
// refusals leave no trace, that blocks chain and proofs verify, and that all of
// it may be read while it is written.
package ledgertest

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// Fault is a way in which a commit can fail.
type Fault int

// The faults.
const (
	// FailLost: the commit fails, and nothing was committed.
	FailLost Fault = iota + 1
	// FailKept: the commit fails, and everything was committed.
	FailKept
)

// Place is where a ledger lives on while no driver has it open.
type Place struct {
	// Open opens the ledger in this place with its master's key. The one that
	// was open before is closed.
	Open func(tb testing.TB, master crypto.Signer) ledger.Ledger
	// Fail makes the next commit with something to commit fail. Nil: this
	// place cannot be made to fail.
	Fail func(Fault)
}

// Test runs the suite; place gives a new, empty place each time.
func Test(t *testing.T, place func(testing.TB) Place) {
	tests := []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"Empty", testEmpty},
		{"Order", testOrder},
		{"Reopen", testReopen},
		{"Uncommitted", testUncommitted},
		{"Resubmit", testResubmit},
		{"Rejects", testRejects},
		{"Chain", testChain},
		{"Prove", testProve},
		{"State", testState},
		{"Retention", testRetention},
		{"Members", testMembers},
		{"Cancelled", testCancelled},
		{"ReadWhileWriting", testReadWhileWriting},
		{"FailLost", func(t *testing.T, b *bench) { testFault(t, b, FailLost) }},
		{"FailKept", func(t *testing.T, b *bench) { testFault(t, b, FailKept) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, newBench(t, place(t))) })
	}
}

// Created is when the zone of the suite's transactions was created.
const Created = zone.Time(1_700_000_000_000_000_000)

// Master is the key of the suite's zone. It protects nothing.
func Master() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

// Genesis is the transaction that creates the suite's zone.
func Genesis(tb testing.TB) []byte {
	tb.Helper()
	pub := Master().Public().(ed25519.PublicKey)
	return sign(tb, contract.Tx{Zone: group(), Time: Created, N: 1,
		Body: &contract.ZoneCreated{Name: "test", UseCase: "conformance", Master: [32]byte(pub)}})
}

// Device is the address of the suite's device number i.
func Device(i int) zone.MAC { return zone.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)} }

// Tx makes transaction n of device i, n seconds after the zone was created: that
// it was seen, then that it got a name.
func Tx(tb testing.TB, i int, n uint64, name string) []byte {
	tb.Helper()
	tx := contract.Tx{Zone: group(), Time: Created.Add(time.Duration(n) * time.Second), Device: Device(i), N: n,
		Body: &contract.DeviceRenamed{Name: name}}
	if n == 1 {
		tx.Body = &contract.DeviceSeen{Name: name}
	}
	return sign(tb, tx)
}

func group() zone.Hash {
	return contract.GroupID(Master().Public().(ed25519.PublicKey), Created, "test")
}

func sign(tb testing.TB, tx contract.Tx) []byte {
	tb.Helper()
	raw, err := tx.Sign(Master())
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// bench is an open ledger of one test.
type bench struct {
	place Place
	l     ledger.Ledger
}

func newBench(t *testing.T, p Place) *bench {
	b := &bench{place: p}
	b.open(t)
	t.Cleanup(func() { b.l.Close() })
	return b
}

func (b *bench) open(tb testing.TB) {
	tb.Helper()
	b.l = b.place.Open(tb, Master())
}

func (b *bench) reopen(tb testing.TB) {
	tb.Helper()
	if err := b.l.Close(); err != nil {
		tb.Fatalf("Close: %v", err)
	}
	b.open(tb)
}

func (b *bench) submit(tb testing.TB, txs ...[]byte) {
	tb.Helper()
	for i, tx := range txs {
		if err := b.l.Submit(tb.Context(), tx); err != nil {
			tb.Fatalf("Submit of transaction %d: %v", i, err)
		}
	}
}

func (b *bench) commit(tb testing.TB) {
	tb.Helper()
	if err := b.l.Commit(tb.Context()); err != nil {
		tb.Fatalf("Commit: %v", err)
	}
}

// blocks reads every committed block.
func (b *bench) blocks(tb testing.TB) []*ledger.Block {
	tb.Helper()
	blocks := make([]*ledger.Block, b.l.Height())
	for n := range blocks {
		var err error
		if blocks[n], err = b.l.Block(tb.Context(), uint64(n)); err != nil {
			tb.Fatalf("Block(%d): %v", n, err)
		}
	}
	return blocks
}

// committed gives every committed transaction in order.
func (b *bench) committed(tb testing.TB) (txs [][]byte) {
	tb.Helper()
	for _, block := range b.blocks(tb) {
		txs = append(txs, block.Txs...)
	}
	return txs
}

// want holds what is committed against what should be.
func (b *bench) want(tb testing.TB, want ...[]byte) {
	tb.Helper()
	got := b.committed(tb)
	if len(got) != len(want) {
		tb.Fatalf("%d transactions are committed, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			tb.Fatalf("transaction %d is not the one submitted as number %d", i, i)
		}
	}
}

// refused expects the contract's refusal with that code.
func (b *bench) refused(tb testing.TB, tx []byte, code contract.Code) {
	tb.Helper()
	err := b.l.Submit(tb.Context(), tx)
	if r := (*contract.RejectError)(nil); !errors.As(err, &r) || r.Code != code {
		tb.Errorf("Submit gave %v, want a refusal with code %s", err, code)
	}
}

// some makes a genesis and transactions of three devices, mixed.
func some(tb testing.TB) [][]byte {
	tb.Helper()
	txs := [][]byte{Genesis(tb)}
	for n := range uint64(4) {
		for i := range 3 {
			txs = append(txs, Tx(tb, i, n+1, "device"))
		}
	}
	return txs
}

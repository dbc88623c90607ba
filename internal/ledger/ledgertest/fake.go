package ledgertest

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// Fake is a ledger in memory, with the rules of a real one and faults on
// demand. What was committed lives on over Close and [Fake.Open]; what was not
// is gone. After a failed commit it goes on with what it has.
type Fake struct {
	master crypto.Signer

	mu        sync.Mutex // guards what follows
	blocks    [][]byte
	chain     ledger.Chain
	validator contract.Validator
	state     contract.Memory // after blocks and pending
	pending   [][]byte
	time      zone.Time
	fault     Fault
	closed    bool
}

var _ ledger.Ledger = (*Fake)(nil)

var errInjected = errors.New("injected fault")

// NewFake gives an empty ledger of that master.
func NewFake(master crypto.Signer) *Fake {
	return &Fake{master: master, state: contract.Memory{}}
}

// Open uses the ledger again after Close.
func (f *Fake) Open(tb testing.TB) {
	tb.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = false
	if err := f.rebuild(); err != nil {
		tb.Fatal(err)
	}
}

// Fail makes the next commit with something to commit fail in that way.
func (f *Fake) Fail(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// rebuild drops what is pending.
func (f *Fake) rebuild() error {
	f.chain, f.state, f.pending = ledger.Chain{}, contract.Memory{}, nil
	for _, raw := range f.blocks {
		b, err := ledger.ParseBlock(raw)
		if err != nil {
			return err
		}
		if err := f.chain.Follow(b); err != nil {
			return err
		}
		for _, tx := range b.Txs {
			if _, err := f.validator.Apply(f.state, b.Header.Number, tx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Fake) ready(ctx context.Context) error {
	if f.closed {
		return errors.New("the ledger is closed")
	}
	return ctx.Err()
}

// Submit implements [ledger.Ledger].
func (f *Fake) Submit(ctx context.Context, raw []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(ctx); err != nil {
		return err
	}
	tx, err := f.validator.Apply(f.state, uint64(len(f.blocks)), raw)
	r := (*contract.RejectError)(nil)
	if errors.As(err, &r) && (r.Code == contract.CodeDuplicate || r.Code == contract.CodeOrder) && f.has(tx.ID) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(f.pending) == 0 {
		f.time = tx.Time
	}
	f.time = max(f.time, tx.Time)
	f.pending = append(f.pending, bytes.Clone(raw))
	return nil
}

// has reports whether a transaction is committed or pending.
func (f *Fake) has(id zone.HID) bool {
	txs := f.pending
	for _, raw := range f.blocks {
		if b, err := ledger.ParseBlock(raw); err == nil {
			txs = append(txs[:len(txs):len(txs)], b.Txs...)
		}
	}
	for _, raw := range txs {
		if have, err := contract.ID(raw); err == nil && have == id {
			return true
		}
	}
	return false
}

// Commit implements [ledger.Ledger].
func (f *Fake) Commit(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(ctx); err != nil || len(f.pending) == 0 {
		return err
	}
	fault := f.fault
	f.fault = 0
	if fault == FailLost {
		return errors.Join(fmt.Errorf("%w: %w", ledger.ErrUnknown, errInjected), f.rebuild())
	}
	if err := f.seal(); err != nil {
		return err
	}
	if fault == FailKept {
		return fmt.Errorf("%w: %w", ledger.ErrUnknown, errInjected)
	}
	return nil
}

func (f *Fake) seal() error {
	z, _, err := contract.ReadZone(f.state)
	if err != nil {
		return err
	}
	digest, err := contract.Digest(f.state)
	if err != nil {
		return err
	}
	b, err := f.chain.Seal(f.master, ledger.Content{Zone: z.ID, Txs: f.pending, State: digest, Time: f.time})
	if err != nil {
		return err
	}
	f.blocks, f.pending = append(f.blocks, b.Bytes()), nil
	return nil
}

// Height implements [ledger.Ledger].
func (f *Fake) Height() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return uint64(len(f.blocks))
}

// Block implements [ledger.Ledger].
func (f *Fake) Block(ctx context.Context, n uint64) (*ledger.Block, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(ctx); err != nil {
		return nil, err
	}
	return f.block(n)
}

func (f *Fake) block(n uint64) (*ledger.Block, error) {
	if n >= uint64(len(f.blocks)) {
		return nil, fmt.Errorf("no block %d: the height is %d", n, len(f.blocks))
	}
	return ledger.ParseBlock(f.blocks[n])
}

// State implements [ledger.Ledger].
func (f *Fake) State() ledger.Reader { return fakeState{f} }

type fakeState struct{ f *Fake }

func (s fakeState) Get(key string) ([]byte, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.f.state.Get(key)
}

func (s fakeState) Keys(prefix string) ([]string, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.f.state.Keys(prefix)
}

// Prove implements [ledger.Ledger].
func (f *Fake) Prove(ctx context.Context, block uint64, index uint32) (*ledger.Inclusion, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(ctx); err != nil {
		return nil, err
	}
	newest, err := f.block(uint64(len(f.blocks)) - 1)
	if err != nil {
		return nil, err
	}
	return f.chain.Prove(block, index, newest.Checkpoint, f.block)
}

// Close implements [ledger.Ledger].
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

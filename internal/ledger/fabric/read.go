package fabric

import (
	"context"

	"bellwether/internal/ledger"
)

// Height implements [ledger.Ledger].
func (l *Ledger) Height() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.confirmed.Height()
}

// stored is how many blocks the local copy has: Height, or one more for a moment.
func (l *Ledger) stored() uint64 { return uint64(l.blocks.Len()) }

// Block implements [ledger.Ledger]. It reads the local copy.
func (l *Ledger) Block(ctx context.Context, n uint64) (*ledger.Block, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.block(n)
}

func (l *Ledger) block(n uint64) (*ledger.Block, error) {
	return ledger.ReadBlock(n, l.stored(), l.blocks.Read)
}

// State implements [ledger.Ledger].
func (l *Ledger) State() ledger.Reader { return view{l} }

// view reads the state of a ledger that others write to.
type view struct{ l *Ledger }

func (v view) Get(key string) ([]byte, error) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	return v.l.producer.State().Get(key)
}

func (v view) Keys(prefix string) ([]string, error) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	return v.l.producer.State().Keys(prefix)
}

// Prove implements [ledger.Ledger]. It reads at most 512 blocks of the local copy.
func (l *Ledger) Prove(ctx context.Context, block uint64, index uint32) (*ledger.Inclusion, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.confirmed.Prove(block, index, l.head, func(n uint64) (*ledger.Block, error) { return l.Block(ctx, n) })
}

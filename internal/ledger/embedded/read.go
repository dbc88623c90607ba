package embedded

import (
	"context"
	"errors"
	"iter"
	"path/filepath"

	"bellwether/internal/journal"
	"bellwether/internal/ledger"
)

// Height implements [ledger.Ledger].
func (l *Ledger) Height() uint64 { return uint64(l.journal.Len()) }

// Block implements [ledger.Ledger].
func (l *Ledger) Block(ctx context.Context, n uint64) (*ledger.Block, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.block(n)
}

func (l *Ledger) block(n uint64) (*ledger.Block, error) {
	return ledger.ReadBlock(n, l.Height(), l.journal.Read)
}

// Blocks gives the committed blocks from that number on, up to the newest at the
// time when it gets there. An error is the last yield.
func (l *Ledger) Blocks(from uint64) iter.Seq2[*ledger.Block, error] {
	return func(yield func(*ledger.Block, error) bool) {
		for n := from; n < l.Height(); n++ {
			b, err := l.block(n)
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// Scan gives the blocks of the ledger in dir without opening it: it writes
// nothing and needs no key. It checks checksums and form only; see [Verify]. An
// error is the last yield.
func Scan(dir string) iter.Seq2[*ledger.Block, error] {
	return func(yield func(*ledger.Block, error) bool) {
		for rec, err := range journal.Scan(filepath.Join(dir, fileName), kind) {
			var b *ledger.Block
			if err == nil {
				b, err = ledger.ParseBlock(rec.Payload)
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
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

// Prove implements [ledger.Ledger]. It reads at most 512 blocks.
func (l *Ledger) Prove(ctx context.Context, block uint64, index uint32) (*ledger.Inclusion, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.failed != nil && !errors.Is(l.failed, journal.ErrReadOnly) {
		return nil, l.failed // the chain in memory may be ahead of the file
	}
	return l.producer.Chain().Prove(block, index, l.head, func(n uint64) (*ledger.Block, error) { return l.Block(ctx, n) })
}

package monitor

import (
	"context"
	"fmt"
	"iter"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
)

// Recorded is a transaction and where it stands on the ledger.
type Recorded struct {
	*contract.Signed
	At    ledger.Receipt
	Block *ledger.Block // that it stands in
}

// Transactions gives a ledger's committed transactions in order, from a block
// on. An error names the place and ends it.
func Transactions(ctx context.Context, l ledger.Ledger, from uint64) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		for n := from; n < l.Height(); n++ {
			b, err := l.Block(ctx, n)
			if err != nil {
				yield(Recorded{}, fmt.Errorf("ledger block %d: %w", n, err))
				return
			}
			if !eachTransaction(n, b, yield) {
				return
			}
		}
	}
}

// eachTransaction gives those of block n, and reports whether to go on.
func eachTransaction(n uint64, b *ledger.Block, yield func(Recorded, error) bool) bool {
	for i, raw := range b.Txs {
		tx, err := contract.Parse(raw)
		if err != nil {
			yield(Recorded{}, fmt.Errorf("ledger block %d, transaction %d: %w", n, i, err))
			return false
		}
		if !yield(Recorded{tx, ledger.Receipt{ID: tx.ID, Block: n, Index: uint32(i)}, b}, nil) {
			return false
		}
	}
	return true
}

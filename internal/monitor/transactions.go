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
	return transactions(ctx, l, from, func([]byte) bool { return true })
}

// Records is Transactions without what is said between members and the master,
// which may be a thousand times as many.
func Records(ctx context.Context, l ledger.Ledger, from uint64) iter.Seq2[Recorded, error] {
	return transactions(ctx, l, from, isRecord)
}

func isRecord(raw []byte) bool { return !contract.ByMember(raw) }

func transactions(ctx context.Context, l ledger.Ledger, from uint64, wanted func([]byte) bool) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		for n := from; n < l.Height(); n++ {
			b, err := l.Block(ctx, n)
			if err != nil {
				yield(Recorded{}, fmt.Errorf("ledger block %d: %w", n, err))
				return
			}
			for tx, err := range ofBlock(b, wanted) {
				if !yield(tx, err) || err != nil {
					return
				}
			}
		}
	}
}

// ofBlock gives those of a block. An error ends it.
func ofBlock(b *ledger.Block, wanted func([]byte) bool) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		n := b.Header.Number
		for i, raw := range b.Txs {
			if !wanted(raw) {
				continue
			}
			tx, err := contract.Parse(raw)
			if err != nil {
				yield(Recorded{}, fmt.Errorf("ledger block %d, transaction %d: %w", n, i, err))
				return
			}
			if !yield(Recorded{tx, ledger.Receipt{ID: tx.ID, Block: n, Index: uint32(i)}, b}, nil) {
				return
			}
		}
	}
}

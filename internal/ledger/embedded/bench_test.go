package embedded

import (
	"fmt"
	"testing"

	"bellwether/internal/ledger/ledgertest"
)

// BenchmarkCommit submits and commits renamings of 20 devices; an operation is one
// transaction, signing it not counted.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("block=%d", size), func(b *testing.B) {
			const devices = 20
			txs := [][]byte{}
			for i := range b.N {
				txs = append(txs, ledgertest.Tx(b, i%devices, uint64(i/devices)+1, "name"))
			}
			l := open(b, b.TempDir(), Options{BlockTxs: size, BlockAge: -1})
			submit(b, l, ledgertest.Genesis(b))
			commit(b, l)
			b.ResetTimer()
			submit(b, l, txs...)
			commit(b, l)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
		})
	}
}

// BenchmarkOpen opens, and verifies, 10,000 blocks of 10 transactions.
func BenchmarkOpen(b *testing.B) {
	const blocks, each = 10_000, 10
	dir := b.TempDir()
	l := open(b, dir, Options{BlockTxs: each, BlockAge: -1})
	submit(b, l, ledgertest.Genesis(b))
	for i := range blocks*each - 1 {
		submit(b, l, ledgertest.Tx(b, i%20, uint64(i/20)+1, "name"))
	}
	if l.Height() != blocks {
		b.Fatal(l.Height())
	}
	l.Close()
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			open(b, dir, Options{}).Close()
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if r := verify(b, dir, nil); len(r.Findings) > 0 {
				b.Fatal(r.Findings)
			}
		}
	})
	l = open(b, dir, Options{})
	b.Run("prove", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := l.Prove(b.Context(), uint64(i*7919)%blocks, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package embedded

import (
	"crypto"
	"testing"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/ledgertest"
)

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{"default": {}, "small blocks": {BlockTxs: 3}, "one each": {BlockTxs: 1}} {
		t.Run(name, func(t *testing.T) {
			ledgertest.Test(t, func(tb testing.TB) ledgertest.Place {
				dir := tb.TempDir()
				return ledgertest.Place{Open: func(tb testing.TB, master crypto.Signer) ledger.Ledger {
					tb.Helper()
					l, err := Open(dir, master, o)
					if err != nil {
						tb.Fatal(err)
					}
					return l
				}}
			})
		})
	}
}

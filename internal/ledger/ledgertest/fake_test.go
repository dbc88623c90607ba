package ledgertest

import (
	"crypto"
	"testing"

	"bellwether/internal/ledger"
)

func TestFake(t *testing.T) {
	Test(t, func(testing.TB) Place {
		f := NewFake(Master())
		return Place{
			Open: func(tb testing.TB, _ crypto.Signer) ledger.Ledger {
				f.Open(tb)
				return f
			},
			Fail: f.Fail,
		}
	})
}

package network_test

import (
	"context"
	"testing"
	"time"

	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/networktest"
)

// TestLevel: orderers are level when all have the same blocks, and not while one
// of them is away.
func TestLevel(t *testing.T) {
	t.Parallel()
	o := network.Options{Dir: t.TempDir(), Orderers: network.BFT4}
	n := networktest.Up(t, o)
	level := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return n.Level(ctx)
	}
	if err := level(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := n.Kill("orderer4"); err != nil {
		t.Fatal(err)
	}
	if err := level(3 * time.Second); err == nil {
		t.Error("level with one of them away")
	}
	networktest.Up(t, o)
	if err := level(2 * time.Minute); err != nil {
		t.Error(err)
	}
}

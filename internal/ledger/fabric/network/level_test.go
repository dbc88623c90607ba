package network

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestLevel: orderers are level when all have the same blocks, and not while one
// of them is away.
func TestLevel(t *testing.T) {
	t.Parallel()
	o := Options{Dir: t.TempDir(), Orderers: BFT4}
	n := up(t, o)
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
	if err := level(time.Second); err == nil || !strings.Contains(err.Error(), "orderer4") {
		t.Errorf("with one of them away: %v", err)
	}
	up(t, o)
	if err := level(2 * time.Minute); err != nil {
		t.Error(err)
	}
}

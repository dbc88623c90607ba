package embedded

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/processtest"
)

// writerEnv, when set, makes TestWriter write to the ledger in the directory
// named there until it is killed.
const writerEnv = "BELLWETHER_TEST_LEDGER"

// TestWriter is the process that TestKill kills.
func TestWriter(t *testing.T) {
	dir := os.Getenv(writerEnv)
	if dir == "" {
		t.Skip("runs within TestKill")
	}
	t.Fatal(writeForever(t, dir))
}

// writeForever submits and commits transactions of one device and acknowledges
// the number of each that is committed.
func writeForever(tb testing.TB, dir string) error {
	ctx := tb.Context()
	l, err := Open(dir, ledgertest.Master(), Options{BlockTxs: 5})
	if err != nil {
		return err
	}
	if err := l.Submit(ctx, ledgertest.Genesis(tb)); err != nil {
		return err
	}
	d, _, err := contract.ReadDevice(l.State(), ledgertest.Device(0))
	if err != nil {
		return err
	}
	for n := d.N + 1; ; n++ {
		if err := l.Submit(ctx, ledgertest.Tx(tb, 0, n, fmt.Sprint("name ", n))); err != nil {
			return err
		}
		if n%3 != 0 {
			continue
		}
		if err := l.Commit(ctx); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// TestKill kills a writing process at random moments, again and again on one
// ledger: everything acknowledged is there, and the ledger is sound.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		acked := processtest.Acknowledged(t, processtest.Again(t, writerEnv, dir, "-test.run=^TestWriter$"), time.Duration(rng.IntN(20_000))*time.Microsecond)
		l := open(t, dir, Options{})
		d, _, err := contract.ReadDevice(l.State(), ledgertest.Device(0))
		if err != nil || d.N < acked {
			t.Fatalf("round %d: number %d was acknowledged, the ledger has %d (%v)", round, acked, d.N, err)
		}
		l.Close()
		if r := verify(t, dir, pub()); len(r.Findings) > 0 || r.Txs != d.N+1 {
			t.Fatalf("round %d: %d transactions, number %d; %v", round, r.Txs, d.N, r.Findings)
		}
	}
}

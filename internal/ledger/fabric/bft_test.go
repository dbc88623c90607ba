package fabric

import (
	"testing"
	"time"

	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// TestLeaderDead: of four orderers the first leader may be away, and come back.
func TestLeaderDead(t *testing.T) {
	t.Parallel()
	o := network.Options{Dir: t.TempDir(), Orderers: network.BFT4}
	n := up(t, o)
	l := opened(t, t.TempDir(), ledgertest.Master(), Options{Connection: connection(n, 0), Patience: 2 * time.Minute})
	txs := history(t, 9)
	for i, tx := range txs {
		switch i {
		case 3:
			if err := n.Kill("orderer1"); err != nil {
				t.Fatal(err)
			}
		case 6:
			up(t, o)
			if err := n.Level(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		submit(t, l, tx)
		commit(t, l)
		if took := time.Since(began); i == 3 {
			t.Logf("without the leader the next commit took %s", took.Round(10*time.Millisecond))
		}
	}
	want(t, l, txs...)
	if got := onChannel(t, l); len(got) != len(txs) {
		t.Errorf("the channel has %d valid blocks of the zone, want %d", len(got), len(txs))
	}
}

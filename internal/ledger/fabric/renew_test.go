package fabric

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// TestRenewed: what was left in doubt under a certificate that expired meanwhile,
// which no orderer takes any more, goes to the channel under the new one.
func TestRenewed(t *testing.T) {
	t.Parallel()
	o, dir, short := network.Options{Dir: t.TempDir()}, t.TempDir(), t.TempDir()
	n := up(t, o)
	until := time.Now().Add(20 * time.Second)
	if err := n.Issue(0, "short", short, until); err != nil {
		t.Fatal(err)
	}
	c := connection(n, 0)
	c.Cert, c.Key = filepath.Join(short, "cert.pem"), filepath.Join(short, "key.pem")
	l := opened(t, dir, ledgertest.Master(), Options{Connection: c, Patience: calmPatience})
	txs := history(t, 3)
	submit(t, l, txs[0])
	commit(t, l)
	if err := n.Kill("orderer1"); err != nil {
		t.Fatal(err)
	}
	l.o.Patience = faultPatience
	submit(t, l, txs[1])
	if err := l.Commit(t.Context()); !errors.Is(err, ledger.ErrUnknown) {
		t.Fatalf("without an orderer: %v", err)
	}
	l.Close()
	time.Sleep(time.Until(until) + time.Second)
	up(t, o)
	l = opened(t, dir, ledgertest.Master(), Options{Connection: connection(n, 0), Patience: calmPatience})
	submit(t, l, txs[1:]...)
	commit(t, l)
	want(t, l, txs...)
}

package fabric

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// TestRefusedKeeps: whatever is wrong with the way to the channel, what was
// acknowledged stays byte for byte, the error is one line that says what to do,
// and the ledger goes on when the way is right again.
func TestRefusedKeeps(t *testing.T) {
	t.Parallel()
	o := network.Options{Dir: t.TempDir()}
	n, dir, txs := up(t, o), t.TempDir(), history(t, 4)
	good := connection(n, 0)
	l := opened(t, dir, ledgertest.Master(), Options{Connection: good, Patience: calmPatience})
	for _, tx := range txs[:3] {
		submit(t, l, tx)
		commit(t, l)
	}
	l.Close()
	before := contents(t, dir)
	refused := func(c Connection, says string) {
		t.Helper()
		l, err := Open(t.Context(), dir, ledgertest.Master(), Options{Connection: c, Patience: time.Second})
		if err == nil {
			submit(t, l, txs[3])
			err = errors.Join(l.Commit(t.Context()), l.Close())
		}
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") || errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("got %v, want one line that says %q", err, says)
		}
		if after := contents(t, dir); after != before {
			t.Errorf("after %v the files are others", err)
		}
	}
	for says, change := range map[string]func(*Connection){
		"is fabric.channel right":   func(c *Connection) { c.Channel = "other" },
		"is fabric.chaincode right": func(c *Connection) { c.Chaincode = "other" },
		"is the peer running":       func(c *Connection) { c.Peer = "127.0.0.1:1" },
		"expired at": func(c *Connection) {
			late := t.TempDir()
			if err := n.Issue(0, "late", late, time.Now().Add(-time.Minute)); err != nil {
				t.Fatal(err)
			}
			c.Cert, c.Key = filepath.Join(late, "cert.pem"), filepath.Join(late, "key.pem")
		},
	} {
		c := good
		change(&c)
		refused(c, says)
	}

	if err := n.Kill("chaincode-org1"); err != nil {
		t.Fatal(err)
	}
	refused(good, "the chaincode service does not run")
	up(t, network.Options{Dir: o.Dir, Chaincode: []string{os.Args[0], withOtherRules}})
	refused(good, "run the same version of Bellwether on both sides")
	if err := n.Kill("chaincode-org1"); err != nil {
		t.Fatal(err)
	}
	up(t, o)

	l = opened(t, dir, ledgertest.Master(), Options{Connection: good, Patience: calmPatience})
	submit(t, l, txs[3])
	commit(t, l)
	want(t, l, txs...)
	if got := onChannel(t, l); len(got) != len(txs) {
		t.Errorf("the channel has %d valid blocks of the zone, want %d", len(got), len(txs))
	}
}

// contents are the files of a ledger's directory.
func contents(t *testing.T, dir string) string {
	t.Helper()
	all := ""
	for _, name := range Files() {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all += name + string(raw)
	}
	return all
}

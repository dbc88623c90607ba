package fabric

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/processtest"
)

func submit(t testing.TB, l *Ledger, txs ...[]byte) {
	t.Helper()
	for _, tx := range txs {
		if err := l.Submit(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t testing.TB, l *Ledger) {
	t.Helper()
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// want holds the committed transactions against what should be.
func want(t testing.TB, l *Ledger, txs ...[]byte) {
	t.Helper()
	var got [][]byte
	for n := range l.Height() {
		b, err := l.Block(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Txs...)
	}
	if len(got) != len(txs) {
		t.Fatalf("%d transactions, want %d", len(got), len(txs))
	}
	for i := range txs {
		if !bytes.Equal(got[i], txs[i]) {
			t.Fatalf("transaction %d is another one", i)
		}
	}
}

// history makes a genesis and n-1 transactions of one device.
func history(t testing.TB, n int) [][]byte {
	txs := [][]byte{ledgertest.Genesis(t)}
	for i := 1; i < n; i++ {
		txs = append(txs, ledgertest.Tx(t, 0, uint64(i), fmt.Sprint("name ", i)))
	}
	return txs
}

// TestLostCopy: a directory that was lost, or lost its end or the places, is made
// anew from the channel, byte for byte.
func TestLostCopy(t *testing.T) {
	t.Parallel()
	n, dir := up(t, network.Options{}), t.TempDir()
	o := Options{Connection: connection(n, 0), Patience: calmPatience}
	l := opened(t, dir, ledgertest.Master(), o)
	txs := history(t, 9)
	for _, tx := range txs {
		submit(t, l, tx)
		commit(t, l)
	}
	l.Close()
	read := func(dir, name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	blocks, places := read(dir, blocksFile), read(dir, placesFile)
	check := func(dir string) {
		t.Helper()
		l := opened(t, dir, ledgertest.Master(), o)
		want(t, l, txs...)
		l.Close()
		if !bytes.Equal(read(dir, blocksFile), blocks) || !bytes.Equal(read(dir, placesFile), places) {
			t.Error("the copy made anew is another one")
		}
	}
	check(t.TempDir())
	for name, whole := range map[string][]byte{blocksFile: blocks, placesFile: places} {
		for _, keep := range []int{len(whole) - 1, len(whole) / 2} {
			if err := os.WriteFile(filepath.Join(dir, name), whole[:keep], 0o600); err != nil {
				t.Fatal(err)
			}
			check(dir)
		}
	}
}

// TestAcknowledgedAndLost: an orderer that took a transaction and lost it gets it
// again, and the channel has it once.
func TestAcknowledgedAndLost(t *testing.T) {
	t.Parallel()
	o := network.Options{Dir: t.TempDir()}
	n := up(t, o)
	f := &fault{after: func() {
		if err := n.Kill("orderer1"); err != nil {
			t.Error(err)
		}
	}}
	l := opened(t, t.TempDir(), ledgertest.Master(), Options{Connection: connection(n, 0), Patience: calmPatience, dial: f.options()})
	txs := history(t, 4)
	for i, tx := range txs {
		submit(t, l, tx)
		if i%2 == 1 {
			f.arm()
			done := make(chan error)
			go func() { done <- l.Commit(t.Context()) }()
			f.fired(t)
			up(t, o)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			continue
		}
		commit(t, l)
	}
	want(t, l, txs...)
	if got := onChannel(t, l); len(got) != len(txs) {
		t.Errorf("the channel has %d valid blocks of the zone, want %d", len(got), len(txs))
	}
}

// onChannel reads every valid block of the zone from the channel.
func onChannel(t testing.TB, l *Ledger) (blocks [][]byte) {
	t.Helper()
	height, err := l.client.height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for f, err := range l.client.read(t.Context(), 0, height, calmPatience) {
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, f.arg)
	}
	return blocks
}

// TestTwoWriters: of two directories that write one zone, the one that comes late
// is told, takes over the other's blocks, and goes on behind them.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	o := Options{Connection: connection(up(t, network.Options{}), 0), Patience: calmPatience}
	one, two := opened(t, t.TempDir(), ledgertest.Master(), o), opened(t, t.TempDir(), ledgertest.Master(), o)
	txs := history(t, 5)
	submit(t, one, txs[:2]...)
	commit(t, one)
	submit(t, two, txs[0])
	if err := two.Commit(t.Context()); err == nil || errors.Is(err, ledger.ErrUnknown) || !strings.Contains(err.Error(), "another gateway") {
		t.Fatalf("the second writer's block: %v", err)
	}
	submit(t, two, txs[:4]...)
	commit(t, two)
	want(t, two, txs[:4]...)
	submit(t, one, txs[2])
	if err := one.Commit(t.Context()); err == nil {
		t.Fatal("the first writer's block was taken in the place of the second's")
	}
	submit(t, one, txs...)
	commit(t, one)
	want(t, one, txs...)
	r := (*contract.RejectError)(nil)
	if err := two.Submit(t.Context(), ledgertest.Tx(t, 0, 4, "another")); err != nil {
		t.Fatal(err) // it does not know the first writer's yet
	}
	if err := two.Commit(t.Context()); err == nil {
		t.Fatal("another transaction was taken in the place of one that is there")
	}
	if err := two.Submit(t.Context(), ledgertest.Tx(t, 0, 4, "another")); !errors.As(err, &r) || r.Code != contract.CodeOrder {
		t.Errorf("got %v, want a refusal with code %s", err, contract.CodeOrder)
	}
}

// TestKills kills each node in the middle of commits: every transaction is there
// once, in order, on the channel and in the copy.
func TestKills(t *testing.T) {
	t.Parallel()
	const rounds = 1
	o := network.Options{Dir: t.TempDir()}
	n := up(t, o)
	l := opened(t, t.TempDir(), ledgertest.Master(), Options{Connection: connection(n, 0), Patience: calmPatience})
	txs := history(t, 1+10*3*rounds)
	submit(t, l, txs[0])
	commit(t, l)
	next := 1
	for _, name := range []string{"orderer1", "peer-org1", "chaincode-org1"} {
		worst := time.Duration(0)
		for range rounds {
			done := make(chan error)
			mine := txs[next : next+10]
			next += 10
			began := time.Now()
			go func() { done <- writeEach(t.Context(), l, mine) }()
			time.Sleep(60 * time.Millisecond)
			if err := n.Kill(name); err != nil {
				t.Fatal(err)
			}
			up(t, o)
			if err := <-done; err != nil {
				t.Fatalf("with %s killed: %v", name, err)
			}
			worst = max(worst, time.Since(began))
		}
		t.Logf("%s killed: ten blocks within %s", name, worst.Round(10*time.Millisecond))
	}
	want(t, l, txs...)
	if got := onChannel(t, l); len(got) != int(l.Height()) {
		t.Errorf("the channel has %d valid blocks of the zone, the copy %d", len(got), l.Height())
	}
}

func writeEach(ctx context.Context, l *Ledger, txs [][]byte) error {
	for _, tx := range txs {
		if err := errors.Join(l.Submit(ctx, tx), l.Commit(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// writerEnv, when set, makes TestWriter write to the ledger in the directory
// named there, with the connection behind it, until it is killed.
const writerEnv = "BELLWETHER_TEST_WRITER"

// TestWriter is the process that TestDriverKilled kills.
func TestWriter(t *testing.T) {
	where := strings.Split(os.Getenv(writerEnv), "\n")
	if len(where) != 8 {
		t.Skip("runs within TestDriverKilled")
	}
	c := Connection{Peer: where[1], TLSCA: where[2], MSP: where[3], Cert: where[4], Key: where[5], Channel: where[6], Chaincode: where[7]}
	l, err := Open(t.Context(), where[0], ledgertest.Master(), Options{Connection: c, Patience: calmPatience})
	if err != nil {
		t.Fatal(err)
	}
	submit(t, l, ledgertest.Genesis(t))
	d, _, err := contract.ReadDevice(l.State(), ledgertest.Device(0))
	if err != nil {
		t.Fatal(err)
	}
	for n := d.N + 1; ; n++ {
		submit(t, l, ledgertest.Tx(t, 0, n, fmt.Sprint("name ", n)))
		if n%2 == 0 {
			continue
		}
		commit(t, l)
		fmt.Println(n)
	}
}

// TestDriverKilled kills a writing process again and again: everything it
// acknowledged is there, once.
func TestDriverKilled(t *testing.T) {
	t.Parallel()
	n, dir := up(t, network.Options{}), t.TempDir()
	c := connection(n, 0)
	for round := range 5 {
		cmd := processtest.Again(t, writerEnv, strings.Join([]string{dir, c.Peer, c.TLSCA, c.MSP, c.Cert, c.Key, c.Channel, c.Chaincode}, "\n"), "-test.run=^TestWriter$")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		acked := processtest.Acknowledged(t, cmd, time.Duration(150+70*round)*time.Millisecond)
		l := opened(t, dir, ledgertest.Master(), Options{Connection: c, Patience: calmPatience})
		d, _, err := contract.ReadDevice(l.State(), ledgertest.Device(0))
		if err != nil || d.N < acked {
			t.Fatalf("round %d: number %d was acknowledged, the ledger has %d (%v)", round, acked, d.N, err)
		}
		want(t, l, history(t, int(d.N)+1)...)
		if got := onChannel(t, l); len(got) != int(l.Height()) {
			t.Fatalf("round %d: the channel has %d blocks, the copy %d", round, len(got), l.Height())
		}
		l.Close()
	}
}

// TestOtherKey: a directory and a channel belong to one master.
func TestOtherKey(t *testing.T) {
	t.Parallel()
	o := Options{Connection: connection(up(t, network.Options{}), 0), Patience: calmPatience}
	dir := t.TempDir()
	l := opened(t, dir, ledgertest.Master(), o)
	submit(t, l, ledgertest.Genesis(t))
	commit(t, l)
	l.Close()
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for _, dir := range []string{dir, t.TempDir()} {
		if _, err := Open(t.Context(), dir, other, o); err == nil || !strings.Contains(err.Error(), "key of another zone") {
			t.Errorf("with another key: %v", err)
		}
	}
}

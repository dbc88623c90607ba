package embedded

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/zone"
)

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{"default": {}, "small blocks": {BlockTxs: 3}, "one each": {BlockTxs: 1}} {
		t.Run(name, func(t *testing.T) {
			ledgertest.Test(t, func(tb testing.TB) ledgertest.Place {
				dir := tb.TempDir()
				return ledgertest.Place{Open: func(tb testing.TB, master crypto.Signer) ledger.Ledger {
					tb.Helper()
					return open(tb, dir, o)
				}}
			})
		})
	}
}

func open(tb testing.TB, dir string, o Options) *Ledger {
	tb.Helper()
	l, err := Open(dir, ledgertest.Master(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

func pub() ed25519.PublicKey { return ledgertest.Master().Public().(ed25519.PublicKey) }

// history makes n transactions: the zone, then of four devices in turn.
func history(tb testing.TB, n int) [][]byte {
	tb.Helper()
	txs := [][]byte{ledgertest.Genesis(tb)}
	for i := 0; len(txs) < n; i++ {
		txs = append(txs, ledgertest.Tx(tb, i%4, uint64(i/4)+1, fmt.Sprint("name ", i)))
	}
	return txs
}

func submit(tb testing.TB, l *Ledger, txs ...[]byte) {
	tb.Helper()
	for i, tx := range txs {
		if err := l.Submit(tb.Context(), tx); err != nil {
			tb.Fatalf("transaction %d: %v", i, err)
		}
	}
}

func commit(tb testing.TB, l *Ledger) {
	tb.Helper()
	if err := l.Commit(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// written makes a closed ledger of n transactions in blocks of ten.
func written(tb testing.TB, n int) (dir string, file []byte) {
	tb.Helper()
	dir = tb.TempDir()
	l := open(tb, dir, Options{BlockTxs: 10, BlockAge: -1})
	submit(tb, l, history(tb, n)...)
	commit(tb, l)
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		tb.Fatal(err)
	}
	return dir, file
}

// sizes gives the number of transactions in each block.
func sizes(tb testing.TB, l *Ledger) (n []int) {
	tb.Helper()
	for b, err := range l.Blocks(0) {
		if err != nil {
			tb.Fatal(err)
		}
		n = append(n, len(b.Txs))
	}
	return n
}

// TestClosing: one transaction each second.
func TestClosing(t *testing.T) {
	txs := [][]byte{ledgertest.Genesis(t)}
	for n := range uint64(12) {
		txs = append(txs, ledgertest.Tx(t, 0, n+1, "x")) // n+1 seconds after the zone
	}
	tests := []struct {
		name string
		o    Options
		want []int // blocks before the last commit
	}{
		{"default age", Options{}, []int{10}},
		{"by number", Options{BlockTxs: 4}, []int{4, 4, 4}},
		{"by age", Options{BlockAge: 3 * time.Second}, []int{3, 3, 3, 3}},
		{"never by age", Options{BlockAge: -1}, nil},
		{"age between", Options{BlockAge: 2500 * time.Millisecond}, []int{3, 3, 3, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := open(t, t.TempDir(), tt.o)
			submit(t, l, txs...)
			if got := sizes(t, l); !slices.Equal(got, tt.want) {
				t.Errorf("blocks of %v transactions, want %v", got, tt.want)
			}
		})
	}
}

func TestTick(t *testing.T) {
	l := open(t, t.TempDir(), Options{BlockAge: 5 * time.Second})
	now := ledgertest.Created
	for _, tt := range []struct {
		after time.Duration
		want  uint64
	}{{4 * time.Second, 0}, {5 * time.Second, 1}, {time.Hour, 1}} {
		if tt.want == 0 {
			submit(t, l, ledgertest.Genesis(t))
		}
		if err := l.Tick(now.Add(tt.after)); err != nil || l.Height() != tt.want {
			t.Errorf("after %s: height %d, %v; want %d", tt.after, l.Height(), err, tt.want)
		}
	}
}

// TestRejectClosesNoBlock: a refused transaction of late time leaves the open
// block open.
func TestRejectClosesNoBlock(t *testing.T) {
	l := open(t, t.TempDir(), Options{BlockAge: time.Second})
	submit(t, l, ledgertest.Genesis(t))
	late := ledgertest.Tx(t, 0, 50, "out of order, 50 s later")
	if err := l.Submit(t.Context(), late); err == nil {
		t.Fatal("taken")
	}
	if l.Height() != 0 {
		t.Error("the refused transaction closed a block")
	}
}

// TestSameBytes: the same transactions, key and options give the same file,
// with a reopening in between or not.
func TestSameBytes(t *testing.T) {
	_, want := written(t, 57)
	dir := t.TempDir()
	txs := history(t, 57)
	for i := 0; i < len(txs); i += 20 {
		l := open(t, dir, Options{BlockTxs: 10, BlockAge: -1})
		submit(t, l, txs[i:min(i+20, len(txs))]...)
		commit(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("files of %d and %d bytes differ (%v)", len(got), len(want), err)
	}
}

// TestReopenState: the state folded at opening is, byte for byte, the one that
// submitting led to.
func TestReopenState(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{BlockTxs: 7})
	submit(t, l, history(t, 100)...)
	commit(t, l)
	before := contents(t, l)
	root := l.producer.Chain().Root()
	l.Close()
	l = open(t, dir, Options{})
	after := contents(t, l)
	if !maps.EqualFunc(before, after, bytes.Equal) || l.producer.Chain().Root() != root || len(before) != 5 {
		t.Errorf("%d keys before, %d after", len(before), len(after))
	}
}

// contents copies the state.
func contents(tb testing.TB, l *Ledger) map[string][]byte {
	tb.Helper()
	keys, err := l.State().Keys("")
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string][]byte{}
	for _, key := range keys {
		if all[key], err = l.State().Get(key); err != nil {
			tb.Fatal(err)
		}
	}
	return all
}

func TestOpenRefuses(t *testing.T) {
	dir, file := written(t, 30)
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() error{
		"another key": func() error { _, err := Open(dir, other, Options{}); return err },
		"RSA":         func() error { _, err := Open(dir, rsaKey, Options{}); return err },
		"block size":  func() error { _, err := Open(dir, other, Options{BlockTxs: -1}); return err },
		"block large": func() error { _, err := Open(dir, other, Options{BlockTxs: ledger.MaxBlockTxs + 1}); return err },
		"a file":      func() error { _, err := Open(filepath.Join(dir, fileName), other, Options{}); return err },
	} {
		if try() == nil {
			t.Errorf("%s: opened", name)
		}
	}
	file[len(file)/2] ^= 1
	if err := os.WriteFile(filepath.Join(dir, fileName), file, 0o600); err != nil {
		t.Fatal(err)
	}
	damage := (*journal.DamageError)(nil)
	if _, err := Open(dir, ledgertest.Master(), Options{}); !errors.As(err, &damage) {
		t.Errorf("damaged: %v", err)
	}
}

func TestOnlyOwnZone(t *testing.T) {
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	l, err := Open(t.TempDir(), other, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reject := (*contract.RejectError)(nil)
	if err := l.Submit(t.Context(), ledgertest.Genesis(t)); !errors.As(err, &reject) || reject.Code != contract.CodeAuthority {
		t.Errorf("got %v", err)
	}
}

// broken is a signer that stops signing.
type broken struct {
	ed25519.PrivateKey
	stop *bool
}

func (b broken) Sign(r io.Reader, m []byte, o crypto.SignerOpts) ([]byte, error) {
	if *b.stop {
		return nil, io.ErrUnexpectedEOF
	}
	return b.PrivateKey.Sign(r, m, o)
}

// TestFailureSticks: once a block could not be written, nothing is taken any
// more, and a ledger opened anew goes on.
func TestFailureSticks(t *testing.T) {
	faults := map[string]func(*Ledger, *bool){
		"signer": func(_ *Ledger, stop *bool) { *stop = true },
		"disk":   func(l *Ledger, _ *bool) { l.journal.Close() },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			dir, stop := t.TempDir(), false
			l, err := Open(dir, broken{ledgertest.Master(), &stop}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			txs := history(t, 20)
			submit(t, l, txs[:10]...)
			commit(t, l)
			submit(t, l, txs[10:15]...)
			fault(l, &stop)
			first := l.Commit(t.Context())
			if first == nil || errors.Is(first, ledger.ErrUnknown) != (name == "disk") {
				t.Fatalf("Commit: %v", first)
			}
			stop = false
			again := []error{l.Commit(t.Context()), l.Submit(t.Context(), txs[15]), l.Tick(ledgertest.Created.Add(time.Hour))}
			for _, err := range again {
				if err != first {
					t.Errorf("after the failure: %v, want %v", err, first)
				}
			}
			if _, err := l.Prove(t.Context(), 0, 0); err == nil {
				t.Error("proved from a chain that is ahead of the file")
			}
			l.Close()
			l = open(t, dir, Options{})
			submit(t, l, txs...)
			commit(t, l)
			if got := sizes(t, l); !slices.Equal(got, []int{10, 10}) {
				t.Errorf("blocks of %v", got)
			}
		})
	}
}

func TestScanNeedsNoKey(t *testing.T) {
	dir, _ := written(t, 35)
	txs := 0
	for b, err := range Scan(dir) {
		if err != nil {
			t.Fatal(err)
		}
		txs += len(b.Txs)
	}
	if txs != 35 {
		t.Errorf("%d transactions, want 35", txs)
	}
	for b, err := range Scan(t.TempDir()) {
		if b != nil || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("of nothing: %v, %v", b, err)
		}
	}
}

func TestClosed(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	submit(t, l, ledgertest.Genesis(t))
	commit(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, blockErr := l.Block(t.Context(), 0)
	for _, err := range []error{l.Submit(t.Context(), nil), l.Commit(t.Context()), blockErr} {
		if err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestProveCancelled(t *testing.T) {
	l := open(t, t.TempDir(), Options{BlockTxs: 1})
	submit(t, l, history(t, 5)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Prove(ctx, 1, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestLongChain proves transactions over the edges of the tree's tiles.
func TestLongChain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{BlockTxs: 1})
	txs := history(t, 700)
	submit(t, l, txs...)
	for _, reopened := range []bool{false, true} {
		if reopened {
			l.Close()
			l = open(t, dir, Options{})
		}
		for _, n := range []uint64{0, 1, 255, 256, 511, 512, 600, 699} {
			in, err := l.Prove(t.Context(), n, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := in.Verify(txs[n], pub()); err != nil {
				t.Errorf("block %d: %v", n, err)
			}
		}
	}
}

// TestTimeRunsBack: a transaction older than the block's first stays in it, and
// the header has the newest time.
func TestTimeRunsBack(t *testing.T) {
	l := open(t, t.TempDir(), Options{BlockAge: 3 * time.Second})
	txs := [][]byte{ledgertest.Genesis(t), ledgertest.Tx(t, 0, 1, "x"), ledgertest.Tx(t, 0, 2, "x"), ledgertest.Tx(t, 1, 1, "x")}
	submit(t, l, txs...)
	commit(t, l)
	b, err := l.Block(t.Context(), 0)
	if err != nil || len(b.Txs) != 4 || b.Header.Time != ledgertest.Created+zone.Time(2*time.Second) {
		t.Errorf("%d transactions, time %s, %v", len(b.Txs), b.Header.Time, err)
	}
}

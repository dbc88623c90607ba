package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/ledgertest"
)

// slow is a ledger that takes a write for each word it gets, or all that come.
type slow struct {
	*ledgertest.Fake
	word  chan struct{} // closed: take all
	wrote int
}

func (s *slow) Submit(ctx context.Context, tx []byte) error {
	<-s.word
	s.wrote++
	return s.Fake.Submit(ctx, tx)
}

func (s *slow) Commit(ctx context.Context) error {
	<-s.word
	s.wrote++
	return s.Fake.Commit(ctx)
}

// started gives a writer to a ledger that is away.
func started(t *testing.T) (*writer, *slow) {
	s := &slow{Fake: ledgertest.NewFake(ledgertest.Master()), word: make(chan struct{})}
	w, done := newWriter(s), make(chan struct{})
	go func() { w.Run(); close(done) }()
	t.Cleanup(func() { w.end(); <-done })
	return w, s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// While the ledger is away nobody waits for it; when it is back, blocks and order are
// those that were asked for.
func TestWriterGoesOn(t *testing.T) {
	w, s := started(t)
	txs := [][]byte{ledgertest.Genesis(t)}
	must(t, w.Submit(t.Context(), txs[0]))
	must(t, w.Soon(t.Context()))
	for i := range 10 {
		txs = append(txs, ledgertest.Tx(t, 0, uint64(i+1), fmt.Sprint("name ", i)))
		must(t, w.Submit(t.Context(), txs[i+1]))
		if i%5 == 4 {
			must(t, w.Soon(t.Context()))
		}
	}
	if err := w.settle(); err != nil || w.Height() != 0 || len(w.late) != 14 {
		t.Errorf("height %d, %d writes are late: %v", w.Height(), len(w.late), err)
	}
	close(s.word)
	must(t, w.Commit(t.Context()))
	var got []int
	for n := range w.Height() {
		b, err := w.Block(t.Context(), n)
		must(t, err)
		for i, tx := range b.Txs {
			if string(tx) != string(txs[i]) {
				t.Errorf("block %d, transaction %d is another one", n, i)
			}
		}
		txs, got = txs[len(b.Txs):], append(got, len(b.Txs))
	}
	if !slices.Equal(got, []int{1, 5, 5}) || len(w.late) != 0 {
		t.Errorf("blocks of %v transactions, %d writes are late", got, len(w.late))
	}
	<-w.news // the packet loop looks what was committed
}

// A refusal goes to who submitted what was refused, and the next is taken.
func TestWriterRefusal(t *testing.T) {
	w, s := started(t)
	close(s.word)
	must(t, w.Submit(t.Context(), ledgertest.Genesis(t)))
	var refused *contract.RejectError
	if err := w.Submit(t.Context(), ledgertest.Tx(t, 0, 5, "too early")); !errors.As(err, &refused) {
		t.Errorf("got %v, want a refusal", err)
	}
	must(t, w.Submit(t.Context(), ledgertest.Tx(t, 0, 1, "first")))
	must(t, w.Commit(t.Context()))
	if w.Height() != 1 {
		t.Errorf("height %d", w.Height())
	}
}

// A refusal that comes late is not that of what is handed in then: it ends the run.
func TestWriterLateRefusal(t *testing.T) {
	w, s := started(t)
	must(t, w.Submit(t.Context(), ledgertest.Genesis(t)))
	must(t, w.Submit(t.Context(), ledgertest.Tx(t, 0, 5, "too early")))
	close(s.word)
	err := w.Commit(t.Context())
	if refused := (*contract.RejectError)(nil); err == nil || errors.As(err, &refused) {
		t.Errorf("got %v, want the failure of what was handed in before", err)
	}
}

// After a failure nothing more is written, whoever asks.
func TestWriterFailure(t *testing.T) {
	w, s := started(t)
	s.Fail(ledgertest.FailLost)
	must(t, w.Submit(t.Context(), ledgertest.Genesis(t)))
	must(t, w.Soon(t.Context()))
	must(t, w.Submit(t.Context(), ledgertest.Tx(t, 0, 1, "first")))
	close(s.word)
	for w.settle() == nil {
		<-w.news
	}
	for name, err := range map[string]error{"settle": w.settle(), "Submit": w.Submit(t.Context(), ledgertest.Genesis(t)), "Soon": w.Soon(t.Context()), "Commit": w.Commit(t.Context())} {
		if !errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("%s gives %v after the failure", name, err)
		}
	}
	if s.wrote != 2 || w.Height() != 0 {
		t.Errorf("the ledger got %d writes, want 2; height %d", s.wrote, w.Height())
	}
}

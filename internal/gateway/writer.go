package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
)

// Bounds of a live gateway's writes to the ledger: how long one may take before
// packets are taken again meanwhile, and how many may wait before they are not.
const (
	writeGrace = 250 * time.Millisecond
	writeQueue = 1024
)

// writer has a goroutine write to a ledger, in order, so that packets are taken
// while the ledger is away. Submit and Soon wait a moment: after that, nil says
// that nothing has failed so far, and a later call gives what did. Commit waits as
// the ledger's own does, also for what came before it. After a failure nothing
// more is written.
//
// One goroutine calls what writes. Reading goes to the ledger itself.
type writer struct {
	ledger.Ledger
	queue  chan write
	news   chan struct{} // holds one when a write was done
	late   []chan error  // of the writes that nobody waits for, the oldest first
	failed error         // of one of them
	full   uint64        // how often the queue had no room
}

// write is a transaction to submit or, without one, a commit.
type write struct {
	ctx    context.Context
	tx     []byte
	answer chan error // has room for one
}

func newWriter(l ledger.Ledger) *writer {
	return &writer{Ledger: l, queue: make(chan write, writeQueue), news: make(chan struct{}, 1)}
}

// Run writes until end is called.
func (w *writer) Run() {
	var failed error
	for x := range w.queue {
		err := failed
		switch {
		case failed != nil:
		case x.tx == nil:
			err = w.Ledger.Commit(x.ctx)
		default:
			err = w.Ledger.Submit(x.ctx, x.tx)
		}
		var refused *contract.RejectError
		if !errors.As(err, &refused) {
			failed = err
		}
		x.answer <- err
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}

// end lets Run return when all is written. Nothing is written after it.
func (w *writer) end() { close(w.queue) }

// Submit implements [ledger.Ledger] but that it may be late.
func (w *writer) Submit(ctx context.Context, tx []byte) error {
	return w.do(write{ctx: ctx, tx: bytes.Clone(tx)}, time.After(writeGrace))
}

// Commit implements [ledger.Ledger].
func (w *writer) Commit(ctx context.Context) error {
	for len(w.late) > 0 && w.failed == nil {
		w.failed = belated(<-w.late[0])
		w.late = w.late[1:]
	}
	return w.do(write{ctx: ctx}, nil)
}

// Soon is a Commit that may be late.
func (w *writer) Soon(ctx context.Context) error {
	return w.do(write{ctx: ctx}, time.After(writeGrace))
}

// settle gives what failed of the writes that nobody waited for.
func (w *writer) settle() error {
	for len(w.late) > 0 && w.failed == nil {
		select {
		case err := <-w.late[0]:
			w.failed, w.late = belated(err), w.late[1:]
		default:
			return nil
		}
	}
	return w.failed
}

// belated keeps a late refusal from passing for that of the transaction that is
// handed in now.
func belated(err error) error {
	if refused := (*contract.RejectError)(nil); errors.As(err, &refused) {
		return fmt.Errorf("what was handed in before was refused: %s", refused)
	}
	return err
}

// do waits for the answer to a write, until it is late; not at all while others are.
func (w *writer) do(x write, late <-chan time.Time) error {
	if err := w.settle(); err != nil {
		return err
	}
	x.answer = make(chan error, 1)
	select {
	case w.queue <- x:
	default:
		w.full++
		w.queue <- x
	}
	if len(w.late) == 0 {
		select {
		case err := <-x.answer:
			return err
		case <-late:
		}
	}
	w.late = append(w.late, x.answer)
	return nil
}

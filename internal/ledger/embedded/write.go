package embedded

import (
	"context"
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// Submit implements [ledger.Ledger]. The refusals are [*contract.RejectError].
// After any other error the ledger takes nothing more until it is opened anew.
func (l *Ledger) Submit(ctx context.Context, raw []byte) error {
	if err := l.writable(ctx); err != nil {
		return err
	}
	c, err := contract.Check(raw)
	if err != nil {
		return err
	}
	return l.SubmitChecked(ctx, c)
}

// writable says why nothing can be written.
func (l *Ledger) writable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failed
}

// SubmitChecked is Submit of what was checked before, by others at the same time.
func (l *Ledger) SubmitChecked(ctx context.Context, c *contract.Checked) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	next, err := l.producer.Validate(c, l.signer.Public(), l.block)
	if r := (*contract.RejectError)(nil); errors.As(err, &r) {
		return err
	}
	if err != nil {
		return l.fail(err)
	}
	if next == nil {
		return nil // it is there already
	}
	if l.producer.ClosesFor(next) {
		if err := l.seal(); err != nil {
			return err
		}
	}
	if err := l.producer.Take(next); err != nil {
		return l.fail(err)
	}
	if l.producer.Full() {
		return l.seal()
	}
	return nil
}

// Commit implements [ledger.Ledger].
func (l *Ledger) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seal()
}

// Tick closes the open block if it is old enough at that time, as a transaction
// would; a gateway calls it when no transaction comes.
func (l *Ledger) Tick(now zone.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.producer.Ripe(now) {
		return l.failed
	}
	return l.seal()
}

// seal makes the open block the newest of the chain, durably. The caller holds
// the lock.
func (l *Ledger) seal() error {
	if l.failed != nil || l.producer.Open() == 0 {
		return l.failed
	}
	b, err := l.producer.Seal(l.signer)
	if err != nil {
		return l.fail(err)
	}
	if err := l.journal.Append(b.Bytes()); err != nil {
		return l.fail(fmt.Errorf("%w: %w", ledger.ErrUnknown, err))
	}
	l.head = b.Checkpoint
	return nil
}

// fail ends all writing: memory may be ahead of the file from here on.
func (l *Ledger) fail(err error) error {
	l.failed = fmt.Errorf("ledger: %w; open it anew", err)
	return l.failed
}

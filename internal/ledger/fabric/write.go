package fabric

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/producer"
	"bellwether/internal/zone"
)

// Submit implements [ledger.Ledger]. The refusals are [*contract.RejectError].
// It waits while a block is on its way to the channel.
func (l *Ledger) Submit(ctx context.Context, raw []byte) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.end()
	c, err := contract.Check(raw)
	if err != nil {
		return err
	}
	return l.submit(ctx, c)
}

// SubmitChecked is Submit of what was checked before, by others at the same time.
func (l *Ledger) SubmitChecked(ctx context.Context, c *contract.Checked) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.end()
	return l.submit(ctx, c)
}

// submit is for the holder of the turn.
func (l *Ledger) submit(ctx context.Context, c *contract.Checked) error {
	next, err := l.validate(c)
	if err != nil || next == nil {
		return err
	}
	if l.producer.ClosesFor(next) {
		if err := l.order(ctx); err != nil {
			return err
		}
	}
	l.mu.Lock()
	err = l.producer.Take(next)
	l.mu.Unlock()
	if err != nil {
		return l.fail(err)
	}
	if l.producer.Full() {
		return l.order(ctx)
	}
	return nil
}

// validate reads what only the holder of the turn changes.
func (l *Ledger) validate(c *contract.Checked) (*producer.Valid, error) {
	next, err := l.producer.Validate(c, l.signer.Public(), l.block)
	if r := (*contract.RejectError)(nil); err != nil && !errors.As(err, &r) {
		return nil, l.fail(err)
	}
	return next, err
}

// Commit implements [ledger.Ledger].
func (l *Ledger) Commit(ctx context.Context) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.end()
	return l.order(ctx)
}

// Tick closes the open block if it is old enough at that time, as a transaction
// would.
func (l *Ledger) Tick(ctx context.Context, now zone.Time) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.end()
	if !l.producer.Ripe(now) {
		return nil
	}
	return l.order(ctx)
}

// fail has memory built anew before the next write.
func (l *Ledger) fail(err error) error {
	l.stale = err
	return fmt.Errorf("ledger: %w", err)
}

// order closes the open block and returns when it counts.
func (l *Ledger) order(ctx context.Context) error {
	if l.producer.Open() == 0 {
		return nil
	}
	l.mu.Lock()
	b, err := l.producer.Seal(l.signer)
	l.mu.Unlock()
	if err != nil {
		return l.fail(err)
	}
	if err := l.client.valid(l.o, time.Now()); err != nil {
		return l.fail(err)
	}
	out, err := l.endorse(ctx, chaincode.FunctionAppend, b.Header.Number, b.Bytes())
	if err != nil {
		return l.fail(fmt.Errorf("block %d was not endorsed: %w", b.Header.Number, err))
	}
	if err := out.write(filepath.Join(l.dir, outboxFile)); err != nil {
		return l.fail(err)
	}
	at, err := l.settle(ctx, out)
	if err != nil {
		return l.fail(fmt.Errorf("block %d: %w", b.Header.Number, err))
	}
	return l.confirm(b, at)
}

// confirm makes a block count that the channel has.
func (l *Ledger) confirm(b *ledger.Block, at place) error {
	if err := l.blocks.Append(b.Bytes()); err != nil {
		return l.fail(fmt.Errorf("%w: %w", ledger.ErrUnknown, err))
	}
	// A crash here: the next catch-up finds the block there again, and notes its place.
	if err := l.note(b.Header.Number, at); err != nil {
		return l.fail(fmt.Errorf("%w: %w", ledger.ErrUnknown, err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.confirmed.Follow(b); err != nil {
		return l.fail(err)
	}
	l.head = b.Checkpoint
	return nil
}

// The waits between attempts.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// pauses waits longer each time.
type pauses struct{ next time.Duration }

func (p *pauses) wait(ctx context.Context) error {
	p.next = min(max(2*p.next, firstPause), lastPause)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(p.next):
		return nil
	}
}

// endorse has the channel's peers endorse a call for block n. Until it returns there is
// nothing that could be committed, so it may be tried as often as it takes.
func (l *Ledger) endorse(ctx context.Context, function string, n uint64, arg []byte) (*outbox, error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Patience)
	defer cancel()
	for p := (pauses{}); ; {
		out, err := l.client.endorse(ctx, function, n, arg)
		if err == nil || !transient(err) {
			return out, err
		}
		if p.wait(ctx) != nil {
			return nil, err
		}
	}
}

// InvalidError says that the channel ordered a transaction and found it invalid:
// it is there, without effect, and will never have one.
type InvalidError struct{ Code string }

func (e *InvalidError) Error() string {
	hint := ""
	if e.Code == "MVCC_READ_CONFLICT" {
		hint = "; does another gateway write to this zone?"
	}
	return "the channel's peers found it invalid: " + e.Code + hint
}

// settle submits a transaction until it is known what became of it.
func (l *Ledger) settle(ctx context.Context, out *outbox) (place, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*l.o.Patience)
	defer cancel()
	for p := (pauses{}); ; {
		at, known, err := l.client.submit(ctx, out)
		if !known {
			if found, there, lookErr := l.client.lookUp(ctx, out); lookErr == nil && there {
				at, known, err = found.at, true, found.err()
			}
		}
		if known {
			return at, err
		}
		l.o.Log.Debug("submitting the same bytes again", "block", out.Block, "because", err)
		if p.wait(ctx) != nil {
			return place{}, fmt.Errorf("%w: %w", ledger.ErrUnknown, err)
		}
	}
}

package embedded

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// pending is the block that is still open.
type pending struct {
	txs    [][]byte
	bytes  int
	first  zone.Time // of its first transaction
	newest zone.Time // of all of them
}

func (p *pending) add(raw []byte, at zone.Time) {
	if len(p.txs) == 0 {
		p.first, p.newest = at, at
	}
	p.newest = max(p.newest, at)
	p.txs = append(p.txs, bytes.Clone(raw))
	p.bytes += len(raw)
}

// ripe reports whether a transaction at that time comes too late for the block.
func (l *Ledger) ripe(at zone.Time) bool {
	return len(l.pending.txs) > 0 && l.o.BlockAge > 0 && at.Sub(l.pending.first) >= l.o.BlockAge
}

// staged is the state with one transaction that may yet come to nothing.
type staged struct {
	contract.Memory
	key   string
	value []byte
}

// Put keeps the one key that a transaction writes.
func (s *staged) Put(key string, value []byte) error {
	s.key, s.value = key, value
	return nil
}

// Submit implements [ledger.Ledger]. The refusals are [*contract.RejectError].
// After any other error the ledger takes nothing more until it is opened anew.
func (l *Ledger) Submit(ctx context.Context, raw []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	next := staged{Memory: l.state}
	tx, err := contract.Apply(&next, raw)
	if err != nil {
		return l.known(tx, err)
	}
	if err := l.ours(tx); err != nil {
		return err
	}
	if l.ripe(tx.Time) || l.pending.bytes+len(raw) > ledger.MaxBlockBytes {
		if err := l.seal(); err != nil {
			return err
		}
	}
	if err := l.state.Put(next.key, next.value); err != nil {
		return l.fail(err)
	}
	l.pending.add(raw, tx.Time)
	if len(l.pending.txs) >= l.o.BlockTxs {
		return l.seal()
	}
	return nil
}

// ours refuses to create a zone whose blocks this ledger cannot sign.
func (l *Ledger) ours(tx *contract.Signed) error {
	if tx.Kind == contract.KindZoneCreated && !tx.Key.Equal(l.signer.Public()) {
		return &contract.RejectError{Code: contract.CodeAuthority, Reason: "the zone's master is not the key of this ledger"}
	}
	return nil
}

// known turns the refusal of a transaction that is on the ledger already into
// its acknowledgement.
func (l *Ledger) known(tx *contract.Signed, err error) error {
	r := (*contract.RejectError)(nil)
	if !errors.As(err, &r) {
		return l.fail(err)
	}
	switch r.Code {
	case contract.CodeDuplicate:
		return nil
	case contract.CodeOrder:
		return l.search(tx, err)
	}
	return err
}

// search looks, from the newest transaction back, for the one that has tx's
// subject and number. It gives nil if that is tx itself, and else the refusal.
func (l *Ledger) search(tx *contract.Signed, refusal error) error {
	if found, same := searchIn(l.pending.txs, tx); found {
		return orNil(same, refusal)
	}
	for n := l.chain.Height(); n > 0; n-- {
		b, err := l.block(n - 1)
		if err != nil {
			return l.fail(err)
		}
		if found, same := searchIn(b.Txs, tx); found {
			return orNil(same, refusal)
		}
	}
	return refusal
}

func orNil(same bool, refusal error) error {
	if same {
		return nil
	}
	return refusal
}

// searchIn ends the search as soon as the subject has a number that is not
// above tx's.
func searchIn(txs [][]byte, tx *contract.Signed) (found, same bool) {
	for i := len(txs) - 1; i >= 0; i-- {
		have, err := contract.Parse(txs[i])
		if err == nil && have.Device == tx.Device && have.N <= tx.N {
			return true, have.ID == tx.ID
		}
	}
	return false, false
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
	if !l.ripe(now) {
		return l.failed
	}
	return l.seal()
}

// seal makes the open block the newest of the chain, durably. The caller holds
// the lock.
func (l *Ledger) seal() error {
	if l.failed != nil || len(l.pending.txs) == 0 {
		return l.failed
	}
	content, err := l.content()
	if err != nil {
		return l.fail(err)
	}
	b, err := l.chain.Seal(l.signer, content)
	if err != nil {
		return l.fail(err)
	}
	if err := b.Header.Verify(l.signer.Public().(ed25519.PublicKey), b.Signature); err != nil {
		return l.fail(err)
	}
	if err := l.journal.Append(b.Bytes()); err != nil {
		return l.fail(fmt.Errorf("%w: %w", ledger.ErrUnknown, err))
	}
	l.head, l.pending = b.Checkpoint, pending{}
	return nil
}

func (l *Ledger) content() (ledger.Content, error) {
	z, _, err := contract.ReadZone(l.state)
	if err != nil {
		return ledger.Content{}, err
	}
	digest, err := contract.Digest(l.state)
	return ledger.Content{Zone: z.ID, Txs: l.pending.txs, State: digest, Time: l.pending.newest}, err
}

// fail ends all writing: memory may be ahead of the file from here on.
func (l *Ledger) fail(err error) error {
	l.failed = fmt.Errorf("ledger: %w; open it anew", err)
	return l.failed
}

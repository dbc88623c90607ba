package monitor

import (
	"context"
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// recorder turns what happened into transactions and follows the ledger's
// blocks from a cursor, so that receipts and alerts come from what was
// committed, whenever that is.
type recorder struct {
	p       Parts
	zone    zone.Hash
	cursor  uint64               // blocks followed so far
	silence map[zone.MAC]silence // by device; zero: of the zone
	hidden  uint64               // alerts that such a silence kept back
	newest  zone.HID             // of the transactions submitted
}

func newRecorder(p Parts, past Past) recorder {
	r := recorder{p: p, zone: past.Zone, cursor: past.Height, silence: map[zone.MAC]silence{{}: {past.SilencedFrom, past.SilencedUntil}}}
	for _, d := range past.Devices {
		r.silence[d.MAC] = silence{d.SilencedFrom, d.SilencedUntil}
	}
	return r
}

// silence is a time for whose alerts an operator asked not to be told.
type silence struct{ from, until zone.Time }

func (s silence) covers(t zone.Time) bool { return s.from <= t && t < s.until }

// submit signs a transaction about a device and hands it to the ledger.
func (r *recorder) submit(ctx context.Context, d *device, at zone.Time, body contract.Body) error {
	tx := contract.Tx{Zone: r.zone, Time: at, Device: d.mac, N: d.n + 1, Body: body}
	raw, err := tx.Sign(r.p.Signer)
	if err != nil {
		return fmt.Errorf("signing a transaction of %s: %w", d.mac, err)
	}
	if err := r.p.Ledger.Submit(ctx, raw); err != nil {
		return fmt.Errorf("transaction %d of %s: %w", tx.N, d.mac, err)
	}
	d.n++
	r.newest, err = contract.ID(raw)
	return err
}

// commit makes what was submitted durable and follows it. So it does with the leases.
func (r *recorder) commit(ctx context.Context) error { return r.commitBy(ctx, r.p.Ledger.Commit) }

// soon is a commit that may come later, where there is a way to have it so.
func (r *recorder) soon(ctx context.Context) error {
	if r.p.Soon == nil {
		return r.commit(ctx)
	}
	return r.commitBy(ctx, r.p.Soon)
}

func (r *recorder) commitBy(ctx context.Context, commit func(context.Context) error) error {
	if r.p.Leases != nil {
		if err := r.p.Leases.Sync(); err != nil {
			return err
		}
	}
	if err := commit(ctx); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return r.follow(ctx)
}

// follow reads the blocks that were committed since the last call: segments get
// their receipts, alerts are sent.
func (r *recorder) follow(ctx context.Context) error {
	for ; r.cursor < r.p.Ledger.Height(); r.cursor++ {
		b, err := r.p.Ledger.Block(ctx, r.cursor)
		if err != nil {
			return fmt.Errorf("ledger block %d: %w", r.cursor, err)
		}
		var receipts []store.Receipt
		var verdicts []verdict
		for tx, err := range ofBlock(b, isRecord) {
			if err != nil {
				return err
			}
			switch body := tx.Body.(type) {
			case *contract.SegmentRecorded:
				receipts = append(receipts, r.receipt(tx.Device, body, tx.At)...)
			case *contract.VerdictChanged:
				verdicts = append(verdicts, verdict{body, tx.At})
			case *contract.OperatorAction:
				if body.Action != contract.ActionRelearn {
					r.silence[tx.Device] = silence{tx.Time, body.Until}
				}
			}
		}
		if err := r.p.Store.AddReceipts(receipts); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		for _, v := range verdicts {
			if err := r.deliver(v.body, v.at); err != nil {
				return err
			}
		}
	}
	return nil
}

// verdict is a change of verdict and where it stands on the ledger.
type verdict struct {
	body *contract.VerdictChanged
	at   ledger.Receipt
}

// rewind moves the cursor back to the first block that a crash may have kept
// from being followed to its end: one whose segments lack a receipt, else the newest.
func (r *recorder) rewind(ctx context.Context) error {
	for range r.p.Store.Unreceipted {
		return r.rewindToSegment(ctx)
	}
	r.cursor -= min(r.cursor, 1)
	return nil
}

// rewindToSegment looks for that block, if there is one.
func (r *recorder) rewindToSegment(ctx context.Context) error {
	end := r.cursor
	r.cursor -= min(r.cursor, 1)
	for tx, err := range Records(ctx, r.p.Ledger, 0) {
		if err != nil || tx.At.Block >= end {
			return err
		}
		body, ok := tx.Body.(*contract.SegmentRecorded)
		if ok && r.receipt(tx.Device, body, ledger.Receipt{}) != nil {
			r.cursor = tx.At.Block
			return nil
		}
	}
	return nil
}

// receipt is where a segment's entry stands on the ledger.
func (r *recorder) receipt(mac zone.MAC, body *contract.SegmentRecorded, at ledger.Receipt) []store.Receipt {
	if _, known := r.p.Store.ReceiptFor(body.First, mac); known {
		return nil
	}
	seg, ok := r.p.Store.SegmentOf(body.First)
	if !ok {
		return nil // removed by retention meanwhile
	}
	return []store.Receipt{{Segment: seg.Number, Device: mac, ID: at.ID, Block: at.Block, Index: at.Index}}
}

// deliver sends the alert that a malicious verdict names, unless an operator
// silenced its device or the zone.
func (r *recorder) deliver(v *contract.VerdictChanged, at ledger.Receipt) error {
	if v.To != zone.StateMalicious || r.p.OnAlert == nil {
		return nil
	}
	a, err := r.p.Alerts.ByDigest(v.Alert)
	if err != nil {
		return err
	}
	if r.silence[a.Device].covers(a.Raised) || r.silence[zone.MAC{}].covers(a.Raised) {
		r.hidden++
		return nil
	}
	return r.p.OnAlert(a, at)
}

// closeSegment stores the open segment and records it: one transaction for
// each device in it.
func (m *Monitor) closeSegment(ctx context.Context) error {
	if len(m.segment) == 0 {
		return nil
	}
	seg, err := m.p.Store.Append(m.segment)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	m.segment = m.segment[:0]
	for _, r := range seg.Ranges {
		if err := m.submitSegment(ctx, m.known(r.Device), r); err != nil {
			return err
		}
	}
	m.o.Log.Debug("segment stored", "segment", seg.Number, "last_seq", seg.Last, "bytes", seg.Bytes)
	return m.record.follow(ctx)
}

// DivergedError says that a run that goes on from a state directory is not
// the one that wrote it.
type DivergedError struct {
	Block uint64
	Index int
	Have  string // what the ledger has there
	Got   string // what this run would write
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("this run differs from the one in the state directory: block %d, transaction %d is %s, now it would be %s; give the same captures and options again, or another state directory",
		e.Block, e.Index, e.Have, e.Got)
}

// Resume makes a ledger that takes again, in order, the transactions that it
// already has from a block on, and passes on what comes after them. A run that was stopped
// is repeated from its start through it: what was recorded is compared, not written twice.
func Resume(l ledger.Ledger, from uint64) ledger.Ledger {
	return &resumed{Ledger: l, block: from}
}

type resumed struct {
	ledger.Ledger
	block uint64 // where the next expected transaction stands
	index int
	txs   [][]byte // of that block, nil if not yet read
}

func (r *resumed) Submit(ctx context.Context, raw []byte) error {
	for r.txs == nil && r.block < r.Height() {
		b, err := r.Block(ctx, r.block)
		if err != nil {
			return err
		}
		if len(b.Txs) > 0 {
			r.txs, r.index = b.Txs, 0
			break
		}
		r.block++
	}
	if r.txs == nil {
		r.block = ^uint64(0) // everything after this is new
		return r.Ledger.Submit(ctx, raw)
	}
	if have := r.txs[r.index]; string(have) != string(raw) {
		return &DivergedError{Block: r.block, Index: r.index, Have: describe(have), Got: describe(raw)}
	}
	if r.index++; r.index == len(r.txs) {
		r.txs, r.block = nil, r.block+1
	}
	return nil
}

// Commit has nothing to do while what was submitted is on the ledger already.
func (r *resumed) Commit(ctx context.Context) error {
	if r.txs != nil || r.block < r.Height() {
		return nil
	}
	return r.Ledger.Commit(ctx)
}

func describe(raw []byte) string {
	tx, err := contract.Parse(raw)
	if err != nil {
		return errors.Join(errors.New("unreadable"), err).Error()
	}
	return fmt.Sprintf("%s %d of %s at %s", tx.Tx.Kind, tx.Tx.N, tx.Tx.Device, tx.Tx.Time)
}

// Resubmit hands the ledger what a crash kept from it: segments that are in
// the store without a receipt, in order. Before that it follows the blocks that
// were not followed to their end: an alert may be sent twice then, none is lost.
// It is for a monitor that goes on live, after New.
func (m *Monitor) Resubmit(ctx context.Context) error {
	if err := m.record.rewind(ctx); err != nil {
		return err
	}
	if err := m.record.follow(ctx); err != nil {
		return err
	}
	for seg, r := range m.p.Store.Unreceipted {
		if seg.Removed {
			continue
		}
		d := m.known(r.Device)
		if d == nil {
			d = &device{mac: r.Device, name: m.p.Roster.Name(r.Device)}
			m.devices[r.Device] = d
			if err := m.join(ctx, d, r.FirstTime); err != nil {
				return err
			}
		}
		if err := m.submitSegment(ctx, d, r); err != nil {
			return err
		}
	}
	return m.record.commit(ctx)
}

func (m *Monitor) submitSegment(ctx context.Context, d *device, r store.Range) error {
	return m.record.submit(ctx, d, r.LastTime, &contract.SegmentRecorded{First: r.First, Last: r.Last, Rows: r.Rows,
		Root: r.Root, Normal: r.Normal, Malicious: r.Malicious, Unjudged: r.Unjudged})
}

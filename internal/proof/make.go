package proof

import (
	"context"
	"fmt"
	"net/netip"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/monitor"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// Source is where a bundle's parts come from.
type Source struct {
	Anchor string
	Ledger ledger.Ledger
	Store  *store.Store
	Model  func(digest zone.Hash) ([]byte, error) // a model's file
	// Policy gives a device's network policy, by the digests of the MUD file and of
	// what its names stood for; a nil file if it is not there. May be nil.
	Policy func(device zone.MAC, file, names zone.Hash) ([]byte, map[string][]netip.Addr, error)
}

// wanted is a transaction that a bundle needs.
type wanted struct {
	to   *Entry
	from *ledger.Receipt
	what string
}

// Make makes the bundle of an alert.
func Make(ctx context.Context, s Source, alert zone.Alert) (*Bundle, error) {
	digest, err := alert.Digest()
	if err != nil {
		return nil, err
	}
	b := &Bundle{Format: Format, Anchor: s.Anchor, Alert: alert}
	found, err := s.find(ctx, alert, digest)
	if err != nil {
		return nil, err
	}
	if b.Policy, err = s.policy(alert); err != nil {
		return nil, fmt.Errorf("alert %s: network policy: %w", zone.AlertID(digest), err)
	}
	entries := []wanted{
		{&b.Zone, found.zone, "the zone's creation"}, {&b.Verdict, found.verdict, "its verdict"},
		{&b.Model.Accepted, found.model, "its model"},
	}
	if b.Policy != nil {
		entries = append(entries, wanted{&b.Policy.Set, found.policy, "its network policy"})
	}
	for _, e := range entries {
		if e.from == nil {
			return nil, fmt.Errorf("alert %s: the ledger does not hold %s", zone.AlertID(digest), e.what)
		}
		if *e.to, err = s.entry(ctx, *e.from); err != nil {
			return nil, err
		}
	}
	if b.Model.File, err = s.Model(alert.Model); err != nil {
		return nil, fmt.Errorf("alert %s: model: %w", zone.AlertID(digest), err)
	}
	if b.Segments, err = s.segments(ctx, alert); err != nil {
		return nil, err
	}
	b.Between = []Entry{}
	if len(alert.Contacts) == 0 {
		b.Between, err = s.between(ctx, b.Segments, found.numbered)
	}
	return b, err
}

// places are where the bundle's transactions stand.
type places struct {
	zone, verdict, model *ledger.Receipt
	policy               *ledger.Receipt           // the newest before the verdict
	numbered             map[uint64]ledger.Receipt // the device's transactions that are no segments, by number
}

// find looks through the ledger for the alert's transactions.
func (s *Source) find(ctx context.Context, alert zone.Alert, digest zone.Hash) (places, error) {
	p := places{numbered: map[uint64]ledger.Receipt{}}
	for tx, err := range monitor.Records(ctx, s.Ledger, 0) {
		if err != nil {
			return p, err
		}
		p.note(&tx.Tx, &alert, digest, tx.At)
	}
	return p, nil
}

// note keeps where a transaction stands that the alert's bundle may need.
func (p *places) note(tx *contract.Tx, alert *zone.Alert, digest zone.Hash, at ledger.Receipt) {
	if _, ok := tx.Body.(*contract.ZoneCreated); ok {
		p.zone = &at
	}
	if tx.Device != alert.Device {
		return
	}
	switch body := tx.Body.(type) {
	case *contract.SegmentRecorded:
		return
	case *contract.ModelAccepted:
		if body.Digest == alert.Model && p.verdict == nil { // later, it may have been rolled back to
			p.model = &at
		}
	case *contract.NetworkPolicySet:
		if alert.Network != nil && body.Digest == alert.Network.SHA256 && p.verdict == nil {
			p.policy = &at
		}
	case *contract.VerdictChanged:
		if body.Alert == digest {
			p.verdict = &at
		}
	}
	p.numbered[tx.N] = at
}

// between gives the device's transactions whose numbers lie between those of
// the segments.
func (s *Source) between(ctx context.Context, segments []Segment, numbered map[uint64]ledger.Receipt) ([]Entry, error) {
	out := []Entry{}
	next := uint64(0)
	for i := range segments {
		tx, err := contract.Parse(segments[i].Recorded.Tx)
		if err != nil {
			return nil, err
		}
		for ; i > 0 && next < tx.N; next++ {
			at, ok := numbered[next]
			if !ok {
				return nil, fmt.Errorf("the evidence lacks the segment of transaction %d of %s", next, tx.Device)
			}
			e, err := s.entry(ctx, at)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		next = tx.N + 1
	}
	return out, nil
}

func (s *Source) entry(ctx context.Context, at ledger.Receipt) (Entry, error) {
	b, err := s.Ledger.Block(ctx, at.Block)
	if err != nil {
		return Entry{}, fmt.Errorf("ledger block %d: %w", at.Block, err)
	}
	in, err := s.Ledger.Prove(ctx, at.Block, at.Index)
	if err != nil {
		return Entry{}, fmt.Errorf("ledger block %d, transaction %d: %w", at.Block, at.Index, err)
	}
	return NewEntry(b.Txs[at.Index], in), nil
}

// segments collects the alert's rows with their proofs, by segment.
func (s *Source) segments(ctx context.Context, alert zone.Alert) ([]Segment, error) {
	seqs := alert.Contacts
	if len(seqs) == 0 {
		for row, err := range s.Store.Rows(ctx, alert.First, alert.Last, alert.Device) {
			if err != nil {
				return nil, err
			}
			seqs = append(seqs, row.Seq)
		}
	}
	proofs, err := s.Store.ProveAll(seqs)
	if err != nil {
		return nil, err
	}
	var out []Segment
	number := uint64(0)
	for _, p := range proofs {
		if p.Segment.Number != number {
			number = p.Segment.Number
			seg, err := s.segment(ctx, p)
			if err != nil {
				return nil, err
			}
			out = append(out, seg)
		}
		rows := &out[len(out)-1].Rows
		*rows = append(*rows, Row{Snapshot: p.Snapshot, Index: p.Index, Path: append([]zone.Hash{}, p.Path...)})
	}
	return out, nil
}

func (s *Source) segment(ctx context.Context, p store.Proof) (Segment, error) {
	at, ok := s.Store.ReceiptFor(p.Snapshot.Seq, p.Snapshot.Device)
	if !ok {
		return Segment{}, fmt.Errorf("segment %d of %s has no receipt of the ledger yet: try again when it is committed", p.Segment.Number, p.Snapshot.Device)
	}
	e, err := s.entry(ctx, ledger.Receipt{ID: at.ID, Block: at.Block, Index: at.Index})
	return Segment{Recorded: e}, err
}

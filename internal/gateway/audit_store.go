package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"bellwether/internal/feature"
	"bellwether/internal/ledger"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// rangeKey names one device's rows in a segment.
type rangeKey struct {
	device zone.MAC
	first  zone.SeqID
}

// entry is what the ledger says of them, and where.
type entry struct {
	root zone.Hash
	at   ledger.Receipt
}

// store checks every segment against its manifest and the ledger's roots.
func (a *auditor) store(ctx context.Context, progress func(string, int64, int64)) error {
	s, err := store.Open(a.path(storeDir), store.Options{Zone: a.out.Zone.String(), Names: feature.Names(), ReadOnly: true})
	if err != nil {
		a.found("store: %v", err)
		return nil
	}
	defer s.Close()
	waiting := map[uint64]bool{}
	findings, err := s.Verify(ctx, func(seg store.Segment, r store.Range) (zone.Hash, bool) {
		e, ok := a.segments[rangeKey{r.Device, r.First}]
		if !ok {
			waiting[seg.Number] = true
		}
		return e.root, ok
	}, func(done, total int) { progress("store", int64(done), int64(total)) })
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, f := range findings {
		a.found("store: %s", f)
	}
	a.out.Segments, a.out.Waiting = len(s.Segments()), len(waiting)
	a.missing(s)
	if errors.Is(s.Damage(), store.ErrReadOnly) { // else the manifest's damage was found, and what follows from it says no more
		a.receipts(s)
	}
	return nil
}

// missing finds segments that the ledger holds and the store has lost.
func (a *auditor) missing(s *store.Store) {
	for _, key := range a.sorted() {
		if !key.in(s) {
			a.found("store: the ledger records a segment of %s from SEQ %d on, the store has none", key.device, key.first)
		}
	}
}

// sorted gives the segments that the ledger records, by SEQ-ID.
func (a *auditor) sorted() []rangeKey {
	return slices.SortedFunc(maps.Keys(a.segments), func(x, y rangeKey) int {
		return cmp.Or(cmp.Compare(x.first, y.first), slices.Compare(x.device[:], y.device[:]))
	})
}

// receipts holds the store's receipts against the ledger. A block's are stored at
// once and block by block, so that a crash leaves none missing before the newest.
func (a *auditor) receipts(s *store.Store) {
	have := map[rangeKey]bool{}
	newest := uint64(0)
	segments := s.Segments()
	for _, r := range s.Receipts() {
		rows, _ := segments[r.Segment-1].Range(r.Device)
		key := rangeKey{r.Device, rows.First}
		have[key], newest = true, max(newest, r.Block)
		says := ledger.Receipt{ID: r.ID, Block: r.Block, Index: r.Index}
		if e, ok := a.segments[key]; !ok {
			a.found("store: %s: the receipt names %s, the ledger records no such segment", key, place(says))
		} else if e.at != says {
			a.found("store: %s: the receipt names %s, the ledger has it as %s", key, place(says), place(e.at))
		}
	}
	for _, key := range a.sorted() {
		switch e := a.segments[key]; {
		case have[key] || !key.in(s):
		case e.at.Block <= newest:
			a.found("store: %s: the receipt is missing, the ledger has it as %s", key, place(e.at))
		default:
			a.out.Unreceipted++
		}
	}
}

// in reports whether the store knows the rows, be it that retention has removed them.
func (k rangeKey) in(s *store.Store) bool {
	seg, ok := s.SegmentOf(k.first)
	if ok {
		_, ok = seg.Range(k.device)
	}
	return ok
}

func (k rangeKey) String() string {
	return fmt.Sprintf("segment of %s from SEQ %d on", k.device, k.first)
}

func place(r ledger.Receipt) string {
	return fmt.Sprintf("H-ID %s, block %d, transaction %d", r.ID, r.Block, r.Index)
}

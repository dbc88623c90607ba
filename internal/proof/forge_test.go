package proof

import (
	"slices"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// forgery is a bundle by somebody who holds the master's key, and so can write
// any ledger. Its zero changes are an honest bundle.
type forgery struct {
	accepted contract.ModelAccepted
	file     []byte
	verdict  contract.VerdictChanged
	alert    zone.Alert
	segments [][]zone.Snapshot // what the ledger has
	shown    [][]int           // which of a segment's rows the bundle has; nil segments are left out
	others   []contract.Body   // transactions after the first segment's
	hidden   bool              // others are not shown
}

// apart takes a bundle apart: one segment, with nothing but its rows.
func apart(tb testing.TB, b *Bundle) *forgery {
	tb.Helper()
	f := &forgery{file: b.Model.File, alert: b.Alert}
	f.alert.Features, f.alert.Contacts = slices.Clone(b.Alert.Features), slices.Clone(b.Alert.Contacts)
	f.accepted = *bodyOf[*contract.ModelAccepted](tb, b.Model.Accepted)
	f.verdict = *bodyOf[*contract.VerdictChanged](tb, b.Verdict)
	var rows []zone.Snapshot
	for _, s := range b.Segments {
		for _, r := range s.Rows {
			rows = append(rows, r.Snapshot)
		}
	}
	f.segments, f.shown = [][]zone.Snapshot{rows}, [][]int{upTo(0, len(rows))}
	return f
}

// honest is the score alert's bundle with a row of the device before the evidence
// and one behind it in the segments, of which there are two.
func honest(tb testing.TB) *forgery {
	tb.Helper()
	f := apart(tb, testWorld(tb).score)
	rows, all := f.segments[0], testWorld(tb).rows
	at := slices.IndexFunc(all, func(s zone.Snapshot) bool { return s.Seq == rows[0].Seq })
	half := len(rows) / 2
	f.segments = [][]zone.Snapshot{append([]zone.Snapshot{all[at-1]}, rows[:half]...), slices.Clone(all[at+half : at+len(rows)+1])}
	f.shown = [][]int{upTo(1, half+1), upTo(0, len(rows)-half)}
	return f
}

func bodyOf[T contract.Body](tb testing.TB, e Entry) T {
	tb.Helper()
	s, err := contract.Parse(e.Tx)
	if err != nil {
		tb.Fatal(err)
	}
	return s.Tx.Body.(T)
}

// upTo gives from, from+1, …, to-1.
func upTo(from, to int) (out []int) {
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// scribe writes the forger's ledger: a block for each transaction.
type scribe struct {
	tb     testing.TB
	group  zone.Hash
	chain  ledger.Chain
	blocks []*ledger.Block
	device zone.MAC
	n      uint64
}

func (w *scribe) write(at zone.Time, body contract.Body) int {
	w.tb.Helper()
	tx := contract.Tx{Zone: w.group, Time: at, N: 1, Body: body}
	if _, ok := body.(*contract.ZoneCreated); !ok {
		w.n++
		tx.Device, tx.N = w.device, w.n
	}
	raw, err := tx.Sign(key(1))
	if err != nil {
		w.tb.Fatal(err)
	}
	b, err := w.chain.Seal(key(1), ledger.Content{Zone: w.group, Txs: [][]byte{raw}, Time: at})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.blocks = append(w.blocks, b)
	return len(w.blocks) - 1
}

func (w *scribe) entry(n int) Entry {
	w.tb.Helper()
	in, err := w.chain.Prove(uint64(n), 0, w.blocks[len(w.blocks)-1].Checkpoint,
		func(i uint64) (*ledger.Block, error) { return w.blocks[i], nil })
	if err != nil {
		w.tb.Fatal(err)
	}
	return NewEntry(w.blocks[n].Txs[0], in)
}

// bundle writes the ledger and makes the bundle.
func (f *forgery) bundle(tb testing.TB) *Bundle {
	tb.Helper()
	anchor, err := identity.Anchor(ledger.Origin(f.alert.Zone), master())
	if err != nil {
		tb.Fatal(err)
	}
	w := &scribe{tb: tb, group: f.alert.Zone, device: f.alert.Device}
	created := w.write(began, &contract.ZoneCreated{Name: "home", UseCase: "smart-home", Master: [32]byte(master())})
	w.write(began, &contract.DeviceSeen{})
	accepted := w.write(f.accepted.To, &f.accepted)
	var recorded, others []int
	for i, rows := range f.segments {
		recorded = append(recorded, w.write(rows[len(rows)-1].Time, recordOf(rows)))
		for ; i == 0 && len(others) < len(f.others); others = append(others, w.write(rows[0].Time, f.others[len(others)])) {
		}
	}
	if f.verdict.Alert, err = f.alert.Digest(); err != nil {
		tb.Fatal(err)
	}
	verdict := w.write(f.alert.Raised, &f.verdict)
	b := &Bundle{Format: Format, Anchor: anchor, Alert: f.alert, Zone: w.entry(created), Verdict: w.entry(verdict),
		Model: Model{Accepted: w.entry(accepted), File: f.file}, Between: []Entry{}}
	for i, rows := range f.segments {
		if f.shown[i] != nil {
			b.Segments = append(b.Segments, Segment{w.entry(recorded[i]), rowsOf(rows, f.shown[i])})
		}
	}
	for _, n := range others {
		if !f.hidden {
			b.Between = append(b.Between, w.entry(n))
		}
	}
	return b
}

func recordOf(rows []zone.Snapshot) *contract.SegmentRecorded {
	leaves := make([]zone.Hash, len(rows))
	for i := range rows {
		leaves[i] = rows[i].LeafHash()
	}
	n := uint64(len(rows))
	return &contract.SegmentRecorded{First: rows[0].Seq, Last: max(rows[0].Seq+zone.SeqID(n)-1, rows[n-1].Seq), Rows: n,
		Root: ledger.RootOfHashes(leaves), Malicious: n}
}

func rowsOf(rows []zone.Snapshot, shown []int) (out []Row) {
	leaves := make([]zone.Hash, len(rows))
	for i := range rows {
		leaves[i] = rows[i].LeafHash()
	}
	for _, k := range shown {
		r := Row{Snapshot: rows[k], Index: uint64(k), Path: []zone.Hash{}}
		for _, h := range ledger.InclusionPath(leaves, uint64(k)) {
			r.Path = append(r.Path, zone.Hash(h))
		}
		out = append(out, r)
	}
	return out
}

package proof

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
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

// honest takes the score alert's bundle apart, with a row of the device before
// the evidence and one behind it in the segments.
func honest(tb testing.TB) *forgery {
	tb.Helper()
	b := testWorld(tb).score
	f := &forgery{file: b.Model.File, alert: b.Alert}
	f.alert.Features = slices.Clone(b.Alert.Features)
	f.accepted = *bodyOf[*contract.ModelAccepted](tb, b.Model.Accepted)
	f.verdict = *bodyOf[*contract.VerdictChanged](tb, b.Verdict)
	var rows []zone.Snapshot
	for _, s := range b.Segments {
		for _, r := range s.Rows {
			rows = append(rows, r.Snapshot)
		}
	}
	all := testWorld(tb).rows
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
	in, err := w.chain.Prove(w.blocks[n], 0, w.blocks[len(w.blocks)-1].Checkpoint,
		func(i uint64) (zone.Hash, error) { return w.blocks[i].Header.Hash(), nil })
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

func TestHonestLedger(t *testing.T) {
	f := honest(t)
	if _, err := Verify(copyOf(t, f.bundle(t)), master()); err != nil {
		t.Fatal(err)
	}
	f.others = []contract.Body{&contract.DeviceRenamed{Name: "lamp"}, &contract.OperatorAction{Action: contract.ActionUnsilence}}
	if _, err := Verify(copyOf(t, f.bundle(t)), master()); err != nil {
		t.Fatalf("with other transactions between the segments: %v", err)
	}
}

// TestForgery: even the master's key does not make of a device's rows a proof
// that they are not.
func TestForgery(t *testing.T) {
	other := func(f *forgery, change func(m *zone.Snapshot)) {
		s := &f.segments[1][0]
		change(s)
	}
	tests := map[string]struct {
		forge func(f *forgery)
		field string
	}{
		"a row left out":             {func(f *forgery) { f.shown[0] = slices.Delete(f.shown[0], 1, 2) }, "segments[0].rows[1].index"},
		"the first row left out":     {func(f *forgery) { f.shown[0] = f.shown[0][1:] }, "segments[0].rows"},
		"the last row left out":      {func(f *forgery) { f.shown[1] = f.shown[1][:len(f.shown[1])-1] }, "segments[1].rows"},
		"rows at an end left out":    {func(f *forgery) { f.shown[0] = f.shown[0][:len(f.shown[0])-1] }, "segments[0].rows"},
		"rows at a start left out":   {func(f *forgery) { f.shown[1] = f.shown[1][1:] }, "segments[1].rows"},
		"rows swapped":               {func(f *forgery) { s := f.shown[0]; s[0], s[1] = s[1], s[0] }, "segments[0].rows[1].index"},
		"rows swapped on the ledger": {func(f *forgery) { s := f.segments[1]; s[0], s[1] = s[1], s[0] }, "segments[1].rows[1].snapshot.seq"},
		"a segment left out": {func(f *forgery) {
			f.segments = slices.Insert(f.segments, 1, f.segments[0][1:2])
			f.shown = slices.Insert(f.shown, 1, nil)
		}, "segments or between"},
		"a segment shown as another thing": {func(f *forgery) {
			f.others = []contract.Body{recordOf(f.segments[0][1:2])}
		}, "between[0].tx"},
		"other transactions not shown": {func(f *forgery) {
			f.others, f.hidden = []contract.Body{&contract.DeviceRenamed{}}, true
		}, "segments or between"},
		"a row of another device": {func(f *forgery) { other(f, func(s *zone.Snapshot) { s.Device[5]++ }) }, "segments[1].rows[0].snapshot.device"},
		"a score a little higher": {func(f *forgery) { other(f, func(s *zone.Snapshot) { s.Score *= 1.001 }) }, "segments[1].rows[0].snapshot.score"},
		"a score a little lower":  {func(f *forgery) { other(f, func(s *zone.Snapshot) { s.Score *= 0.999 }) }, "segments[1].rows[0].snapshot.score"},
		"a feature changed":       {func(f *forgery) { other(f, func(s *zone.Snapshot) { s.Features[3] *= 10; s.Features[3]++ }) }, "segments[1].rows[0].snapshot.score"},
		"a row not judged":        {func(f *forgery) { other(f, func(s *zone.Snapshot) { s.Label = zone.Unjudged }) }, "segments[1].rows[0].snapshot.label"},
		"a malicious row normal":  {func(f *forgery) { other(f, func(s *zone.Snapshot) { s.Label = zone.Normal }) }, "segments[1].rows[0].snapshot.label"},
		"rows too far apart": {func(f *forgery) {
			for i := range f.segments[0] {
				f.segments[0][i].Time -= zone.Time(time.Hour)
			}
		}, "verdict.tx"},
		"another threshold":          {func(f *forgery) { f.verdict.Threshold /= 2; f.alert.Threshold /= 2 }, "alert.threshold"},
		"another model's threshold":  {func(f *forgery) { f.accepted.Threshold /= 2 }, "model.accepted.tx"},
		"another model":              {func(f *forgery) { f.accepted.Digest[0]++; f.verdict.Model[0]++; f.alert.Model[0]++ }, "model.file"},
		"a model not of the verdict": {func(f *forgery) { f.verdict.Model[0]++; f.alert.Model[0]++ }, "model.accepted.tx"},
		"another device's model":     {func(f *forgery) { f.take(t, testWorld(t).source) }, "model.file"},
		"learned from the evidence":  {func(f *forgery) { f.accepted.Last = f.verdict.First }, "model.accepted.tx"},
		"another score":              {func(f *forgery) { f.verdict.Score *= 1.01; f.alert.Score *= 1.01 }, "alert.score"},
		"a later beginning":          {func(f *forgery) { f.verdict.Since++; f.alert.Since++ }, "alert.since"},
		"another reason":             {func(f *forgery) { f.verdict.Reason, f.alert.Reason = "whim", "whim" }, "verdict.tx"},
		"a source that is its own":   {func(f *forgery) { f.verdict.Reason, f.alert.Reason = zone.ReasonSource, zone.ReasonSource }, "verdict.tx"},
		"another feature":            {func(f *forgery) { f.alert.Features[0].Observed++ }, "alert.features[0].observed"},
		"another packet":             {func(f *forgery) { f.alert.Packet++ }, "alert.packet"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := honest(t)
			tt.forge(f)
			checkRefused(t, copyOf(t, f.bundle(t)), tt.field)
		})
	}
}

// take takes the model of another bundle.
func (f *forgery) take(tb testing.TB, b *Bundle) {
	tb.Helper()
	m, err := detect.UnmarshalModel(b.Model.File)
	if err != nil {
		tb.Fatal(err)
	}
	f.file, f.accepted.Digest, f.verdict.Model, f.alert.Model = b.Model.File, m.Digest(), m.Digest(), m.Digest()
}

// TestNormalAsMalicious: a row under the threshold does not count because its
// label says so.
func TestNormalAsMalicious(t *testing.T) {
	f := honest(t)
	m, err := detect.UnmarshalModel(f.file)
	if err != nil {
		t.Fatal(err)
	}
	normal := slices.IndexFunc(testWorld(t).rows, func(s zone.Snapshot) bool { return s.Label == zone.Unjudged })
	s := &f.segments[1][0]
	s.Features = testWorld(t).rows[normal+100].Features
	scores := make([]float64, 1)
	m.Score([][zone.Features]float32{s.Features}, scores)
	if s.Score = scores[0]; s.Score > m.Threshold {
		t.Fatal(fmt.Errorf("the row taken as normal scores %g", s.Score))
	}
	checkRefused(t, copyOf(t, f.bundle(t)), "segments[1].rows[0].snapshot.label")
}

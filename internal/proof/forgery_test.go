package proof

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

func TestHonestLedger(t *testing.T) {
	f := honest(t)
	if _, err := Verify(copyOf(t, f.bundle(t)), master(), nil); err != nil {
		t.Fatal(err)
	}
	f.others = []contract.Body{&contract.DeviceRenamed{Name: "lamp"}, &contract.OperatorAction{Action: contract.ActionUnsilence}}
	if _, err := Verify(copyOf(t, f.bundle(t)), master(), nil); err != nil {
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

// TestForgedScan: nor of rows a scan that they are not.
func TestForgedScan(t *testing.T) {
	m, err := detect.UnmarshalModel(testWorld(t).scan.Model.File)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		forge func(f *forgery)
		field string
	}{
		"another service": {func(f *forgery) { f.segments[0][1].DstPort++ }, "verdict.tx"},
		"its own service": {func(f *forgery) {
			every(f.segments[0], func(s *zone.Snapshot) { s.Proto, s.SrcPort, s.DstPort = 17, 123, 123 })
		}, "verdict.tx"},
		"a host that it knew":   {func(f *forgery) { f.segments[0][1].Dst = m.Profile.Known[0] }, "verdict.tx"},
		"a host twice":          {func(f *forgery) { f.segments[0][1].Dst = f.segments[0][0].Dst }, "verdict.tx"},
		"an answer":             {func(f *forgery) { f.segments[0][1].TCPFlags = 0x12 }, "verdict.tx"},
		"hosts, of any service": {func(f *forgery) { f.verdict.Reason, f.alert.Reason = zone.ReasonHosts, zone.ReasonHosts }, "verdict.tx"},
		"another limit":         {func(f *forgery) { f.verdict.Threshold--; f.alert.Threshold-- }, "alert.threshold"},
		"another count":         {func(f *forgery) { f.verdict.Score++; f.alert.Score++ }, "alert.score"},
		"another feature":       {func(f *forgery) { f.alert.Features[0].High++ }, "alert.features[0].high"},
		"one host fewer": {func(f *forgery) {
			f.segments[0], f.shown[0] = f.segments[0][1:], upTo(0, len(f.segments[0])-1)
			f.alert.Contacts = f.alert.Contacts[1:]
			f.alert.First, f.verdict.First = f.alert.Contacts[0], f.alert.Contacts[0]
		}, "verdict.tx"},
	}
	if _, err := Verify(copyOf(t, apart(t, testWorld(t).scan).bundle(t)), master(), nil); err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := apart(t, testWorld(t).scan)
			tt.forge(f)
			checkRefused(t, copyOf(t, f.bundle(t)), tt.field)
		})
	}
}

// every changes all rows.
func every(rows []zone.Snapshot, change func(s *zone.Snapshot)) {
	for i := range rows {
		change(&rows[i])
	}
}

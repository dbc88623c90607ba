package proof

import (
	"fmt"
	"math"
	"reflect"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/ledger"
	"bellwether/internal/monitor"
	"bellwether/internal/zone"
)

// tolerance is the relative difference of a score that is put down to another
// machine's arithmetic.
const tolerance = 1e-4

func near(a, b float64) bool {
	return math.Abs(a-b) <= tolerance*math.Max(math.Abs(a), math.Abs(b))+1e-12
}

// checkSegments checks that the rows are the device's complete run of snapshots
// from the verdict's first to its last.
func (c *checker) checkSegments() (string, error) {
	for i := range c.b.Segments {
		if err := c.checkSegment(i); err != nil {
			return "", err
		}
	}
	if len(c.rows) == 0 {
		return "", failf("segments", "there are no rows")
	}
	first, last := c.rows[0].Seq, c.rows[len(c.rows)-1].Seq
	if first != c.verdict.First || last != c.verdict.Last {
		return "", failf("segments", "the rows run from SEQ %d to %d, the verdict says %d to %d", first, last, c.verdict.First, c.verdict.Last)
	}
	return fmt.Sprintf("%d snapshots, SEQ %d to %d, are those that the ledger has hashes of", len(c.rows), first, last), nil
}

func (c *checker) checkSegment(i int) error {
	field := fmt.Sprintf("segments[%d]", i)
	seg := &c.b.Segments[i]
	s, err := c.entry(field+".recorded", &seg.Recorded)
	if err != nil {
		return err
	}
	body, ok := s.Tx.Body.(*contract.SegmentRecorded)
	switch {
	case !ok || s.Tx.Device != c.vtx.Device:
		return failf(field+".recorded.tx", "it records no segment of %s", c.vtx.Device)
	case len(seg.Rows) == 0:
		return failf(field+".rows", "there are none")
	case i > 0 && seg.Rows[0].Index != 0:
		return failf(field+".rows[0].index", "rows before it are missing")
	case i < len(c.b.Segments)-1 && seg.Rows[len(seg.Rows)-1].Index != body.Rows-1:
		return failf(field+".rows", "rows at the segment's end are missing")
	case i > 0 && body.First <= c.rows[len(c.rows)-1].Seq:
		return failf(field, "it does not follow on the one before")
	}
	for k := range seg.Rows {
		if err := c.checkRow(fmt.Sprintf("%s.rows[%d]", field, k), seg, k, body); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) checkRow(field string, seg *Segment, k int, body *contract.SegmentRecorded) error {
	r := &seg.Rows[k]
	if k > 0 && r.Index != seg.Rows[k-1].Index+1 {
		return failf(field+".index", "it does not follow on the row before")
	}
	if r.Snapshot.Device != c.vtx.Device {
		return failf(field+".snapshot.device", "it is a row of %s", r.Snapshot.Device)
	}
	path := make([][]byte, len(r.Path))
	for i := range r.Path {
		path[i] = r.Path[i][:]
	}
	if err := ledger.VerifyInclusion(body.Root, r.Index, body.Rows, r.Snapshot.LeafHash(), path); err != nil {
		return failf(field, "snapshot, index or path is not what the ledger has the hash of (SEQ %d): %v", r.Snapshot.Seq, err)
	}
	c.rows = append(c.rows, r.Snapshot)
	return nil
}

// checkScores recomputes each row's score with the model, and its label.
func (c *checker) checkScores() (string, error) {
	features := make([][zone.Features]float32, len(c.rows))
	for i := range c.rows {
		features[i] = c.rows[i].Features
	}
	scores := make([]float64, len(features))
	c.model.Score(features, scores)
	for i := range c.rows {
		s := &c.rows[i]
		if !near(scores[i], s.Score) {
			return "", failf("segments", "SEQ %d: the model scores %.6g, the row says %.6g", s.Seq, scores[i], s.Score)
		}
		flagged := s.Score > c.model.Threshold || foreign(c.model, s)
		if flagged && s.Label != zone.Malicious || !flagged && s.Label == zone.Unjudged {
			return "", failf("segments", "SEQ %d: the label is %s, threshold and source say otherwise", s.Seq, s.Label)
		}
	}
	return fmt.Sprintf("the model gives each of the %d snapshots the score it has", len(c.rows)), nil
}

// foreign reports a snapshot whose source the device never had while learning.
func foreign(m *detect.Model, s *zone.Snapshot) bool {
	return s.SrcMAC != s.Device || s.Src.IsValid() && !m.Profile.Owns(s.Src) && monitor.Bindable(s.Src)
}

// checkVote takes the vote again.
func (c *checker) checkVote() (string, error) {
	last := &c.rows[len(c.rows)-1]
	if c.verdict.Reason == zone.ReasonSource {
		if len(c.rows) != 1 || !foreign(c.model, last) {
			return "", failf("verdict.tx", "the source of SEQ %d is one that the device had", last.Seq)
		}
		return fmt.Sprintf("SEQ %d came from %s by %s, which the device never had", last.Seq, last.Src, last.SrcMAC), nil
	}
	vote := detect.NewVote(c.model.Window, c.model.Span)
	malicious := false
	for i := range c.rows {
		malicious = vote.Add(c.rows[i].Time, c.rows[i].Label == zone.Malicious)
	}
	flagged, _ := vote.Count()
	if !malicious {
		return "", failf("verdict.tx", "only %d of %d snapshots are above the threshold: no majority", flagged, c.model.Window)
	}
	return fmt.Sprintf("%d of %d snapshots within %s are above the threshold: a majority", flagged, c.model.Window, c.model.Span), nil
}

// checkAlert compares what the alert says with what was just found, field by
// field, then its digest with the verdict's.
func (c *checker) checkAlert() (string, error) {
	a, v, last := &c.b.Alert, c.verdict, &c.rows[len(c.rows)-1]
	w := monitor.Weigh(c.model, c.rows)
	for _, f := range []struct {
		name      string
		have, got any
	}{
		{"device", a.Device, c.vtx.Device}, {"since", a.Since, w.Since}, {"since", a.Since, v.Since},
		{"raised", a.Raised, last.Time}, {"raised", a.Raised, c.vtx.Time}, {"packet", a.Packet, last.Packet},
		{"reason", a.Reason, v.Reason}, {"threshold", a.Threshold, c.model.Threshold}, {"threshold", a.Threshold, v.Threshold},
		{"score", a.Score, v.Score}, {"window", a.Window, c.model.Window}, {"span_ns", a.Span, int64(c.model.Span)},
		{"flagged", a.Flagged, w.Flagged}, {"model", a.Model, v.Model}, {"first_seq", a.First, v.First},
		{"last_seq", a.Last, v.Last}, {"rows", a.Rows, len(c.rows)}, {"features", len(a.Features), len(w.Features)},
	} {
		if !reflect.DeepEqual(f.have, f.got) {
			return "", failf("alert."+f.name, "it says %v, the evidence %v", f.have, f.got)
		}
	}
	if !near(a.Score, w.Score) {
		return "", failf("alert.score", "it says %g, the evidence %g", a.Score, w.Score)
	}
	digest, err := a.Digest()
	if err != nil {
		return "", failf("alert", "%v", err)
	}
	if digest != v.Alert {
		return "", c.blame(w)
	}
	return fmt.Sprintf("%s says what the evidence shows", zone.AlertID(digest)), nil
}

// blame names the alert's field that was changed, as far as can be told.
func (c *checker) blame(w monitor.Weighed) error {
	for i, f := range c.b.Alert.Features {
		g := w.Features[i]
		if f.Name != g.Name || f.Observed != g.Observed || f.Low != g.Low || f.High != g.High || !near(f.Share, g.Share) {
			return failf(fmt.Sprintf("alert.features[%d]", i), "it says %+v, the evidence %+v", f, g)
		}
	}
	return failf("alert.name, alert.text or alert.features", "the alert is not the one whose digest the verdict names")
}

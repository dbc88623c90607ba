package proof

import (
	"fmt"
	"math"
	"reflect"

	"bellwether/internal/detect"
	"bellwether/internal/monitor"
	"bellwether/internal/novelty"
	"bellwether/internal/zone"
)

// tolerance is the relative difference of a score that is put down to another
// machine's arithmetic.
const tolerance = 1e-4

func near(a, b float64) bool {
	return math.Abs(a-b) <= tolerance*math.Max(math.Abs(a), math.Abs(b))+1e-12
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
			return "", failf(c.fields[i]+".score", "SEQ %d: the model gives %.6g, the row says %.6g", s.Seq, scores[i], s.Score)
		}
		if why := c.mislabelled(s); why != "" {
			return "", failf(c.fields[i]+".label", "SEQ %d is %s, though %s", s.Seq, s.Label, why)
		}
	}
	return fmt.Sprintf("the model gives each of the %d snapshots the score it has", len(c.rows)), nil
}

// mislabelled says why a snapshot's label is wrong, "" if it is not. A source
// that the device did not have while learning may be normal: it can have been
// given the address since.
func (c *checker) mislabelled(s *zone.Snapshot) string {
	above := s.Score > c.model.Threshold
	switch {
	case s.Label == zone.Unjudged:
		return "there was a model to judge it"
	case above && s.Label == zone.Normal:
		return "its score is above the threshold"
	case !above && s.Label == zone.Malicious && !c.foreign(s):
		return "its score is not above the threshold and its source is the device's own"
	}
	return ""
}

// checkVote takes the vote again.
func (c *checker) checkVote() (string, error) {
	switch c.verdict.Reason {
	case zone.ReasonSource:
		return c.checkSource()
	case zone.ReasonScore:
	default:
		return c.checkCount()
	}
	if len(c.rows) > c.model.Window {
		return "", failf("verdict.tx", "its evidence is %d snapshots, %d vote", len(c.rows), c.model.Window)
	}
	vote := detect.NewVote(c.model.Window, c.model.Span)
	malicious := false
	for i := range c.rows {
		malicious = vote.Add(c.rows[i].Time, c.rows[i].Label == zone.Malicious)
	}
	flagged, _ := vote.Count()
	if !malicious {
		return "", failf("verdict.tx", "only %d of %d snapshots are malicious: no majority", flagged, c.model.Window)
	}
	return fmt.Sprintf("%d of %d snapshots within %s are malicious: a majority", flagged, c.model.Window, c.model.Span), nil
}

// checkCount counts again what was new to the device.
func (c *checker) checkCount() (string, error) {
	n, err := novelty.Check(&c.model.Profile, c.verdict.Reason, c.rows)
	if err != nil {
		return "", failf("verdict.tx", "its reason is %q: %v", c.verdict.Reason, err)
	}
	said := ""
	switch c.verdict.Reason {
	case zone.ReasonHosts, zone.ReasonScan, zone.ReasonPorts, zone.ReasonSilent:
		said = "; that none had been contacted since, and that none answered, is the gateway's word"
	}
	return fmt.Sprintf("%s: counted again, %d are more than the limit of %d that follows from the model%s",
		c.verdict.Reason, n, novelty.LimitOf(&c.model.Profile, c.verdict.Reason, c.rows), said), nil
}

// checkSource checks a verdict that needs no vote.
func (c *checker) checkSource() (string, error) {
	s := &c.rows[len(c.rows)-1]
	switch {
	case len(c.rows) != 1:
		return "", failf("verdict.tx", "its evidence is %d snapshots: one has the wrong source", len(c.rows))
	case s.Label != zone.Malicious || !c.foreign(s):
		return "", failf("verdict.tx", "the source of SEQ %d is the device's own", s.Seq)
	}
	return fmt.Sprintf("SEQ %d came from %s by %s, which the device never had", s.Seq, s.Src, s.SrcMAC), nil
}

// checkAlert compares what the alert says with what was just found, field by
// field, then its digest with the verdict's.
func (c *checker) checkAlert() (string, error) {
	a, v, last := &c.b.Alert, c.verdict, &c.rows[len(c.rows)-1]
	w := monitor.Weigh(c.model, v.Reason, c.rows)
	for _, f := range []struct {
		name      string
		have, got any
	}{
		{"device", a.Device, c.vtx.Device}, {"since", a.Since, w.Since}, {"since", a.Since, v.Since},
		{"raised", a.Raised, last.Time}, {"raised", a.Raised, c.vtx.Time}, {"packet", a.Packet, last.Packet},
		{"reason", a.Reason, v.Reason}, {"threshold", a.Threshold, w.Threshold}, {"threshold", a.Threshold, v.Threshold},
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
	if err := c.checkFeatures(w.Features); err != nil {
		return "", err
	}
	digest, err := a.Digest()
	if err != nil {
		return "", failf("alert", "%v", err)
	}
	if digest != v.Alert {
		return "", c.blame(w.Features)
	}
	return fmt.Sprintf("%s says what the evidence shows", zone.AlertID(digest)), nil
}

// checkFeatures compares the alert's features with those that the evidence gives.
func (c *checker) checkFeatures(want []zone.AlertFeature) error {
	for i, f := range c.b.Alert.Features {
		g := want[i]
		if near(f.Share, g.Share) {
			g.Share = f.Share
		}
		if name := differing(f, g); name != "" {
			return failf(fmt.Sprintf("alert.features[%d].%s", i, name), "the alert has %+v, the evidence %+v", f, want[i])
		}
	}
	return nil
}

// differing names the first field in which two features differ, "" if none.
func differing(f, g zone.AlertFeature) string {
	switch {
	case f.Name != g.Name:
		return "name"
	case f.Observed != g.Observed:
		return "observed"
	case f.Low != g.Low:
		return "low"
	case f.High != g.High:
		return "high"
	case f.Share != g.Share:
		return "share"
	}
	return ""
}

// blame names the alert's field that makes its digest another one than the
// verdict's: a share by less than the tolerance, if with the shares
// recomputed the digest is right, else what only the digest covers.
func (c *checker) blame(want []zone.AlertFeature) error {
	mended := c.b.Alert
	mended.Features = want
	if digest, err := mended.Digest(); err == nil && digest == c.verdict.Alert {
		for i, f := range c.b.Alert.Features {
			if name := differing(f, want[i]); name != "" {
				return failf(fmt.Sprintf("alert.features[%d].%s", i, name), "the alert has %+v, the evidence %+v", f, want[i])
			}
		}
	}
	return failf("alert.name, alert.text, alert.features or alert.network_policy", "the alert is not the one whose digest the verdict names")
}

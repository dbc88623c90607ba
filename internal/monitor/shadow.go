package monitor

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/novelty"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// How far a model may follow its device from its anchor, the first model since
// the device joined or was sent back to learning. Both hold for all later models
// together, so that many small steps come no further than one.
const (
	maxScoreShift = 2 // times the anchor's threshold: no snapshot that the model follows scores higher under the anchor;
	// times what its calibration snapshots reached together: nor do those of a vote
	maxLimitShift = 2 // times the anchor's: no plain limit may be higher
)

// shadow is a model that was learned from what the device's anchor was learned
// from and from what passed the gates since.
type shadow struct {
	Comparison
	model    *detect.Model
	accepted *contract.ModelAccepted // what the ledger is to say of it
}

// Comparison holds the models of a device against what passed the gates.
type Comparison struct {
	Gates   Gates     `json:"gates"`
	Newer   uint64    `json:"newer"`    // of the passed ones, those since the model in force was learned
	HeldOut uint64    `json:"held_out"` // the newest of them, from which the shadow did not learn
	Anchor  Candidate `json:"anchor"`   // the first model since the device joined or learned anew
	Present Candidate `json:"present"`
	Shadow  Candidate `json:"shadow"`
	Tried   Tried     `json:"tried"` // attacks that did not happen, if the shadow got so far
}

// Candidate is one of the models that are compared, and what it says of the
// snapshots that passed the gates.
type Candidate struct {
	Digest    zone.Hash `json:"digest"`
	Rows      uint64    `json:"rows"` // that it was learned from
	Threshold float64   `json:"threshold"`
	Above     float64   `json:"above"`   // share of the passed ones with a score above the threshold
	Highest   float64   `json:"highest"` // of their scores
	// Together is the most that they score in a majority of a vote, Usual what
	// the model's calibration snapshots did.
	Together float64 `json:"together"`
	Usual    float64 `json:"usual_together"`
	// P99 is the 99 % quantile of the scores of the newest 2,000 that passed, or were
	// held out, and High the share of them above that of the model's calibration scores.
	P99  float64 `json:"newest_p99"`
	High float64 `json:"newest_high"`
}

// BoundError says that a model may not follow its device so far.
type BoundError struct{ Why string }

func (e *BoundError) Error() string {
	return e.Why + "; it may not follow the device so far from its first model"
}

// lesson is what a shadow is learned from.
type lesson struct {
	rows            *store.Store
	history         *History
	anchor, present *detect.Model // of the history
	to              zone.SeqID    // the newest snapshot
	// holdOut is how long before the newest that passed nothing is learned from, so
	// that both models can be compared on what neither has seen; ready then says
	// before the training why there should be no shadow. 0, nil: none.
	holdOut time.Duration
	ready   func(*Comparison) error
}

// train learns a shadow. Too few snapshots that passed are a [*detect.TooFewError].
// Whether it may take over is for check to say. The same snapshots give the same
// model.
func (x *lesson) train(ctx context.Context) (*shadow, error) {
	l := &learner{stride: 1, profile: newProfiler(), follows: &x.anchor.Profile}
	s, err := x.collect(ctx, l)
	if err == nil && x.ready != nil {
		err = x.ready(&s.Comparison)
	}
	if err != nil {
		return s, err
	}
	t := l.train(ctx, x.history.Device, x.present.Fit.Options, nil)
	if t.err != nil {
		return s, t.err
	}
	s.model, s.accepted = t.model, acceptance(t)
	byShadow, again := newGauge(t.model), &sieve{history: x.history}
	err = again.each(ctx, x.rows, x.to, func(*zone.Snapshot) {}, byShadow.add)
	s.Shadow = byShadow.candidate(s.accepted.Rows, x.newest(s))
	return s, err
}

// collect fills the learner and says what the models that there are make of it.
func (x *lesson) collect(ctx context.Context, l *learner) (*shadow, error) {
	byAnchor, byPresent := newGauge(x.anchor), newGauge(x.present)
	v, s := &sieve{history: x.history}, &shadow{}
	err := v.each(ctx, x.rows, x.to, l.add, func(row *zone.Snapshot) {
		if x.holdOut > 0 && row.Time > v.until.Add(-x.holdOut) {
			s.HeldOut++
		} else {
			l.add(row)
		}
		byAnchor.add(row)
		byPresent.add(row)
		if row.Seq > x.present.Origin.Last {
			s.Newer++
		}
	})
	s.Gates = v.gates
	if err != nil {
		return s, err
	}
	if need := x.present.Fit.Options.MinRows; v.gates.Passed < uint64(need) {
		return s, fmt.Errorf("newer snapshots of %s that passed the gates: %w", x.history.Device, &detect.TooFewError{Have: int(v.gates.Passed), Need: need})
	}
	had := x.history.Models
	s.Anchor, s.Present = byAnchor.candidate(had[0].Rows, x.newest(s)), byPresent.candidate(had[len(had)-1].Rows, x.newest(s))
	return s, nil
}

// newest is how many of the newest snapshots say what the device does now: those
// that were held out, if any have to be.
func (x *lesson) newest(s *shadow) int {
	if x.holdOut > 0 {
		return int(min(s.HeldOut, gaugeNewest))
	}
	return gaugeNewest
}

// acceptance is what the ledger says of a learned model.
func acceptance(t trained) *contract.ModelAccepted {
	m, from := t.model, t.model.Origin
	return &contract.ModelAccepted{Digest: m.Digest(), Features: from.Definition, First: from.First, Last: from.Last,
		Rows: uint64(t.seen), From: from.From, To: from.To, Threshold: m.Threshold, Rule: string(m.Fit.Options.Rule),
		Window: uint32(m.Window), Span: m.Span}
}

// wanted says why no shadow should be learned without an operator's word: too
// little was held out, or the device has not drifted and sent fewer than least newer
// snapshots that passed.
func (c *Comparison) wanted(least uint64) error {
	switch {
	case c.HeldOut < fewestHeldOut:
		return fmt.Errorf("%d of the newest snapshots passed: %d are needed to compare on", c.HeldOut, fewestHeldOut)
	case c.Present.High < detect.DriftedShare && c.Newer < least:
		return fmt.Errorf("there is no reason: %.1f %% of the newest snapshots that passed score high, a drift is from %.0f %% on; %d passed since the model was learned, of %d that are wanted",
			100*c.Present.High, 100*detect.DriftedShare, c.Newer, least)
	}
	return nil
}

// fewestHeldOut is the fewest snapshots on which models are compared.
const fewestHeldOut = 100

// better says why the shadow is no better than the model in force: on what neither
// has learned from it has to fit more closely, and let 99 % pass. That keeps out what
// is useless, and bounds nothing.
func (c *Comparison) better() error {
	switch is, was := &c.Shadow, &c.Present; {
	case !(is.P99 < was.P99):
		return fmt.Errorf("the shadow is no better: 99 %% of the %d newest snapshots score up to %.4g, under the model in force %.4g", min(c.HeldOut, gaugeNewest), is.P99, was.P99)
	case !(is.P99 <= is.Threshold):
		return fmt.Errorf("the shadow is no better: more than 1 %% of the %d newest snapshots score above its threshold of %.4g", min(c.HeldOut, gaugeNewest), is.Threshold)
	}
	return nil
}

// check holds a shadow against its bounds; the error is a [*BoundError].
func (s *shadow) check(anchor *detect.Model) error {
	if most := maxScoreShift * anchor.Threshold; !(s.Anchor.Highest <= most) {
		return &BoundError{fmt.Sprintf("under the first model a snapshot that passed scores %.4g, more than %d times its threshold of %.4g",
			s.Anchor.Highest, maxScoreShift, anchor.Threshold)}
	}
	if most := maxScoreShift * s.Anchor.Usual; !(s.Anchor.Together <= most) {
		return &BoundError{fmt.Sprintf("under the first model most snapshots of a minute that passed score %.4g, more than %d times the %.4g that was usual",
			s.Anchor.Together, maxScoreShift, s.Anchor.Usual)}
	}
	return s.checkLimits(anchor)
}

// checkLimits holds the plain limits against those of the anchor.
func (s *shadow) checkLimits(anchor *detect.Model) error {
	for _, reason := range []string{zone.ReasonHosts, zone.ReasonPorts, zone.ReasonFlows, zone.ReasonPeer, zone.ReasonBurst, zone.ReasonRate, zone.ReasonSilent} {
		if err := checkLimit(reason, novelty.Limit(&anchor.Profile, reason), novelty.Limit(&s.model.Profile, reason)); err != nil {
			return err
		}
	}
	for _, v := range novelty.Services(&s.model.Profile) {
		if err := checkLimit("new hosts "+v.String(), novelty.LimitOn(&anchor.Profile, v), novelty.LimitOn(&s.model.Profile, v)); err != nil {
			return err
		}
	}
	return nil
}

// checkLimit says why a plain limit may not become another one.
func checkLimit(of string, was, is int) error {
	switch {
	case was > 0 && is == 0:
		return &BoundError{fmt.Sprintf("it would no longer judge the device by its %s, which the first model limits to %d", of, was)}
	case was > 0 && is > maxLimitShift*was:
		return &BoundError{fmt.Sprintf("its limit of %s would be %d, more than %d times the first model's %d", of, is, maxLimitShift, was)}
	}
	return nil
}

// gauge says how a model scores snapshots, as they come.
type gauge struct {
	model    *detect.Model
	scorer   *detect.Scorer
	rows     [][zone.Features]float32
	times    []zone.Time
	scores   []float64
	seen     uint64
	above    uint64
	highest  float64
	together float64
	newest   []float64 // scores, at most gaugeNewest of them
}

const (
	gaugeRows   = 1024 // are scored together
	gaugeNewest = 2000 // say what the device does now
)

func newGauge(m *detect.Model) *gauge {
	return &gauge{model: m, scorer: m.NewScorer(), rows: make([][zone.Features]float32, 0, gaugeRows)}
}

func (g *gauge) add(s *zone.Snapshot) {
	g.rows, g.times = append(g.rows, s.Features), append(g.times, s.Time)
	if len(g.rows) == gaugeRows {
		g.flush()
	}
}

// flush counts the scores of the rows. Those before them that may vote with later
// ones are kept.
func (g *gauge) flush() {
	before := len(g.times) - len(g.rows)
	g.scores = append(g.scores[:before], make([]float64, len(g.rows))...)
	g.scorer.Score(g.rows, g.scores[before:])
	for _, v := range g.scores[before:] {
		g.highest = math.Max(g.highest, v)
		if v > g.model.Threshold {
			g.above++
		}
	}
	g.together = math.Max(g.together, g.model.Together(g.times, g.scores))
	g.seen += uint64(len(g.rows))
	g.newest = append(g.newest, g.scores[before:]...)
	g.newest = slices.Delete(g.newest, 0, max(0, len(g.newest)-gaugeNewest))
	old := max(0, len(g.times)-g.model.Fit.Options.MinWindow)
	g.rows, g.times, g.scores = g.rows[:0], slices.Delete(g.times, 0, old), slices.Delete(g.scores, 0, old)
}

// candidate gives what was found, of a model that learned from so many rows and with
// so many of the newest.
func (g *gauge) candidate(learned uint64, newest int) Candidate {
	g.flush()
	c := Candidate{Digest: g.model.Digest(), Rows: learned, Threshold: g.model.Threshold, Highest: g.highest, Together: g.together, Usual: g.model.UsualTogether()}
	if g.seen > 0 {
		c.Above = float64(g.above) / float64(g.seen)
	}
	if recent := g.newest[max(0, len(g.newest)-newest):]; len(recent) > 0 {
		c.High, c.P99 = g.model.High(recent)
	}
	return c
}

package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"

	"bellwether/internal/detect"
)

// summary says what the device's benign rows are.
func (e *experiment) summary() Summary {
	p := e.parts
	opt, test := p.benign.part(p.opt, p.test), p.benign.part(p.test, len(p.benign.Values))
	return Summary{
		Name: e.device.Name, Notes: slices.Clone(p.benign.Notes),
		Train: p.opt, Opt: len(opt.Values), Test: len(test.Values),
		OptHours:  observed(opt.Times, e.Quiet).Hours(),
		TestHours: observed(test.Times, e.Quiet).Hours(),
	}
}

// benign collects what the trials cost, and what they did on benign rows.
func (e *experiment) benign(s *Summary) {
	for _, trials := range e.trials {
		c := Compute{Device: s.Name, Algorithm: trials[0].algorithm}
		for _, t := range trials {
			c.Fit, c.One, c.Many = append(c.Fit, t.fit), append(c.One, t.one), append(c.Many, t.many)
		}
		e.result.Computing = append(e.result.Computing, c)
		for r, rule := range Rules() {
			q := Quiet{Device: s.Name, Algorithm: c.Algorithm, Rule: rule}
			for _, t := range trials {
				e.quiet(&q, t, r)
			}
			e.result.Benign = append(e.result.Benign, q)
		}
	}
}

// quiet adds one trial under one rule.
func (e *experiment) quiet(q *Quiet, t *trial, rule int) {
	p, set, n := e.parts, t.settings[rule], t.benign[rule]
	opt, test := p.benign.part(p.opt, p.test), p.benign.part(p.test, len(p.benign.Values))
	q.Threshold = append(q.Threshold, set.threshold)
	q.Window = append(q.Window, float64(set.window))
	q.RowFPR = append(q.RowFPR, share(n.flagged, n.rows))
	q.WindowFPR = append(q.WindowFPR, share(n.voted, n.windows))
	alarms := e.alarms(&test, t.test, set, math.MaxInt)
	expected := e.alarms(&opt, t.opt, set, math.MaxInt)
	q.Alarms = append(q.Alarms, float64(alarms))
	q.PerWeek = append(q.PerWeek, rate(float64(alarms), weeks(observed(test.Times, e.Quiet))))
	seen := observed(opt.Times, e.Quiet)
	q.Expected = append(q.Expected, rate(float64(expected), weeks(seen)))
	bound := math.NaN()
	if seen > 0 {
		bound = detect.AtMost(expected, seen)
	}
	q.Bound = append(q.Bound, bound)
}

// rate is events by time, NaN where there is no time.
func rate(events, time float64) float64 {
	if time <= 0 {
		return math.NaN()
	}
	return events / time
}

// attack loads one attack and lets every trial see it.
func (e *experiment) attack(ctx context.Context, set *Set, s *Summary) error {
	rows, err := set.Load(ctx)
	if err == nil {
		err = rows.validate()
	}
	positives := 0
	for i := range rows.Values {
		if rows.attacked(i) {
			positives++
		}
	}
	if err == nil && positives == 0 {
		err = fmt.Errorf("there is no row of the attack")
	}
	if err != nil {
		return fmt.Errorf("%s, attack %s: %w", s.Name, set.Name, err)
	}
	s.Attacks = append(s.Attacks, Amount{Attack: set.Name, Rows: positives, Timed: rows.Times != nil})
	s.Notes = append(s.Notes, rows.Notes...)
	found := make([][]Found, len(e.trials))
	err = each(e.Workers, len(e.trials), func(a int) (err error) {
		found[a], err = e.judge(ctx, e.trials[a], &rows)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s, attack %s: %w", s.Name, set.Name, err)
	}
	for _, rules := range found {
		for _, f := range rules {
			f.Device, f.Attack = s.Name, set.Name
			e.result.Attacks = append(e.result.Attacks, f)
		}
	}
	return nil
}

// verdicts is what one trial did on one attack.
type verdicts struct {
	auc    float64
	counts []tally // by setting
}

// judge scores an attack with all seeds of one algorithm.
func (e *experiment) judge(ctx context.Context, trials []*trial, rows *Rows) ([]Found, error) {
	found := make([]Found, len(Rules()))
	for r, rule := range Rules() {
		found[r] = Found{Algorithm: trials[0].algorithm, Rule: rule}
	}
	var first verdicts
	for s, t := range trials {
		v := first
		if t.twin == nil {
			var err error
			if v, err = e.verdicts(ctx, t, rows); err != nil {
				return nil, err
			}
		}
		if s == 0 {
			first = v
		}
		for r := range found {
			found[r].add(t, &v, r)
		}
		e.step()
	}
	return found, nil
}

func (e *experiment) verdicts(ctx context.Context, t *trial, rows *Rows) (verdicts, error) {
	scores, err := t.score(ctx, rows.Values)
	if err != nil {
		return verdicts{}, err
	}
	var v verdicts
	for _, s := range t.settings {
		v.counts = append(v.counts, e.count(rows, scores, s))
	}
	attacked := scores[:0]
	for i, score := range scores {
		if rows.attacked(i) {
			attacked = append(attacked, score)
		}
	}
	v.auc = auc(slices.Clone(t.test), attacked)
	return v, nil
}

// add appends one seed's numbers.
func (f *Found) add(t *trial, v *verdicts, rule int) {
	n, benign := v.counts[rule], t.benign[rule]
	f.RowTPR = append(f.RowTPR, share(n.flagged, n.rows))
	f.RowF1 = append(f.RowF1, f1(n.flagged, n.rows, benign.flagged))
	f.AUC = append(f.AUC, v.auc)
	f.RowDelay = append(f.RowDelay, position(n.first))
	f.RowSeconds = append(f.RowSeconds, n.firstIn)
	f.WindowTPR = append(f.WindowTPR, share(n.voted, n.windows))
	f.WindowF1 = append(f.WindowF1, f1(n.voted, n.windows, benign.voted))
	f.WindowDelay = append(f.WindowDelay, position(n.alarm))
	f.WindowSeconds = append(f.WindowSeconds, n.alarmIn)
	f.Computing = append(f.Computing, position(n.alarm)*t.one/1e9)
	missed := 0.0
	if n.alarm == 0 {
		missed = 1
	}
	f.Missed = append(f.Missed, missed)
}

// position is a row counted from 1, NaN for none.
func position(row int) float64 {
	if row == 0 {
		return math.NaN()
	}
	return float64(row)
}

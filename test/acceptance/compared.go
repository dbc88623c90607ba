package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bellwether/internal/evaluate"
)

// experiment is the part of results.json that is looked at here.
type experiment struct {
	Computing []struct {
		Algorithm string
		Fit       mean `json:"fit_s"`
		One       mean `json:"row_batch_1_ns"`
	}
	Benign []struct {
		Algorithm string
		Rule      evaluate.Rule
		RowFPR    mean `json:"row_fpr"`
		WindowFPR mean `json:"window_fpr"`
		PerWeek   mean `json:"alarms_per_week"`
	}
	Attacks []struct {
		Algorithm string
		Rule      evaluate.Rule
		RowTPR    mean `json:"row_tpr"`
		AUC       mean `json:"auc"`
		WindowTPR mean `json:"window_tpr"`
		Seconds   mean `json:"window_delay_s"`
		Missed    mean `json:"missed"`
	}
}

// mean is an estimate's; nil is not known.
type mean struct{ Mean *float64 }

// average is a mean of those that are known.
type average struct {
	sum float64
	n   int
}

func (a *average) add(m mean) {
	if m.Mean != nil {
		a.sum += *m.Mean
		a.n++
	}
}

func (a *average) value() float64 { return a.sum / float64(a.n) }

func (a *average) text(format string, scale float64) string {
	if a.n == 0 {
		return "–"
	}
	return fmt.Sprintf(format, scale*a.value())
}

// line is one algorithm under one rule, means over devices and attacks.
type line struct {
	algorithm                               string
	rule                                    evaluate.Rule
	rowTPR, auc, windowTPR, seconds, missed average
	rowFPR, windowFPR, perWeek              average
	fit, one                                average
}

// of sums up one algorithm under one rule.
func (x *experiment) of(algorithm string, rule evaluate.Rule) *line {
	l := &line{algorithm: algorithm, rule: rule}
	for _, a := range x.Attacks {
		if a.Algorithm == algorithm && a.Rule == rule {
			l.rowTPR.add(a.RowTPR)
			l.auc.add(a.AUC)
			l.windowTPR.add(a.WindowTPR)
			l.seconds.add(a.Seconds)
			l.missed.add(a.Missed)
		}
	}
	for _, b := range x.Benign {
		if b.Algorithm == algorithm && b.Rule == rule {
			l.rowFPR.add(b.RowFPR)
			l.windowFPR.add(b.WindowFPR)
			l.perWeek.add(b.PerWeek)
		}
	}
	for _, c := range x.Computing {
		if c.Algorithm == algorithm {
			l.fit.add(c.Fit)
			l.one.add(c.One)
		}
	}
	return l
}

func everyAlgorithm(string) bool    { return true }
func onlyAutoencoder(a string) bool { return a == evaluate.Autoencoder }

// table shows some algorithms under all rules.
func (x *experiment) table(shown func(algorithm string) bool) string {
	t := newTable()
	t.row("rule", "algorithm", "row TPR", "row FPR", "AUC", "window TPR", "window FPR", "missed", "seconds to the alarm", "false alarms a week", "µs a row", "s to train")
	for _, rule := range evaluate.Rules() {
		for _, a := range evaluate.Algorithms() {
			if !shown(a) {
				continue
			}
			l := x.of(a, rule)
			t.row(string(rule), a, l.rowTPR.text("%.2f %%", 100), l.rowFPR.text("%.2f %%", 100), l.auc.text("%.4f", 1), l.windowTPR.text("%.2f %%", 100),
				l.windowFPR.text("%.2f %%", 100), l.missed.text("%.1f %%", 100), l.seconds.text("%.2f", 1), l.perWeek.text("%.2f", 1), l.one.text("%.1f", 1e-3), l.fit.text("%.2f", 1))
		}
	}
	return t.String()
}

// better names the algorithms that do better than ours somewhere.
func (x *experiment) better() (out []string) {
	for _, rule := range evaluate.Rules() {
		ours := x.of(evaluate.Autoencoder, rule)
		for _, a := range evaluate.Algorithms() {
			l := x.of(a, rule)
			var in []string
			for _, m := range []struct {
				name         string
				theirs, ours average
				sign         float64
			}{{"window TPR", l.windowTPR, ours.windowTPR, 1}, {"window FPR", l.windowFPR, ours.windowFPR, -1},
				{"attacks missed", l.missed, ours.missed, -1}, {"AUC", l.auc, ours.auc, 1}} {
				if m.sign*(m.theirs.value()-m.ours.value()) > 1e-9 {
					in = append(in, m.name)
				}
			}
			if len(in) > 0 {
				out = append(out, fmt.Sprintf("%s, %s: better in %s", rule, a, strings.Join(in, ", ")))
			}
		}
	}
	return out
}

// complete wants rates on attacks, rates on benign rows and times of every
// algorithm.
func (x *experiment) complete(o *outcome) {
	missing := slices.DeleteFunc(evaluate.Algorithms(), func(a string) bool {
		l := x.of(a, evaluate.Eq1)
		return l.rowTPR.n > 0 && l.rowFPR.n > 0 && l.one.n > 0
	})
	o.need(len(missing) == 0, "%d of %d algorithms have rates and times, these have not: %q", len(evaluate.Algorithms())-len(missing), len(evaluate.Algorithms()), missing)
}

// evaluate runs the experiment and reads what it wrote.
func (e *evaluating) evaluate(args ...string) (*experiment, error) {
	dir, err := e.scratch("experiment")
	if err != nil {
		return nil, err
	}
	if _, err := e.must(append([]string{"evaluate"}, append(args, "--out", dir)...)...); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dir, "results.json"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	x := new(experiment)
	return x, x.read(f)
}

func (x *experiment) read(r io.Reader) error { return json.NewDecoder(r).Decode(x) }

// onCaptures runs the experiment on the zone's captures, once.
func (e *evaluating) onCaptures() (_ *experiment, err error) {
	if e.captures == nil {
		args := append([]string{"captures", "--learn", e.zone.training, "--benign"}, e.zone.monitoring...)
		if e.zone.names != "" {
			args = append(args, "--devices", e.zone.names)
		}
		e.captures, err = e.evaluate(args...)
	}
	return e.captures, err
}

// compared shows our detector beside the others on rows of the zone's captures.
func (e *evaluating) compared(o *outcome) error {
	o.goal = "seven algorithms in one run with rates, false positives and time; where another is better, it is said"
	x, err := e.onCaptures()
	if err != nil {
		return err
	}
	o.say("%s", x.table(everyAlgorithm))
	x.complete(o)
	for _, b := range x.better() {
		o.say("%s", b)
	}
	return nil
}

// published shows all algorithms on the rows of N-BaIoT that are at hand.
func (e *evaluating) published(o *outcome) error {
	o.goal = "flag rates of all algorithms"
	dir, err := e.layOut()
	if err != nil {
		return err
	}
	x, err := e.evaluate("nbaiot", dir)
	if err != nil {
		return err
	}
	o.say("%s", x.table(everyAlgorithm))
	x.complete(o)
	return nil
}

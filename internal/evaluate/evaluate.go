// Package evaluate runs the paper's experiment (section 5) and reports it: what
// does each detector find, how often is it wrong, how long does it take?
//
// The input is a list of devices, each with benign rows in the order of time and
// named sets of rows under attack. Where they come from is the caller's
// business: a published data set, or captures with attacks laid over them.
//
// For every device, the benign rows are split by time, never shuffled, into three
// parts of equal size, after N-BaIoT: the first trains, the second (the paper's
// OptDS) stops the autoencoder's training and sets every threshold and window,
// the third is only looked at to count false positives. Where attacks were laid
// over a later part of the benign traffic, that is the third part (Rows.Test),
// and what is before it is halved. Seven detectors are given
// the same parts: our autoencoder (package detect) and those of package baseline,
// which see the rows after the transform that the autoencoder has built in:
// signed log1p, then standardised by the training part.
//
// # Thresholds
//
// Every detector gets each of these from its own scores of the second part:
//
//   - Eq1: mean plus standard deviation, the paper's Equation 1
//   - Conformal: the ⌈(n+1)(1−α)⌉-th smallest score, α = 0.001; the largest when
//     there are fewer than 1/α − 1
//   - Max: the largest score
//   - Calm: half-way, on a logarithmic scale, between the largest score and the
//     least threshold (but not below the 99 % quantile) at which a vote of 60
//     rows raises no more false alarms than wished, by default 1 in a week
//
// With the first three goes the smallest window whose majority vote raises no
// alarm on the second part, as in N-BaIoT.
//
// # What is measured
//
// Per row: true and false positive rate, F1, the area under the ROC curve (of
// the scores: no threshold in it), and the row of the attack that is flagged
// first. Per window: the same of the vote, at every row that ends a full window.
// Rates of false positives and F1 are those of the third part with the attack's
// rows beside it; F1 depends on how many there are of each. Detection time is that
// from the attack's first row to the alarm, in rows, and in seconds where rows
// have times, with the time that scoring these rows took.
//
// A false alarm lasts until nothing was alarming for Quiet. One that lasts longer
// than Quiet counts once for each Quiet, so that a permanent alarm is not one.
// Observed time leaves out gaps longer than Quiet.
//
// # Confidence
//
// Intervals are 95 % of Student's t over seeds. They say how much the result
// depends on chance in training, not how much on the choice of devices and days.
// A detector that draws nothing has none.
//
// The same input and options give the same numbers, whatever the workers; times
// of computing are the exception. The package does not read a clock: give it one.
package evaluate

import (
	"context"
	"fmt"
	"time"

	"bellwether/internal/baseline"
	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// Rows are feature rows of one device in the order of arrival.
type Rows struct {
	Values [][zone.Features]float32
	Times  []zone.Time // one per row, never falling; nil: rows carry no time
	// Attack says which rows belong to the attack, in a set that has benign
	// rows too: only these count. Nil: all of them.
	Attack []bool
	// Test is, of benign rows, the first of the third part; 0 is two thirds.
	Test  int
	Notes []string // what the report has to say about these rows
}

// Set is one attack. Load is called once, when it is needed, and what it gives
// is let go before the next.
type Set struct {
	Name string
	Load func(context.Context) (Rows, error)
}

// Device is the input of one device.
type Device struct {
	Name    string
	Benign  func(context.Context) (Rows, error) // called once
	Attacks []Set
}

// MinRows is the fewest benign rows of a device: a third of them has to be
// enough to learn from and to set a threshold.
const MinRows = 150

// Options of an experiment. A zero field stands for its default.
type Options struct {
	// Title and Notes stand at the head of the report.
	Title string
	Notes []string
	// Algorithms to run, nil is all: see Algorithms.
	Algorithms []string
	// Seed is the first of Seeds consecutive seeds. Seeds 0 is 3, at most 100.
	Seed  uint64
	Seeds int
	// Alarms is how many false alarms a week Calm may expect for a device,
	// above 0; 0 is 1.
	Alarms float64
	// Alpha of Conformal, between 0 and 1; 0 is 0.001.
	Alpha float64
	// Window is the rows of Calm's vote, 0 is 60; MaxWindow the most that the
	// other rules try, 0 is 250. At most 10,000.
	Window, MaxWindow int
	// Span is how old a row may be to vote, where rows have times; 0 is 60 s.
	Span time.Duration
	// Quiet ends a false alarm; 0 is 5 minutes.
	Quiet time.Duration
	// Workers is how many detectors are trained and asked at once, 0 is 1.
	Workers int
	// Detect and Baseline are for the detectors; their seeds, and the shares
	// and least rows of Detect, are set here.
	Detect   detect.Options
	Baseline baseline.Options
	// Now is the clock that measures computing; nil: it is not measured.
	Now func() time.Time `json:"-"`
	// Progress, unless nil, is told how many steps of how many are done.
	Progress func(done, total int64) `json:"-"`
	// Machine is what the report says about where it was made.
	Machine Machine
}

// Machine says on what an experiment ran.
type Machine struct {
	Processor, System, Go, Version string
	Cores                          int
}

func (o Options) withDefaults() Options {
	o.Seeds = fallback(o.Seeds, 3)
	o.Alarms = fallback(o.Alarms, 1)
	o.Alpha = fallback(o.Alpha, 0.001)
	o.Window = fallback(o.Window, 60)
	o.MaxWindow = fallback(o.MaxWindow, 250)
	o.Span = fallback(o.Span, time.Minute)
	o.Quiet = fallback(o.Quiet, 5*time.Minute)
	o.Workers = fallback(o.Workers, 1)
	o.Title = fallback(o.Title, "Evaluation")
	if o.Algorithms == nil {
		o.Algorithms = Algorithms()
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	return o
}

func fallback[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Validate says what is wrong with o, if anything is.
func (o Options) Validate() error {
	o = o.withDefaults()
	for _, c := range []struct {
		ok    bool
		name  string
		value any
		want  string
	}{
		{o.Seeds >= 1 && o.Seeds <= 100, "seeds", o.Seeds, "1 to 100"},
		{o.Alarms > 0 && o.Alarms < 1e6, "alarms a week", o.Alarms, "more than 0"},
		{o.Alpha > 0 && o.Alpha < 1, "alpha", o.Alpha, "a share between 0 and 1"},
		{o.Window >= 1 && o.Window <= 10000, "window", o.Window, "1 to 10000 rows"},
		{o.MaxWindow >= 1 && o.MaxWindow <= 10000, "largest window", o.MaxWindow, "1 to 10000 rows"},
		{o.Span > 0, "span", o.Span, "more than 0"},
		{o.Quiet > 0, "quiet", o.Quiet, "more than 0"},
		{o.Workers >= 1, "workers", o.Workers, "1 or more"},
	} {
		if !c.ok {
			return fmt.Errorf("%s is %v, want %s", c.name, c.value, c.want)
		}
	}
	return o.checkAlgorithms()
}

package detect

import (
	"fmt"
	"math"
	"time"
)

// Rule is the way in which a threshold follows from the calibration scores.
type Rule string

// The rules.
const (
	// Eq1 is the paper's Equation 1: mean plus standard deviation. Loose: rows
	// above it are common, so the window vote does the work.
	Eq1 Rule = "eq1"
	// Max is the largest calibration score.
	Max Rule = "max"
	// Conformal is the ⌈(n+1)(1−α)⌉-th smallest of n calibration scores: were
	// rows exchangeable, at most a share α of normal rows would lie above it.
	// With fewer than 1/α−1 scores no score is that rank, and Max is used.
	Conformal Rule = "conformal"
	// Balanced lies half-way, on a logarithmic scale, between what normal rows
	// reach together and what one of them reached alone: the geometric mean of
	// the largest calibration score and of the larger of the 99 % quantile and
	// the least threshold at which the window vote, with MinWindow rows, raises
	// no alarm on the calibration rows. A single odd row, which cannot carry a
	// vote, blinds it less than Max. On the real smart home (see the package
	// doc) it found scans that Max missed, at the price of more false alarms.
	Balanced Rule = "balanced"
	// Calm is the threshold at which AlarmsPerWeek are expected of a device's
	// normal rows, by the tail of what they reach together in blocks of 10
	// minutes (Tail), at least the most they reached. It is Max until the device
	// has been seen for as long as it takes to promise that rate (Needed), three
	// weeks for one a week, and where it never sent enough at a time to carry a
	// vote.
	Calm Rule = "calm"
	// Quantile is the ⌈n(1−α)⌉-th smallest calibration score.
	Quantile Rule = "quantile"
)

// Options of a training. A zero field stands for its default.
type Options struct {
	// LearningRate of Adam, 0 is 0.001, at most 1.
	LearningRate float64 `cbor:"learning_rate"`
	// Epochs is the most passes over TDS, 0 is 30, at most 10,000.
	Epochs int `cbor:"epochs"`
	// Work is the most row-epochs (rows of TDS times passes), so that a
	// training ends in time on a small machine. 0 is 600,000. At least one
	// pass is made.
	Work int `cbor:"work"`
	// Batch is the rows of one descent step, 0 is 32, at most 4,096.
	Batch int `cbor:"batch"`
	// Patience is how many epochs in a row may fail to lower the error on the
	// stopping rows before training ends, 0 is 10.
	Patience int `cbor:"patience"`
	// Seed of the initial weights and the order of rows. 0 is a seed like any
	// other.
	Seed uint64 `cbor:"seed"`
	// Rule of the threshold, "" is Calm.
	Rule Rule `cbor:"rule"`
	// Alpha is the share of normal rows that may lie above the threshold
	// under Conformal and Quantile, between 0 and 1; 0 is 0.001.
	Alpha float64 `cbor:"alpha"`
	// AlarmsPerWeek is how many false alarms of one device an operator can
	// live with, under Calm; 0 is 1, at most 10,000.
	AlarmsPerWeek float64 `cbor:"alarms_per_week"`
	// OptShare is the share of rows, the latest ones, that are OptDS, between
	// 0 and 1; 0 is 0.4.
	OptShare float64 `cbor:"opt_share"`
	// SplitOptDS lets the earlier half of OptDS stop the training and the
	// later half alone set threshold and window, instead of all of OptDS doing
	// both. Only then has no choice seen the rows that Conformal judges by.
	SplitOptDS bool `cbor:"split_opt_ds"`
	// MinWindow and MaxWindow bound the size of the vote, in rows; 0 is 60 and
	// 250, at most 10,000. The same value in both fixes it.
	MinWindow int `cbor:"min_window"`
	MaxWindow int `cbor:"max_window"`
	// Span is how old a row may be to count in a vote, 0 is 60 s, at most a day.
	Span time.Duration `cbor:"span"`
	// MinRows is the fewest rows to learn from, 0 is 200, at least 20.
	MinRows int `cbor:"min_rows"`
	// MaxRows is the most rows of TDS; more are thinned to every k-th. 0 is
	// 20,000. The stopping rows are thinned to a quarter of it. Calibration
	// takes every row, since a vote over thinned rows means something else.
	MaxRows int `cbor:"max_rows"`
}

// Validate says what is wrong with o, if anything is.
func (o Options) Validate() error {
	o = o.withDefaults()
	share := func(v float64) bool { return v > 0 && v < 1 }
	within := func(v, lo, hi int) bool { return v >= lo && v <= hi }
	for _, c := range []struct {
		ok   bool
		name string
		got  any
		want string
	}{
		{o.LearningRate > 0 && o.LearningRate <= 1, "learning rate", o.LearningRate, "above 0, at most 1"},
		{within(o.Epochs, 1, 10_000), "epochs", o.Epochs, "1 to 10000"},
		{within(o.Work, 1, math.MaxInt32), "work", o.Work, "1 to 2147483647"},
		{within(o.Batch, 1, 4096), "batch", o.Batch, "1 to 4096"},
		{within(o.Patience, 1, 10_000), "patience", o.Patience, "1 to 10000"},
		{o.Rule.known(), "rule", o.Rule, "calm, max, balanced, eq1, conformal or quantile"},
		{share(o.Alpha), "alpha", o.Alpha, "between 0 and 1"},
		{o.AlarmsPerWeek > 0 && o.AlarmsPerWeek <= 10_000, "alarms per week", o.AlarmsPerWeek, "above 0, at most 10000"},
		{share(o.OptShare), "share of OptDS", o.OptShare, "between 0 and 1"},
		{within(o.MinWindow, 1, maxWindow), "smallest window", o.MinWindow, "1 to 10000"},
		{within(o.MaxWindow, o.MinWindow, maxWindow), "largest window", o.MaxWindow, "the smallest window to 10000"},
		{o.Span > 0 && o.Span <= maxSpan, "window span", o.Span, "above 0, at most 24h"},
		{within(o.MinRows, 20, 1_000_000), "fewest rows", o.MinRows, "20 to 1000000"},
		{within(o.MaxRows, 20, 1_000_000), "most rows", o.MaxRows, "20 to 1000000"},
	} {
		if !c.ok {
			return fmt.Errorf("detector option: %s is %v, want %s", c.name, c.got, c.want)
		}
	}
	return nil
}

const (
	maxWindow = 10_000
	maxSpan   = 24 * time.Hour
)

func (r Rule) known() bool {
	return r == Eq1 || r == Max || r == Conformal || r == Quantile || r == Balanced || r == Calm
}

func (o Options) withDefaults() Options {
	orElse(&o.LearningRate, 0.001)
	orElse(&o.Epochs, 30)
	orElse(&o.Work, 600_000)
	orElse(&o.Batch, 32)
	orElse(&o.Patience, 10)
	orElse(&o.Rule, Calm)
	orElse(&o.Alpha, 0.001)
	orElse(&o.AlarmsPerWeek, 1)
	orElse(&o.OptShare, 0.4)
	orElse(&o.MinWindow, 60)
	orElse(&o.MaxWindow, max(250, o.MinWindow))
	orElse(&o.Span, 60*time.Second)
	orElse(&o.MinRows, 200)
	orElse(&o.MaxRows, 20_000)
	return o
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

package detect

import (
	"context"
	"fmt"
	"math"
	"slices"

	"bellwether/internal/nn"
	"bellwether/internal/zone"
)

// Training is what a model is learned from: snapshots of one clean device, in
// the order in which they were seen.
//
// Rows from the first minutes after a start or a gap in the capture describe
// the gap, not the device (features of λ = 0.01 need minutes): leave them out.
type Training struct {
	Rows        [][zone.Features]float32
	Times       []zone.Time // one per row
	First, Last zone.SeqID  // range of the snapshots
	Device      zone.MAC
	Definition  zone.Hash // digest of the feature definition
	Profile     Profile
}

// TooFewError says that a device sent too little to be learned.
type TooFewError struct{ Have, Need int }

func (e *TooFewError) Error() string {
	return fmt.Sprintf("%d rows are too few to learn a device from, it takes %d: let it learn longer", e.Have, e.Need)
}

// Train learns a model. It may take minutes, and gives ctx's error soon after
// ctx ends. After every epoch it calls progress, unless nil, with the epoch
// (from 1) and the mean squared error on the stopping rows. It uses one
// goroutine, and refuses rows that hold NaN or an infinity; too few rows are a
// *TooFewError.
func Train(ctx context.Context, t Training, o Options, progress func(epoch int, mse float64)) (*Model, error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := t.validate(o.MinRows); err != nil {
		return nil, err
	}
	p := split(len(t.Rows), o)
	tds := thin(t.Rows[:p.tds], o.MaxRows)
	stop := thin(t.Rows[p.stopFrom:p.stopTo], max(20, o.MaxRows/4))
	m := &Model{
		Origin: Origin{
			Device: t.Device, Definition: t.Definition, First: t.First, Last: t.Last,
			From: slices.Min(t.Times), To: slices.Max(t.Times),
		},
		Fit:   Fit{Options: o, TDS: len(tds), Stop: len(stop), Calibration: len(t.Rows) - p.calibration},
		Usual: usualRanges(t.Rows), Profile: t.Profile.clone(),
		scale: fitScaler(tds),
	}
	if err := m.fit(ctx, tds, stop, progress); err != nil {
		return nil, err
	}
	m.calibrate(t.Rows[p.calibration:], t.Times[p.calibration:])
	return m, m.seal()
}

func (t *Training) validate(need int) error {
	if len(t.Times) != len(t.Rows) {
		return fmt.Errorf("%d rows to learn from, but %d times", len(t.Rows), len(t.Times))
	}
	if len(t.Rows) < need {
		return &TooFewError{Have: len(t.Rows), Need: need}
	}
	for i := range t.Rows {
		if c := notFinite(&t.Rows[i]); c >= 0 {
			return fmt.Errorf("row %d of %v, seen at %v: feature %d is %v, not a finite number",
				i, t.Device, t.Times[i], c, t.Rows[i][c])
		}
	}
	return t.Profile.Validate()
}

// parts says which rows do what: TDS is [0, tds), the stopping rows are
// [stopFrom, stopTo), and calibration takes [calibration, end).
type parts struct{ tds, stopFrom, stopTo, calibration int }

func split(rows int, o Options) parts {
	opt := min(max(int(o.OptShare*float64(rows)), 2), rows-1)
	p := parts{tds: rows - opt, stopFrom: rows - opt, stopTo: rows, calibration: rows - opt}
	if o.SplitOptDS {
		p.stopTo = rows - opt/2
		p.calibration = p.stopTo
	}
	return p
}

// thin keeps every k-th row, with the smallest k that leaves at most limit.
func thin(rows []row, limit int) []row {
	k := (len(rows) + limit - 1) / limit
	if k <= 1 {
		return rows
	}
	kept := make([]row, 0, limit)
	for i := 0; i < len(rows); i += k {
		kept = append(kept, rows[i])
	}
	return kept
}

// fit finds the weights: descent on TDS until the error on the stopping rows
// has not fallen for Patience epochs, or the work is used up. The weights of
// the best epoch are kept.
func (m *Model) fit(ctx context.Context, tds, stop []row, progress func(int, float64)) error {
	o := m.Fit.Options
	var err error
	if m.net, err = nn.New(layerSizes(), o.Seed); err != nil {
		return err
	}
	d := newDescent(m.net, m.scale, tds, o)
	judge := newScorer(m.scale, m.net)
	scores := make([]float64, len(stop))
	var best []float32
	limit := min(o.Epochs, max(1, o.Work/len(tds)))
	for epoch := 1; epoch <= limit && epoch-m.Fit.Best <= o.Patience; epoch++ {
		if err := d.epoch(ctx); err != nil {
			return fmt.Errorf("training for %v stopped in epoch %d: %w", m.Origin.Device, epoch, err)
		}
		judge.Score(stop, scores)
		mse, _ := moments(scores)
		if best == nil || mse < m.Fit.StopMSE {
			best = append(best[:0], m.net.Params()...)
			m.Fit.Best, m.Fit.StopMSE = epoch, mse
		}
		m.Fit.Epochs = epoch
		if progress != nil {
			progress(epoch, mse)
		}
	}
	copy(m.net.Params(), best)
	return nil
}

// calibrate sets threshold and window from rows that no weight was fitted to.
func (m *Model) calibrate(rows []row, times []zone.Time) {
	o := m.Fit.Options
	scores := make([]float64, len(rows))
	m.Score(rows, scores)
	m.Fit.MeanMSE, _ = moments(scores)
	sorted := slices.Sorted(slices.Values(scores))
	m.Fit.MaxMSE, m.Fit.P99MSE = sorted[len(sorted)-1], quantile(sorted, 0.99)
	m.Threshold = threshold(o.Rule, o.Alpha, scores)
	if o.Rule == Balanced {
		together := max(m.Threshold, majority(o.MinWindow, o.Span, times, scores))
		m.Threshold = math.Sqrt(together * m.Fit.MaxMSE)
	}
	m.Fit.Tail = tailOf(o.MinWindow, o.Span, times, scores)
	if o.Rule == Calm {
		m.Threshold = m.Fit.Tail.threshold(o.AlarmsPerWeek, m.Fit.MaxMSE)
	}
	quiet := false
	m.Window, quiet = chooseWindow(o, times, scores, m.Threshold)
	m.Span = o.Span
	m.warn(scores, times, quiet)
}

// usualRanges gives each feature's 0.5 % and 99.5 % quantiles.
func usualRanges(rows []row) (usual [zone.Features]Range) {
	column := make([]float32, len(rows))
	for c := range usual {
		for i := range rows {
			column[i] = rows[i][c]
		}
		slices.Sort(column)
		usual[c] = Range{Low: quantile(column, 0.005), High: quantile(column, 0.995)}
	}
	return usual
}

// LearnedFrom reports whether Train, given these arguments, would make this
// very model: it was learned from the same snapshots in the same way.
func (m *Model) LearnedFrom(t Training, o Options) bool {
	if len(t.Times) == 0 || m.Fit.Options != o.withDefaults() {
		return false
	}
	from := Origin{Device: t.Device, Definition: t.Definition, First: t.First, Last: t.Last, From: slices.Min(t.Times), To: slices.Max(t.Times)}
	return m.Origin == from && m.Profile.equal(t.Profile) && m.Usual == usualRanges(t.Rows)
}

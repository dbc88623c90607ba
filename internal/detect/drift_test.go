package detect

import (
	"math"
	"slices"
	"testing"

	"bellwether/internal/zone"
)

func TestDrift(t *testing.T) {
	in := device(1000, 1)
	m := train(t, in, quick())
	calibration := in.Rows[600:]
	if d := m.Drift(calibration); d.Rows != 400 || math.Abs(d.High-0.01) > 0.003 {
		t.Errorf("of the calibration rows %+v, want a hundredth", d)
	}
	if d := m.Drift(nil); d.Rows != 0 || d.High != 0 || d.Moved != nil {
		t.Errorf("of no rows %+v", d)
	}
	moved := slices.Clone(calibration)
	for i := range moved {
		if i%2 == 0 {
			moved[i][7] = m.Usual[7].High + 1e6
		}
		moved[i][3] = m.Usual[3].High + 1e6
	}
	d := m.Drift(moved)
	at := func(index int) float64 {
		for _, f := range d.Moved {
			if f.Index == index {
				return f.Share
			}
		}
		return 0
	}
	if d.High < 0.4 || at(3) != 1 || math.Abs(at(7)-0.5) > 0.02 || d.Moved[0].Index != 3 {
		t.Errorf("of moved rows %+v", d)
	}
}

// One odd row does not make much usual.
func TestUsualTogether(t *testing.T) {
	for _, x := range []struct{ top, p99, threshold, want float64 }{
		{1, 2, 9, 2}, {3, 2, 9, 3}, {3, 2, 1, 1}, {0, 0, 9, 9},
	} {
		m := &Model{Threshold: x.threshold, Fit: Fit{P99MSE: x.p99, Tail: Tail{Top: x.top}}}
		if got := m.UsualTogether(); got != x.want {
			t.Errorf("%+v: got %v", x, got)
		}
	}
	in := device(1000, 1)
	m := train(t, in, quick())
	scores := make([]float64, len(in.Rows))
	for i := range scores {
		scores[i] = 1
	}
	scores[500] = 100
	times := slices.Clone(in.Times)
	for i := range times {
		times[i] = zone.Time(i) * 1e8
	}
	if got := m.Together(times, scores); got != 1 {
		t.Errorf("together they reach %v, want 1", got)
	}
}

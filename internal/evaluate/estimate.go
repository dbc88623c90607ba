package evaluate

import (
	"encoding/json"
	"math"
	"slices"
)

// Estimate is a measure over seeds: one value each, in their order, NaN where
// there was nothing to measure.
type Estimate []float64

// known gives the values that are not NaN.
func (e Estimate) known() []float64 {
	var values []float64
	for _, v := range e {
		if !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

// Mean is the mean of what was measured, NaN of nothing.
func (e Estimate) Mean() float64 {
	values, sum := e.known(), 0.0
	if len(values) > 0 && slices.Min(values) == slices.Max(values) {
		return values[0]
	}
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Half is half the width of the 95 % confidence interval of the mean, by
// Student's t; NaN with fewer than two values.
func (e Estimate) Half() float64 {
	values := e.known()
	n := len(values)
	if n < 2 {
		return math.NaN()
	}
	if slices.Min(values) == slices.Max(values) {
		return 0 // and no rounding
	}
	_, std := moments(values)
	return studentT(n-1) * std / math.Sqrt(float64(n))
}

// studentT is the 97.5 % quantile of Student's distribution with df ≥ 1 degrees
// of freedom: a table, and beyond it the expansion of Cornish and Fisher
// (Abramowitz and Stegun 26.7.5).
func studentT(df int) float64 {
	table := [...]float64{12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281}
	if df <= len(table) {
		return table[df-1]
	}
	const z = 1.959964
	n := float64(df)
	third := (3*math.Pow(z, 7) + 19*math.Pow(z, 5) + 17*z*z*z - 15*z) / (384 * n * n * n)
	return z + (z*z*z+z)/(4*n) + (5*math.Pow(z, 5)+16*z*z*z+3*z)/(96*n*n) + third
}

// MarshalJSON gives mean, the interval's ends, and the values; null for what is
// not known.
func (e Estimate) MarshalJSON() ([]byte, error) {
	mean, half := e.Mean(), e.Half()
	values := make([]*float64, len(e))
	for i, v := range e {
		values[i] = finite(v)
	}
	return json.Marshal(struct {
		Mean   *float64   `json:"mean"`
		Low    *float64   `json:"low"`
		High   *float64   `json:"high"`
		Values []*float64 `json:"seeds"`
	}{finite(mean), finite(mean - half), finite(mean + half), values})
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

package detect

import (
	"cmp"
	"slices"

	"bellwether/internal/zone"
)

// Contribution is one feature's part in a row's score.
type Contribution struct {
	Index    int     // of the feature, in the order of the N-BaIoT header
	Observed float32 // its raw value
	Usual    Range   // what was usual while learning
	Share    float64 // of the row's squared error, between 0 and 1
}

// Explain gives every feature's contribution to the row's score, the largest
// share first, equal shares in the order of features. For a row that holds NaN
// or an infinity, those features share equally and all others have none.
func (m *Model) Explain(r *[zone.Features]float32) []Contribution {
	errors, total := m.squaredErrors(r)
	out := make([]Contribution, zone.Features)
	for i := range out {
		out[i] = Contribution{Index: i, Observed: r[i], Usual: m.Usual[i]}
		if total > 0 {
			out[i].Share = errors[i] / total
		}
	}
	slices.SortStableFunc(out, func(a, b Contribution) int { return cmp.Compare(b.Share, a.Share) })
	return out
}

// squaredErrors gives each scaled feature's squared error, and their sum.
func (m *Model) squaredErrors(r *row) (errors [zone.Features]float64, total float64) {
	var in row
	if m.scale.apply(r, in[:]) {
		for i, v := range m.net.NewPass(1).Forward(in[:], 1) {
			d := float64(in[i] - v)
			errors[i] = float64(d * d)
			total += errors[i]
		}
		return errors, total
	}
	for i, v := range r {
		if v-v != 0 {
			errors[i] = 1
			total++
		}
	}
	return errors, total
}

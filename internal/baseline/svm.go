package baseline

import (
	"context"
	"errors"
	"math"
)

// machine is a one-class support vector machine (Schölkopf et al. 2001) with the
// kernel exp(−γ·d²).
type machine struct {
	gamma   float64
	vectors []panel
	weights []float64 // of each row of the panels, 0 for those that fill up
	offset  float64   // ρ
}

func trainSVM(ctx context.Context, rows []row, o SVMOptions) (*machine, error) {
	gamma := o.Gamma
	if gamma == 0 {
		gamma = scaleGamma(rows)
	}
	if !(gamma > 0 && gamma < math.MaxFloat64) {
		return nil, errors.New("all values of all rows are the same: name a gamma, or learn from other rows")
	}
	s := newSolver(rows, gamma, o)
	if err := s.solve(ctx); err != nil {
		return nil, err
	}
	m := &machine{gamma: gamma, offset: s.offset()}
	var support []row
	for i, a := range s.alpha {
		if a > 0 {
			support = append(support, rows[i])
			m.weights = append(m.weights, a)
		}
	}
	m.vectors = panels(support)
	m.weights = append(m.weights, make([]float64, len(m.vectors)*lanes-len(m.weights))...)
	return m, nil
}

// scaleGamma is scikit-learn's "scale".
func scaleGamma(rows []row) float64 {
	n, mean, square := float64(len(rows)*len(row{})), 0.0, 0.0
	for i := range rows {
		for _, v := range rows[i] {
			mean += float64(v)
		}
	}
	mean /= n
	for i := range rows {
		for _, v := range rows[i] {
			d := float64(v) - mean
			square += float64(d * d)
		}
	}
	return 1 / (float64(len(row{})) * (square / n))
}

// Score gives ρ − Σ αᵢ·k(xᵢ, x), the decision function with the sign turned: a
// row is outside where it is positive.
func (m *machine) Score(rows []row, scores []float64) {
	scores = scores[:len(rows)]
	for at := 0; at < len(rows); at += together {
		end := min(at+together, len(rows))
		m.scoreBlock(rows[at:end], scores[at:end])
	}
}

// together is how many rows meet a panel while it is in the cache.
const together = 32

func (m *machine) scoreBlock(rows []row, scores []float64) {
	for i := range scores {
		scores[i] = m.offset
	}
	for p := range m.vectors {
		weights := (*[lanes]float64)(m.weights[p*lanes:])
		for i := range rows {
			scores[i] -= m.similarity(&m.vectors[p], weights, &rows[i])
		}
	}
	for i := range rows {
		if !finite(&rows[i]) {
			scores[i] = math.Inf(1)
		}
	}
}

// similarity gives the weighted kernel values of a row and eight others.
func (m *machine) similarity(p *panel, weights *[lanes]float64, r *row) float64 {
	var d [lanes]float32
	p.distances(r, &d)
	sum := 0.0
	for i, v := range d {
		sum += float64(weights[i] * expNeg(float64(m.gamma*float64(v))))
	}
	return sum
}

package detect

import (
	"fmt"
	"math"

	"bellwether/internal/nn"
	"bellwether/internal/zone"
)

// chunk is the rows of one forward pass. It bounds a Scorer's memory to about
// 160 KB and changes no score.
const chunk = 64

// Scorer scores rows with a model in memory of its own. It is used by one
// goroutine at a time; make one per goroutine.
type Scorer struct {
	scale  *scaler
	pass   *nn.Pass
	inputs []float32
	finite [chunk]bool
}

// NewScorer makes a scorer of m.
func (m *Model) NewScorer() *Scorer { return newScorer(m.scale, m.net) }

func newScorer(s *scaler, n *nn.Net) *Scorer {
	return &Scorer{scale: s, pass: n.NewPass(chunk), inputs: make([]float32, chunk*zone.Features)}
}

// Score sets scores[i] to the mean squared reconstruction error of rows[i], in
// squared standard deviations of the scaled features. A row that holds NaN or an
// infinity scores +Inf. It allocates nothing and panics when the lengths differ.
func (s *Scorer) Score(rows [][zone.Features]float32, scores []float64) {
	if len(rows) != len(scores) {
		panic(fmt.Sprintf("detect: %d rows, room for %d scores", len(rows), len(scores)))
	}
	for len(rows) > 0 {
		n := min(len(rows), chunk)
		s.scoreChunk(rows[:n], scores[:n])
		rows, scores = rows[n:], scores[n:]
	}
}

func (s *Scorer) scoreChunk(rows []row, scores []float64) {
	inputs := s.inputs[:len(rows)*zone.Features]
	for i := range rows {
		in := inputs[i*zone.Features:][:zone.Features]
		if s.finite[i] = s.scale.apply(&rows[i], in); !s.finite[i] {
			clear(in)
		}
	}
	outputs := s.pass.Forward(inputs, len(rows))
	for i := range rows {
		at := i * zone.Features
		scores[i] = meanSquare(inputs[at:at+zone.Features], outputs[at:at+zone.Features])
		if !s.finite[i] {
			scores[i] = math.Inf(1)
		}
	}
}

// meanSquare gives the mean squared difference of two vectors of one length.
func meanSquare(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		d := float64(v - b[i])
		sum += float64(d * d)
	}
	return sum / float64(len(a))
}

// Score is NewScorer().Score, for occasional use.
func (m *Model) Score(rows [][zone.Features]float32, scores []float64) {
	m.NewScorer().Score(rows, scores)
}

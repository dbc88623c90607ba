package nn

import "math"

// adam is the optimiser of Kingma and Ba, "Adam" (ICLR 2015), algorithm 1.
type adam struct {
	rate           float32
	mean, square   []float32 // moving averages of the gradient and its square
	decay1, decay2 float64   // β1 and β2 to the power of the steps made
}

const (
	adamBeta1   = 0.9
	adamBeta2   = 0.999
	adamEpsilon = 1e-8
)

func newAdam(params int, rate float32) *adam {
	return &adam{
		rate: rate, mean: make([]float32, params), square: make([]float32, params),
		decay1: 1, decay2: 1,
	}
}

// step moves params against the gradient.
func (a *adam) step(params, grad []float32) {
	a.decay1 = float64(a.decay1 * adamBeta1)
	a.decay2 = float64(a.decay2 * adamBeta2)
	bias1 := float32(1 / (1 - a.decay1))
	bias2 := float32(1 / (1 - a.decay2))
	mean, square := a.mean[:len(params)], a.square[:len(params)]
	grad = grad[:len(params)]
	for i, g := range grad {
		m := float32(adamBeta1*mean[i]) + float32((1-adamBeta1)*g)
		s := float32(adamBeta2*square[i]) + float32(float32((1-adamBeta2)*g)*g)
		mean[i], square[i] = m, s
		root := float32(math.Sqrt(float64(s * bias2)))
		params[i] -= float32(a.rate * float32(m*bias1) / (root + adamEpsilon))
	}
}

package baseline

import (
	"math"
	"math/rand/v2"

	"bellwether/internal/zone"
)

// autoencoder has one hidden layer and tied weights: y = σ(xW + b), and back
// z = σ(yWᵀ + c). Inputs are brought to 0–1 by the range seen while learning.
type autoencoder struct {
	low, high   []float64 // range of each input
	weights     []float64 // visible × hidden, row-major
	hiddenBias  []float64
	visibleBias []float64
}

// newAutoencoder draws weights uniformly from ±1/visible, row by row.
func newAutoencoder(visible int, share float64, draw *rand.Rand) *autoencoder {
	hidden := int(math.Ceil(float64(visible) * share))
	a := &autoencoder{
		low: make([]float64, visible), high: make([]float64, visible),
		weights:    make([]float64, visible*hidden),
		hiddenBias: make([]float64, hidden), visibleBias: make([]float64, visible),
	}
	for i := range a.low {
		a.low[i], a.high[i] = math.Inf(1), math.Inf(-1)
	}
	for i := range a.weights {
		a.weights[i] = (2*draw.Float64() - 1) / float64(visible)
	}
	return a
}

// stretch widens the range of the inputs to hold x.
func (a *autoencoder) stretch(x []float64) {
	for i, v := range x {
		a.low[i], a.high[i] = min(a.low[i], v), max(a.high[i], v)
	}
}

// normalise brings x to the range, in place.
func (a *autoencoder) normalise(x []float64) {
	for i, v := range x {
		width := a.high[i] - a.low[i]
		if width == 0 {
			width = 1
		}
		x[i] = (v - a.low[i]) / width
	}
}

// encode sets y to the hidden layer.
func (a *autoencoder) encode(x, y []float64) {
	copy(y, a.hiddenBias)
	for i, v := range x {
		for j, w := range a.weights[i*len(y) : (i+1)*len(y)] {
			y[j] += float64(v * w)
		}
	}
	for j, v := range y {
		y[j] = sigmoid(v)
	}
}

// decode sets d to x minus what y gives back, and returns the root of the mean
// of its squares.
func (a *autoencoder) decode(x, y, d []float64) float64 {
	sum := 0.0
	for i, v := range x {
		z := a.visibleBias[i]
		for j, w := range a.weights[i*len(y) : (i+1)*len(y)] {
			z += float64(y[j] * w)
		}
		d[i] = v - sigmoid(z)
		sum += float64(d[i] * d[i])
	}
	return math.Sqrt(sum / float64(len(x)))
}

// failure gives the root mean squared error of x, which it normalises.
func (a *autoencoder) failure(x []float64) float64 {
	var hidden, lost [zone.Features]float64
	a.normalise(x)
	y := hidden[:len(a.hiddenBias)]
	a.encode(x, y)
	return a.decode(x, y, lost[:len(x)])
}

// learn makes one step against the gradient of the cross-entropy, and gives
// the root mean squared error from before. It normalises x.
func (a *autoencoder) learn(x []float64, rate float64) float64 {
	var hidden, lost, back [zone.Features]float64
	a.normalise(x)
	y, d := hidden[:len(a.hiddenBias)], lost[:len(x)]
	a.encode(x, y)
	failure := a.decode(x, y, d)
	g := back[:len(y)] // gradient at the hidden layer
	for i, v := range d {
		for j, w := range a.weights[i*len(y) : (i+1)*len(y)] {
			g[j] += float64(v * w)
		}
	}
	for j, v := range y {
		g[j] *= float64(v * (1 - v))
		a.hiddenBias[j] += float64(rate * g[j])
	}
	for i, v := range d {
		a.visibleBias[i] += float64(rate * v)
		for j, w := range a.weights[i*len(y) : (i+1)*len(y)] {
			step := float64(x[i]*g[j]) + float64(v*y[j])
			a.weights[i*len(y)+j] = w + float64(rate*step)
		}
	}
	return failure
}

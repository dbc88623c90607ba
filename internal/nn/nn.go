// Package nn is a dense feed-forward network of float32: forward pass,
// backward pass and Adam, in plain Go.
//
// Hidden layers have a tanh activation (see tanh), the last layer is linear.
// The loss is the mean squared error over all outputs of a batch. Training and
// scoring run the same code, so they see the same function.
//
// Results are bit-identical on every architecture: each product is rounded
// by a conversion before it is added, which keeps the compiler from fusing the
// two, and every sum runs in one documented order. An output row depends on its
// own input row alone, never on the batch around it.
//
// The package has no clock, does no input or output, starts no goroutine and
// knows nothing of traffic. Misuse of shapes panics, as in any pure maths.
package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Bounds of a network's shape, which keep a hostile description small.
const (
	MaxLayers = 32   // layers of neurons, the input included
	MaxWidth  = 1024 // neurons of one layer
)

// Net is a network and its parameters. The zero value is invalid: use New or
// FromParams. It may be read by any number of passes at once while no trainer
// runs on it.
type Net struct {
	sizes  []int
	params []float32 // per layer: weights (out × in, row-major), then biases
	layers []layer
}

// layer is one dense layer; its slices are windows into Net.params.
type layer struct {
	in, out int
	w, b    []float32
	linear  bool
}

// New makes a network with sizes[0] inputs and sizes[len-1] outputs. Weights
// are uniform in ±√(6/(in+out)) (Glorot and Bengio 2010, equation 16), drawn
// from a PCG seeded with seed; biases are 0. The same arguments give the same
// bits everywhere.
func New(sizes []int, seed uint64) (*Net, error) {
	if err := checkSizes(sizes); err != nil {
		return nil, err
	}
	n := assemble(sizes, make([]float32, ParamCount(sizes)))
	src := rand.NewPCG(seed, 0)
	for _, l := range n.layers {
		limit := float32(math.Sqrt(6 / float64(l.in+l.out)))
		for i := range l.w {
			l.w[i] = limit * uniform(src)
		}
	}
	return n, nil
}

// FromParams makes a network from the parameters that Params gave, and copies
// them. It refuses a wrong count and values that are not finite.
func FromParams(sizes []int, params []float32) (*Net, error) {
	if err := checkSizes(sizes); err != nil {
		return nil, err
	}
	if want := ParamCount(sizes); len(params) != want {
		return nil, fmt.Errorf("network %v has %d parameters, not %d", sizes, want, len(params))
	}
	for i, v := range params {
		if v-v != 0 {
			return nil, fmt.Errorf("parameter %d of network %v is %v, not a finite number", i, sizes, v)
		}
	}
	return assemble(sizes, slices.Clone(params)), nil
}

// Sizes gives a copy of the layer widths, input first.
func (n *Net) Sizes() []int { return slices.Clone(n.sizes) }

// Params gives the parameters themselves, not a copy: for each layer the
// weights (out × in, row-major), then the biases.
func (n *Net) Params() []float32 { return n.params }

// ParamCount gives the number of parameters of a network with these widths.
func ParamCount(sizes []int) int {
	count := 0
	for i := 1; i < len(sizes); i++ {
		count += sizes[i] * (sizes[i-1] + 1)
	}
	return count
}

func checkSizes(sizes []int) error {
	if len(sizes) < 2 || len(sizes) > MaxLayers {
		return fmt.Errorf("a network has 2 to %d layers of neurons, not %d", MaxLayers, len(sizes))
	}
	for i, s := range sizes {
		if s < 1 || s > MaxWidth {
			return fmt.Errorf("layer %d has %d neurons, want 1 to %d", i, s, MaxWidth)
		}
	}
	return nil
}

// assemble cuts params, which it keeps, into layers.
func assemble(sizes []int, params []float32) *Net {
	n := &Net{sizes: slices.Clone(sizes), params: params}
	for i := 1; i < len(sizes); i++ {
		in, out := sizes[i-1], sizes[i]
		n.layers = append(n.layers, layer{
			in: in, out: out, linear: i == len(sizes)-1,
			w: params[: in*out : in*out],
			b: params[in*out : (in+1)*out : (in+1)*out],
		})
		params = params[(in+1)*out:]
	}
	return n
}

// uniform draws a number in [-1, 1) with 24 random bits.
func uniform(src *rand.PCG) float32 {
	return float32(int64(src.Uint64()>>40)-1<<23) / (1 << 23)
}

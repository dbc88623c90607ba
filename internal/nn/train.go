package nn

import (
	"fmt"
	"slices"
)

// Trainer fits one network by steps of gradient descent. It is used by one
// goroutine, while nobody else uses the network.
type Trainer struct {
	net  *Net
	pass *Pass
	grad *Net // gradients, in the shape of the parameters
	adam *adam

	delta, next    []float32 // error at a layer's output and at its input
	deltaT, inputT []float32 // transposed operands of the weight gradient
	weightT        []float32
}

// NewTrainer makes a trainer for batches of at most rows rows, with Adam at the
// given learning rate and its authors' other settings (β1 0.9, β2 0.999, ε 1e-8).
func NewTrainer(n *Net, rows int, rate float32) *Trainer {
	width := slices.Max(n.sizes)
	biggest := 0
	for _, l := range n.layers {
		biggest = max(biggest, len(l.w))
	}
	buf := func() []float32 { return make([]float32, rows*width) }
	return &Trainer{
		net: n, pass: n.NewPass(rows),
		grad:  assemble(n.sizes, make([]float32, len(n.params))),
		adam:  newAdam(len(n.params), rate),
		delta: buf(), next: buf(), deltaT: buf(), inputT: buf(),
		weightT: make([]float32, biggest),
	}
}

// Step makes one descent step on a batch: x holds rows inputs, y the outputs
// that are wanted. It gives the mean squared error over all outputs from before
// the step. It panics on wrong lengths and on a batch of no rows.
func (t *Trainer) Step(x, y []float32, rows int) float64 {
	loss := t.gradient(x, y, rows)
	t.adam.step(t.net.params, t.grad.params)
	return loss
}

// gradient sets t.grad to the gradient of the loss and gives the loss.
func (t *Trainer) gradient(x, y []float32, rows int) float64 {
	out := t.pass.Forward(x, rows)
	if len(y) != len(out) || rows == 0 {
		panic(fmt.Sprintf("nn: %d wanted values for %d outputs", len(y), len(out)))
	}
	loss := t.outputError(out, y)
	clear(t.grad.params)
	for i := len(t.net.layers) - 1; i >= 0; i-- {
		input := x
		if i > 0 {
			input = t.pass.acts[i-1][:rows*t.net.layers[i].in]
		}
		t.backward(i, input, rows)
	}
	return loss
}

// outputError sets t.delta to the loss's derivative by the outputs.
func (t *Trainer) outputError(out, want []float32) float64 {
	sum, scale := 0.0, 2/float32(len(out))
	for i, v := range out {
		d := v - want[i]
		t.delta[i] = float32(scale * d)
		sum += float64(float64(d) * float64(d))
	}
	return sum / float64(len(out))
}

// backward takes t.delta at layer i's output, adds the layer's gradients, and
// leaves in t.delta the error at the layer's input.
func (t *Trainer) backward(i int, input []float32, rows int) {
	l, g := &t.net.layers[i], &t.grad.layers[i]
	delta := t.delta[:rows*l.out]
	if !l.linear {
		for j, a := range t.pass.acts[i][:len(delta)] {
			delta[j] = float32(delta[j] * (1 - float32(a*a)))
		}
	}
	for r := range rows {
		for j, d := range delta[r*l.out : (r+1)*l.out] {
			g.b[j] += d
		}
	}
	transpose(t.deltaT, delta, rows, l.out)
	transpose(t.inputT, input, rows, l.in)
	mulAddT(g.w, t.deltaT, t.inputT, l.out, l.in, rows)
	if i == 0 {
		return
	}
	transpose(t.weightT, l.w, l.out, l.in)
	next := t.next[:rows*l.in]
	clear(next)
	mulAddT(next, delta, t.weightT, rows, l.in, l.out)
	t.delta, t.next = t.next, t.delta
}

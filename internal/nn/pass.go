package nn

import "fmt"

// Pass runs forward passes of one network in memory of its own. It is used by
// one goroutine at a time; make one per goroutine.
type Pass struct {
	net  *Net
	rows int
	acts [][]float32 // output of each layer, rows × width
}

// NewPass makes a pass for batches of at most rows rows.
func (n *Net) NewPass(rows int) *Pass {
	p := &Pass{net: n, rows: rows}
	for _, l := range n.layers {
		p.acts = append(p.acts, make([]float32, rows*l.out))
	}
	return p
}

// Rows gives the largest batch that p takes.
func (p *Pass) Rows() int { return p.rows }

// Forward computes the outputs for rows inputs, stored one after the other in
// x. The result, rows × outputs, is valid until the next call. It allocates
// nothing. It panics when x has another length or rows exceeds Rows.
func (p *Pass) Forward(x []float32, rows int) []float32 {
	if rows < 0 || rows > p.rows || len(x) != rows*p.net.sizes[0] {
		panic(fmt.Sprintf("nn: %d values for %d rows of %d, at most %d rows", len(x), rows, p.net.sizes[0], p.rows))
	}
	for i, l := range p.net.layers {
		y := p.acts[i][:rows*l.out]
		l.forward(y, x, rows)
		x = y
	}
	return x
}

func (l *layer) forward(y, x []float32, rows int) {
	for r := range rows {
		copy(y[r*l.out:], l.b)
	}
	mulAddT(y, x, l.w, rows, l.out, l.in)
	if !l.linear {
		tanh(y)
	}
}

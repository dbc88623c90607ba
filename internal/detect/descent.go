package detect

import (
	"context"
	"math/bits"
	"math/rand/v2"

	"bellwether/internal/nn"
	"bellwether/internal/zone"
)

// descent runs a trainer over scaled rows, in a new random order every epoch.
type descent struct {
	trainer *nn.Trainer
	rows    []float32 // scaled, one after the other
	order   []int32
	batch   []float32
	random  *rand.PCG
}

func newDescent(net *nn.Net, s *scaler, rows []row, o Options) *descent {
	d := &descent{
		trainer: nn.NewTrainer(net, o.Batch, float32(o.LearningRate)),
		rows:    make([]float32, len(rows)*zone.Features),
		order:   make([]int32, len(rows)),
		batch:   make([]float32, o.Batch*zone.Features),
		random:  rand.NewPCG(o.Seed, 1),
	}
	for i := range rows {
		s.apply(&rows[i], d.row(i))
		d.order[i] = int32(i)
	}
	return d
}

func (d *descent) row(i int) []float32 { return d.rows[i*zone.Features:][:zone.Features] }

// epoch makes one pass over all rows, the last batch being what is left.
func (d *descent) epoch(ctx context.Context) error {
	d.shuffle()
	size := len(d.batch) / zone.Features
	for at := 0; at < len(d.order); at += size {
		if err := ctx.Err(); err != nil {
			return err
		}
		picked := d.order[at:min(at+size, len(d.order))]
		for k, i := range picked {
			copy(d.batch[k*zone.Features:], d.row(int(i)))
		}
		x := d.batch[:len(picked)*zone.Features]
		d.trainer.Step(x, x, len(picked))
	}
	return nil
}

// shuffle is Durstenfeld's, written out because the sequence of rand.Shuffle
// is no promise and a model must come out the same with every Go version.
func (d *descent) shuffle() {
	for i := len(d.order) - 1; i > 0; i-- {
		hi, _ := bits.Mul64(d.random.Uint64(), uint64(i+1))
		d.order[i], d.order[hi] = d.order[hi], d.order[i]
	}
}

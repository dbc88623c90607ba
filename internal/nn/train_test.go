package nn

import (
	"math"
	"slices"
	"testing"
)

func TestGradientAgainstFiniteDifferences(t *testing.T) {
	n := newNet(t, []int{5, 4, 3, 4, 5}, 11)
	for i, v := range noise(len(n.params), 12) {
		n.params[i] += 0.2 * v // biases away from 0 too
	}
	const rows, h = 7, 2e-2
	x, y := noise(rows*5, 13), noise(rows*5, 14)
	tr := NewTrainer(n, rows, 0)
	tr.gradient(x, y, rows)
	got := slices.Clone(tr.grad.params)
	for i, g := range got {
		old := n.params[i]
		n.params[i] = old + h
		up := tr.gradient(x, y, rows)
		n.params[i] = old - h
		down := tr.gradient(x, y, rows)
		n.params[i] = old
		want := (up - down) / (2 * h)
		if math.Abs(float64(g)-want) > 1e-4+2e-3*math.Abs(want) {
			t.Errorf("parameter %d: gradient %v, finite difference %v", i, g, want)
		}
	}
}

func TestLearnsXOR(t *testing.T) {
	x := []float32{0, 0, 0, 1, 1, 0, 1, 1}
	y := []float32{0, 1, 1, 0}
	n := newNet(t, []int{2, 8, 1}, 5)
	tr := NewTrainer(n, 4, 0.02)
	for range 1500 {
		tr.Step(x, y, 4)
	}
	for i, got := range n.NewPass(4).Forward(x, 4) {
		if math.Abs(float64(got-y[i])) > 0.05 {
			t.Errorf("XOR of %v is %v", x[2*i:2*i+2], got)
		}
	}
}

// TestLearnsLowRank trains on rows of ten columns that two hidden factors
// make: a bottleneck of two can hold them, and cannot hold noise.
func TestLearnsLowRank(t *testing.T) {
	lowRank := trainBottleneck(t, factorRows(400))
	free := trainBottleneck(t, noise(400*10, 22))
	if lowRank > 0.01 || free < 10*lowRank {
		t.Errorf("error %.4f on rows of rank two, %.4f on noise", lowRank, free)
	}
}

func factorRows(rows int) []float32 {
	f, mix := noise(rows*2, 20), noise(2*10, 21)
	x := make([]float32, rows*10)
	for r := range rows {
		for c := range 10 {
			x[r*10+c] = f[2*r]*mix[c] + f[2*r+1]*mix[10+c]
		}
	}
	return x
}

func trainBottleneck(t *testing.T, x []float32) float64 {
	n := newNet(t, []int{10, 8, 2, 8, 10}, 23)
	tr := NewTrainer(n, 20, 0.01)
	mse := 0.0
	for range 60 {
		mse = 0
		for at := 0; at < len(x); at += 200 {
			mse += tr.Step(x[at:at+200], x[at:at+200], 20) / 20
		}
	}
	return mse
}

func TestTrainingIsReproducible(t *testing.T) {
	x := noise(8*115, 30)
	run := func() []float32 {
		n := newNet(t, paperSizes, 31)
		tr := NewTrainer(n, 8, 1e-3)
		for range 5 {
			tr.Step(x, x, 8)
		}
		return n.Params()
	}
	if !slices.Equal(run(), run()) {
		t.Error("the same steps gave other weights")
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	tr := NewTrainer(newNet(t, paperSizes, 1), 8, 1e-3)
	x := noise(8*115, 1)
	if n := testing.AllocsPerRun(5, func() { tr.Step(x, x, 8) }); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

func BenchmarkTrain64(b *testing.B) {
	const rows = 64
	tr := NewTrainer(newNet(b, paperSizes, 1), rows, 1e-3)
	x := noise(rows*115, 1)
	for b.Loop() {
		tr.Step(x, x, rows)
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

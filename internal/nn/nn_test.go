package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var paperSizes = []int{115, 86, 57, 37, 28, 37, 57, 86, 115}

func newNet(t testing.TB, sizes []int, seed uint64) *Net {
	t.Helper()
	n, err := New(sizes, seed)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// noise gives n values in [-1, 1).
func noise(n int, seed uint64) []float32 {
	src := rand.NewPCG(seed, 9)
	v := make([]float32, n)
	for i := range v {
		v[i] = uniform(src)
	}
	return v
}

func TestShape(t *testing.T) {
	n := newNet(t, paperSizes, 1)
	weights := 0
	for _, l := range n.layers {
		weights += len(l.w)
	}
	if weights != 35_874 {
		t.Errorf("the paper's network has %d weights, want 35874", weights)
	}
	if got := ParamCount(paperSizes); got != len(n.Params()) || got != weights+503 {
		t.Errorf("%d parameters counted, %d held", got, len(n.Params()))
	}
	if !slices.Equal(n.Sizes(), paperSizes) {
		t.Errorf("sizes %v", n.Sizes())
	}
}

func TestNewIsSeeded(t *testing.T) {
	a, b, c := newNet(t, paperSizes, 7), newNet(t, paperSizes, 7), newNet(t, paperSizes, 8)
	if !slices.Equal(a.Params(), b.Params()) {
		t.Error("the same seed gave other weights")
	}
	if slices.Equal(a.Params(), c.Params()) {
		t.Error("another seed gave the same weights")
	}
	limit := float32(math.Sqrt(6.0 / (115 + 86)))
	lo, hi := slices.Min(a.layers[0].w), slices.Max(a.layers[0].w)
	if lo < -limit || hi > limit || lo > -0.99*limit || hi < 0.99*limit {
		t.Errorf("first layer's weights lie in [%v, %v], want to fill ±%v", lo, hi, limit)
	}
}

func TestRefusals(t *testing.T) {
	for _, sizes := range [][]int{nil, {3}, {3, 0, 3}, {3, -1}, {3, MaxWidth + 1}, make([]int, MaxLayers+1)} {
		if _, err := New(sizes, 1); err == nil {
			t.Errorf("New(%v) succeeded", sizes)
		}
	}
	params := make([]float32, ParamCount([]int{2, 1}))
	if _, err := FromParams([]int{2, 1}, params[1:]); err == nil {
		t.Error("a missing parameter was accepted")
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		params[1] = bad
		_, err := FromParams([]int{2, 1}, params)
		if err == nil || !strings.Contains(err.Error(), "parameter 1") {
			t.Errorf("parameter %v: error %v", bad, err)
		}
	}
}

func TestFromParamsCopies(t *testing.T) {
	a := newNet(t, []int{3, 2, 3}, 1)
	b, err := FromParams(a.Sizes(), a.Params())
	if err != nil {
		t.Fatal(err)
	}
	x := noise(3, 1)
	want := slices.Clone(a.NewPass(1).Forward(x, 1))
	a.Params()[0] += 1
	if got := b.NewPass(1).Forward(x, 1); !slices.Equal(got, want) {
		t.Errorf("copied network gives %v, want %v", got, want)
	}
}

func TestTanhBound(t *testing.T) {
	worst := 0.0
	for i := -1_200_000; i <= 1_200_000; i++ {
		x := float32(i) * 1e-5
		v := []float32{x}
		tanh(v)
		worst = max(worst, math.Abs(float64(v[0])-math.Tanh(float64(x))))
		if v[0] < -1 || v[0] > 1 {
			t.Fatalf("tanh(%v) = %v", x, v[0])
		}
	}
	if worst > 6e-7 {
		t.Errorf("largest error %.3g, want at most 6e-7", worst)
	}
}

func TestTanhEdges(t *testing.T) {
	inf := float32(math.Inf(1))
	v := []float32{0, inf, -inf, math.MaxFloat32, 1e-20, float32(math.NaN())}
	tanh(v)
	if v[0] != 0 || v[1] != -v[2] || v[1] < 0.999999 || v[1] > 1 || v[3] != v[1] || v[4] != 1e-20 || v[5] == v[5] {
		t.Errorf("got %v", v)
	}
}

func TestMulAddTOrder(t *testing.T) {
	for m := 0; m <= 8; m++ {
		for n := 1; n <= 14; n++ {
			for k := 0; k <= 5; k++ {
				a, b, c := noise(m*k, 1), noise(n*k, 2), noise(m*n, 3)
				want := naiveMulAddT(c, a, b, m, n, k)
				mulAddT(c, a, b, m, n, k)
				if !slices.Equal(c, want) {
					t.Fatalf("%d×%d by %d: blocked and plain sums differ", m, n, k)
				}
			}
		}
	}
}

// naiveMulAddT is the kernel's contract, word for word.
func naiveMulAddT(c, a, b []float32, m, n, k int) []float32 {
	out := slices.Clone(c)
	for i := range m {
		for j := range n {
			for p := range k {
				out[i*n+j] += float32(a[i*k+p] * b[j*k+p])
			}
		}
	}
	return out
}

func TestRowsAreIndependentOfTheirBatch(t *testing.T) {
	n := newNet(t, paperSizes, 3)
	const rows = 37
	x := noise(rows*115, 4)
	whole := slices.Clone(n.NewPass(rows).Forward(x, rows))
	for _, size := range []int{1, 2, 5, 16} {
		p := n.NewPass(size)
		for r := 0; r < rows; r += size {
			end := min(r+size, rows)
			got := p.Forward(x[r*115:end*115], end-r)
			if !slices.Equal(got, whole[r*115:end*115]) {
				t.Fatalf("batches of %d: row %d and following differ", size, r)
			}
		}
	}
}

func TestForwardAllocatesNothing(t *testing.T) {
	p := newNet(t, paperSizes, 3).NewPass(16)
	x := noise(16*115, 4)
	if n := testing.AllocsPerRun(10, func() { p.Forward(x, 16) }); n != 0 {
		t.Errorf("%v allocations a pass", n)
	}
}

func TestForwardPanicsOnWrongShape(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a short input was accepted")
		}
	}()
	newNet(t, []int{2, 2}, 1).NewPass(1).Forward([]float32{1}, 1)
}

func BenchmarkForward1(b *testing.B)   { benchmarkForward(b, 1) }
func BenchmarkForward256(b *testing.B) { benchmarkForward(b, 256) }

func benchmarkForward(b *testing.B, rows int) {
	p := newNet(b, paperSizes, 1).NewPass(rows)
	x := noise(rows*115, 1)
	b.ReportAllocs()
	for b.Loop() {
		p.Forward(x, rows)
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

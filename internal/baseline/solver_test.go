package baseline

import (
	"math"
	"slices"
	"testing"
)

// TestOptimality: the weights keep their bounds and their sum, rows outside
// have all the weight and rows inside none, and about a share nu is outside.
func TestOptimality(t *testing.T) {
	const nu, tolerance = 0.2, 1e-4
	rows := correlated(500, 1)
	s := newSolver(rows, scaleGamma(rows), SVMOptions{Nu: nu, Tolerance: tolerance, CacheMB: 50})
	if err := s.solve(t.Context()); err != nil {
		t.Fatal(err)
	}
	sum, outside := 0.0, 0
	offset := s.offset()
	for i, a := range s.alpha {
		sum += a
		gradient := 0.0
		for j, k := range s.kernel.column(i) {
			gradient += s.alpha[j] * float64(k)
		}
		if gradient < offset-tolerance {
			outside++
		}
		switch {
		case a < 0 || a > 1:
			t.Errorf("row %d has the weight %v", i, a)
		case a > 0 && gradient > offset+tolerance:
			t.Errorf("row %d is inside by %v and has the weight %v", i, gradient-offset, a)
		case a < 1 && gradient < offset-tolerance:
			t.Errorf("row %d is outside by %v and has the weight %v", i, offset-gradient, a)
		}
	}
	if math.Abs(sum-nu*500) > 1e-9 {
		t.Errorf("weights add up to %v, want %v", sum, nu*500)
	}
	if outside > nu*500 || outside < nu*500/2 {
		t.Errorf("%d rows are outside, want about %v", outside, nu*500)
	}
}

// TestSmallCache: how many columns are kept changes no bit.
func TestSmallCache(t *testing.T) {
	rows := correlated(300, 1)
	var want []float64
	for _, slots := range []int{300, 7, 2} {
		s := newSolver(rows, scaleGamma(rows), Options{}.withDefaults().SVM)
		s.kernel.slots = s.kernel.slots[:slots]
		s.kernel.used = s.kernel.used[:slots]
		if err := s.solve(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = s.alpha
		}
		if !slices.Equal(s.alpha, want) {
			t.Errorf("with %d columns kept the weights are others", slots)
		}
	}
}

// TestCacheSize: the memory for columns stays below what was allowed.
func TestCacheSize(t *testing.T) {
	k := newKernel(make([]row, 4000), 1, 1)
	if got := len(k.slots) * 4 * 4000; got > 1<<20 || got < 1<<19 {
		t.Errorf("columns may take %d bytes of 1 MiB", got)
	}
}

// TestAllInside: with nu = 1 every row has all the weight, and the offset is
// that of the innermost row.
func TestAllInside(t *testing.T) {
	rows := correlated(60, 1)
	d := learned(t, SVM, rows, Options{SVM: SVMOptions{Nu: 1}})
	if low := slices.Min(scored(d, rows)); math.Abs(low) > 1e-4 {
		t.Errorf("the innermost row scores %v, want 0", low)
	}
}

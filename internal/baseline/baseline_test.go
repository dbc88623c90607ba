package baseline

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// correlated gives rows of a few hidden causes and some noise; the seed draws
// the rows, not the causes.
func correlated(n int, seed uint64) []row {
	const causes = 8
	var load [causes][len(row{})]float64
	draw := rand.New(rand.NewPCG(1, 2))
	for k := range load {
		for c := range load[k] {
			load[k][c] = draw.NormFloat64()
		}
	}
	draw = rand.New(rand.NewPCG(seed, 3))
	rows := make([]row, n)
	for i := range rows {
		for c := range rows[i] {
			rows[i][c] = float32(0.3 * draw.NormFloat64())
		}
		for k := range load {
			x := draw.NormFloat64() / 3
			for c := range rows[i] {
				rows[i][c] += float32(x * load[k][c])
			}
		}
	}
	return rows
}

// strange gives rows of the same spread whose features do not go together.
func strange(n int, seed uint64) []row {
	draw := rand.New(rand.NewPCG(seed, 4))
	rows := make([]row, n)
	for i := range rows {
		for c := range rows[i] {
			rows[i][c] = float32(2 * draw.NormFloat64())
		}
	}
	return rows
}

func learned(t testing.TB, kind Kind, rows []row, o Options) Detector {
	t.Helper()
	d, err := Train(context.Background(), kind, rows, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func scored(d Detector, rows []row) []float64 {
	scores := make([]float64, len(rows))
	d.Score(rows, scores)
	return scores
}

// eachKind runs a test for every kind.
func eachKind(t *testing.T, f func(t *testing.T, kind Kind)) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) { f(t, kind) })
	}
}

// TestStrangeRowsScoreMore: new benign rows score less than nearly all rows that
// are unlike them.
func TestStrangeRowsScoreMore(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		d := learned(t, kind, correlated(1000, 1), Options{})
		benign, odd := scored(d, correlated(200, 2)), scored(d, strange(200, 2))
		slices.Sort(benign)
		slices.Sort(odd)
		if high, low := benign[190], odd[10]; !(high < low) {
			t.Errorf("95 %% of benign rows score up to %v, 95 %% of strange ones from %v", high, low)
		}
	})
}

// TestDeterminism: the same rows give the same scores, in whatever batches, and
// the caller may use the rows again.
func TestDeterminism(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		rows, test := correlated(300, 1), correlated(130, 2)
		a := learned(t, kind, rows, Options{Seed: 7})
		want := scored(a, test)
		b := learned(t, kind, slices.Clone(rows), Options{Seed: 7})
		clear(rows)
		if got := scored(b, test); !slices.Equal(got, want) {
			t.Error("a second training gives other scores")
		}
		for i := range test {
			if got := scored(a, test[i:i+1]); got[0] != want[i] {
				t.Fatalf("row %d alone scores %v, in a batch %v", i, got[0], want[i])
			}
		}
	})
}

// TestSeed: the kinds that draw, and no others, depend on the seed.
func TestSeed(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		rows, test := correlated(200, 1), correlated(20, 2)
		a := scored(learned(t, kind, rows, Options{Seed: 1}), test)
		b := scored(learned(t, kind, rows, Options{Seed: 2}), test)
		if draws := kind == IForest || kind == KitNET; draws == slices.Equal(a, b) {
			t.Errorf("scores are the same under two seeds: %v", !draws)
		}
	})
}

// TestNotFinite: a row that cannot be judged is the greatest outlier, and rows
// far beyond everything have a score too.
func TestNotFinite(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		d := learned(t, kind, correlated(100, 1), Options{})
		test := correlated(4, 2)
		usual := scored(d, test)
		test[1][114] = float32(math.NaN())
		test[2][0] = float32(math.Inf(-1))
		for c := range test[3] {
			test[3][c] = -math.MaxFloat32
		}
		got := scored(d, test)
		if got[0] != usual[0] || !math.IsInf(got[1], 1) || !math.IsInf(got[2], 1) {
			t.Errorf("scores %v, want %v, +Inf and +Inf first", got, usual[0])
		}
		if !(got[3] > usual[3]) {
			t.Errorf("a row at the end of the range scores %v, as a usual one %v", got[3], usual[3])
		}
	})
}

// TestAlikeRows: rows that never change can be learned from, except by the SVM
// without a gamma, which says so.
func TestAlikeRows(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		rows := make([]row, 100)
		if kind == SVM {
			if _, err := Train(context.Background(), kind, rows, Options{}); err == nil || !strings.Contains(err.Error(), "gamma") {
				t.Errorf("error %v, want one that asks for a gamma", err)
			}
		}
		d := learned(t, kind, rows, Options{SVM: SVMOptions{Gamma: 0.01}})
		other := row{}
		other[3] = 5
		got := scored(d, []row{{}, other})
		if kind == IForest { // a tree cannot cut rows that are all alike
			if got[0] != got[1] {
				t.Errorf("scores %v of trees without a cut", got)
			}
			return
		}
		if math.IsNaN(got[0]) || !(got[1] > got[0]) {
			t.Errorf("the row learned scores %v, another %v", got[0], got[1])
		}
	})
}

func TestRefusals(t *testing.T) {
	nan, large := correlated(50, 1), correlated(50, 1)
	nan[3][7] = float32(math.NaN())
	large[4][8] = 1e20
	for _, c := range []struct {
		name string
		kind Kind
		rows []row
		o    Options
		want string
	}{
		{"kind", "forest", correlated(50, 1), Options{}, "no such detector"},
		{"rows", HBOS, correlated(19, 1), Options{}, "19 rows are too few, it takes 20"},
		{"none", PCA, nil, Options{}, "0 rows are too few"},
		{"nan", PCA, nan, Options{}, "row 3: feature 7 is NaN"},
		{"large", LOF, large, Options{}, "row 4: feature 8 is 1e+20"},
		{"neighbours", LOF, correlated(20, 1), Options{}, "at least 21 rows"},
		{"nu", SVM, correlated(50, 1), Options{SVM: SVMOptions{Nu: 1.5}}, "svm nu is 1.5"},
		{"gamma", SVM, correlated(50, 1), Options{SVM: SVMOptions{Gamma: math.NaN()}}, "svm gamma is NaN"},
		{"trees", IForest, correlated(50, 1), Options{Forest: ForestOptions{Trees: -1}}, "trees is -1"},
		{"most rows", LOF, correlated(50, 1), Options{MaxRows: 5}, "most rows is 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Train(context.Background(), c.kind, c.rows, c.o)
			if err == nil || d != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v and error %q, want no detector and %q", d, err, c.want)
			}
		})
	}
}

// TestContext: every kind whose training takes time gives up when it is told to.
func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	eachKind(t, func(t *testing.T, kind Kind) {
		if _, err := Train(ctx, kind, correlated(50, 1), Options{}); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}

func TestScoreAllocatesNothing(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		d := learned(t, kind, correlated(200, 1), Options{})
		test, scores := correlated(70, 2), make([]float64, 70)
		if n := testing.AllocsPerRun(5, func() { d.Score(test, scores) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestThin(t *testing.T) {
	rows := make([]row, 10)
	for i := range rows {
		rows[i][0] = float32(i)
	}
	var kept []float32
	for _, r := range thin(rows, 4) {
		kept = append(kept, r[0])
	}
	if want := []float32{0, 2, 5, 7}; !slices.Equal(kept, want) {
		t.Errorf("kept rows %v, want %v", kept, want)
	}
	if got := thin(rows, 10); len(got) != 10 {
		t.Errorf("%d rows left of 10, with room for them", len(got))
	}
}

// TestMaxRows: SVM and LOF learn from no more rows than that, the others from all.
func TestMaxRows(t *testing.T) {
	o := Options{MaxRows: 40, SVM: SVMOptions{Nu: 1}}
	rows := correlated(200, 1)
	if got := learned(t, LOF, rows, o).(*localOutlier).count; got != 40 {
		t.Errorf("LOF learned from %d rows, want 40", got)
	}
	if got := support(learned(t, SVM, rows, o).(*machine)); got != 40 {
		t.Errorf("the SVM learned from %d rows, want 40", got)
	}
	all, few := learned(t, PCA, rows, Options{}), learned(t, PCA, rows, o)
	if !slices.Equal(scored(all, rows[:5]), scored(few, rows[:5])) {
		t.Error("PCA learned from fewer rows than there are")
	}
}

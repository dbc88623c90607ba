package baseline

import (
	"cmp"
	"math"
	"slices"
	"testing"
)

type forestFixture struct {
	Samples int
	Trees   []struct {
		Left, Right, Feature, Rows []int
		Threshold                  []float64
	}
	Score []float64
}

// TestForestScoresAgree gives scikit-learn's own trees to our scorer.
func TestForestScoresAgree(t *testing.T) {
	_, test := fixtureRows(t)
	want := fromJSON[forestFixture](t, "forest.json.gz")
	if len(want.Trees) != 50 {
		t.Fatalf("%d trees, want 50", len(want.Trees))
	}
	f := &forest{usual: float64(len(want.Trees)) * usualPath(want.Samples)}
	for _, from := range want.Trees {
		g := &grower{}
		g.add()
		var plant func(n, from, depth int)
		source := from
		plant = func(n, from, depth int) {
			g.depth = max(g.depth, depth)
			g.worth[n] = float64(depth) + usualPath(source.Rows[from])
			if source.Left[from] < 0 {
				return
			}
			left := len(g.nodes)
			g.add()
			g.add()
			g.nodes[n] = node{floor32(source.Threshold[from]), uint16(source.Feature[from]), uint16(left)}
			plant(left, source.Left[from], depth+1)
			plant(left+1, source.Right[from], depth+1)
		}
		plant(0, 0, 0)
		f.trees = append(f.trees, g.tree)
	}
	near(t, scored(f, test), want.Score, 1e-12, 0)
}

// TestForestAgrees: 30 forests of ours and 30 of scikit-learn's, of 200 trees
// each, differ no more than two sets of 30 drawn from one distribution would.
func TestForestAgrees(t *testing.T) {
	const forests = 30
	train, test := fixtureRows(t)
	want := readSklearn(t).Forests
	mean := make([]float64, len(test))
	for seed := range uint64(forests) {
		d := learned(t, IForest, train, Options{Seed: seed, Forest: ForestOptions{Trees: 200}})
		for i, v := range scored(d, test) {
			mean[i] += v / forests
		}
	}
	near(t, mean, want.Mean, 0.015, 0)
	worst, square := 0.0, 0.0
	for i := range mean {
		z := (mean[i] - want.Mean[i]) / (want.Deviation[i] * math.Sqrt(2.0/forests))
		worst = max(worst, math.Abs(z))
		square += z * z / float64(len(mean))
	}
	rank := correlation(ranks(mean), ranks(want.Mean))
	t.Logf("largest difference %.2f standard errors, mean square %.2f, rank correlation %.4f", worst, square, rank)
	if worst > 4.5 || square > 2 || rank < 0.99 {
		t.Errorf("largest difference %v standard errors, mean square %v, rank correlation %v", worst, square, rank)
	}
}

func ranks(scores []float64) []float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(scores[i], scores[j]) })
	out := make([]float64, len(scores))
	for rank, i := range order {
		out[i] = float64(rank)
	}
	return out
}

func correlation(a, b []float64) float64 {
	var ma, mb, ab, aa, bb float64
	for i := range a {
		ma += a[i] / float64(len(a))
		mb += b[i] / float64(len(b))
	}
	for i := range a {
		ab += (a[i] - ma) * (b[i] - mb)
		aa += (a[i] - ma) * (a[i] - ma)
		bb += (b[i] - mb) * (b[i] - mb)
	}
	return ab / math.Sqrt(aa*bb)
}

package baseline

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFloor32: comparing with the rounded threshold is comparing with the
// threshold.
func TestFloor32(t *testing.T) {
	draw := rand.New(rand.NewPCG(3, 3))
	for range 10_000 {
		x := float32(draw.NormFloat64())
		at := float64(x)
		switch draw.IntN(4) {
		case 0:
			at = math.Nextafter(at, math.Inf(1))
		case 1:
			at = math.Nextafter(at, math.Inf(-1))
		case 2:
			at += 1e-8 * draw.NormFloat64()
		}
		if got, want := x <= floor32(at), float64(x) <= at; got != want {
			t.Fatalf("%v at most %v: %v after rounding it to %v", x, at, want, floor32(at))
		}
	}
}

// TestTrees: every cut has rows on both sides, and no walk is longer than the
// limit.
func TestTrees(t *testing.T) {
	rows := correlated(500, 1)
	for i := range rows[:100] {
		rows[i] = rows[0] // many alike, which no cut can set apart
	}
	f := learned(t, IForest, rows, Options{}).(*forest)
	if len(f.trees) != 100 {
		t.Fatalf("%d trees", len(f.trees))
	}
	for n := range f.trees {
		tree := &f.trees[n]
		if tree.depth != 8 {
			t.Errorf("tree %d has the depth %d, want 8", n, tree.depth)
		}
		reached := map[uint]bool{}
		for i := range rows {
			reached[walk(tree.nodes, tree.depth, &rows[i])] = true
		}
		for i, n := range tree.nodes {
			if leaf := int(n.next) == i; leaf && !reached[uint(i)] {
				t.Fatalf("no row comes to leaf %d", i)
			}
		}
	}
}

// TestUsualPath holds c(n) against the sum it stands for.
func TestUsualPath(t *testing.T) {
	harmonic := 0.0
	for n := 2; n <= 1000; n++ {
		harmonic += 1 / float64(n-1)
		want := 2*harmonic - 2*float64(n-1)/float64(n)
		if got := usualPath(n); math.Abs(got-want) > 1.1/float64(n-1) {
			t.Errorf("c(%d) = %v, want about %v", n, got, want)
		}
	}
	if usualPath(0) != 0 || usualPath(1) != 0 || usualPath(2) != 1 {
		t.Error("c(0), c(1) and c(2) are not 0, 0 and 1")
	}
}

func TestHistogram(t *testing.T) {
	rows := make([]row, 100)
	for i := range rows {
		rows[i][0] = float32(i % 10) // ten alike in each of ten bins
		rows[i][1] = float32(min(i, 1))
		rows[i][2] = 7
	}
	d := learned(t, HBOS, rows, Options{HBOS: HBOSOptions{Bins: 10}})
	base := row{0, 1, 7}
	for _, c := range []struct {
		name string
		set  func(*row)
		want float64
	}{
		{"usual", func(r *row) {}, 0},
		{"highest", func(r *row) { r[0] = 9 }, 0},
		{"rare", func(r *row) { r[1] = 0 }, math.Log(99)},
		{"empty bin", func(r *row) { r[1] = 0.5 }, math.Log(99 / 0.5)},
		{"below", func(r *row) { r[0] = -0.01 }, math.Log(10 / 0.5)},
		{"above", func(r *row) { r[0] = 9.01 }, math.Log(10 / 0.5)},
		{"constant changed", func(r *row) { r[2] = 7.001 }, math.Log(100 / 0.5)},
	} {
		r := base
		c.set(&r)
		if got := scored(d, []row{r})[0]; math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestGroups: every feature is in one group of at most the size, and features
// that are copies of each other are together.
func TestGroups(t *testing.T) {
	rows := strange(300, 1)
	for i := range rows {
		for c := range 60 {
			rows[i][c] = rows[i][c%20] * float32(c+1)
		}
		rows[i][100] = 3 // never changes
	}
	for _, size := range []int{1, 3, 10, 115} {
		var all []uint8
		of := map[uint8]int{}
		for n, g := range groupFeatures(rows, size) {
			if len(g) > size {
				t.Errorf("a group of %d, want at most %d", len(g), size)
			}
			all = append(all, g...)
			for _, c := range g {
				of[c] = n
			}
		}
		slices.Sort(all)
		if len(all) != 115 || len(slices.Compact(all)) != 115 {
			t.Errorf("size %d: features %v, want each once", size, all)
		}
		if size >= 3 && (of[5] != of[25] || of[5] != of[45]) {
			t.Errorf("size %d: copies are in groups %d, %d and %d", size, of[5], of[25], of[45])
		}
	}
}

// TestDuplicates: among many rows that are all alike, LOF finds one more alike
// usual and anything else not.
func TestDuplicates(t *testing.T) {
	rows := correlated(100, 1)
	for i := range 60 {
		rows[i] = rows[0]
	}
	other := rows[0]
	other[9] += 0.1
	got := scored(learned(t, LOF, rows, Options{}), []row{rows[0], other})
	if math.Abs(got[0]-1) > 1e-9 || !(got[1] > 1e6) {
		t.Errorf("scores %v, want 1 and very much", got)
	}
}

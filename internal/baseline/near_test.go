package baseline

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAddSquares holds the assembly against the Go code, bit for bit, for every
// number of columns, with values that overflow or are no numbers among them.
func TestAddSquares(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 1))
	odd := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.NaN())}
	value := func() float32 {
		if draw.IntN(200) == 0 {
			return odd[draw.IntN(len(odd))]
		}
		return float32(draw.NormFloat64())
	}
	for n := range 40 {
		for range 50 {
			var got, want [lanes]float32
			columns, values := make([][lanes]float32, n), make([]float32, n)
			for i := range columns {
				values[i] = value()
				for l := range columns[i] {
					columns[i][l] = value()
				}
			}
			for l := range got {
				got[l] = value()
			}
			want = got
			addSquares(&got, columns, values)
			addSquaresGo(&want, columns, values)
			for l := range want {
				if math.Float32bits(got[l]) != math.Float32bits(want[l]) && want[l] == want[l] {
					t.Fatalf("%d columns, lane %d: %v, want %v", n, l, got[l], want[l])
				}
			}
		}
	}
}

// TestNearest holds the search against looking at every row.
func TestNearest(t *testing.T) {
	rows, test := correlated(203, 1), correlated(20, 2)
	rows[50], rows[120] = test[0], test[0] // two equally near
	d := learned(t, LOF, rows, Options{LOF: LOFOptions{Neighbours: 7}}).(*localOutlier)
	list := make([]neighbour, 7)
	for i := range test {
		d.nearest(&test[i], -1, list)
		far := make([]float64, len(rows))
		for j := range rows {
			for c, v := range rows[j] {
				x := float64(v) - float64(test[i][c])
				far[j] += x * x
			}
		}
		for n, got := range list {
			best := 0
			for j := range far {
				if far[j] < far[best] {
					best = j
				}
			}
			if int(got.row) != best || math.Abs(float64(got.squared)-far[best]) > 1e-5*far[best] {
				t.Errorf("row %d, neighbour %d: %v, want row %d at %v", i, n, got, best, far[best])
			}
			far[best] = math.Inf(1)
		}
	}
}

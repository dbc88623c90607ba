package baseline

import "testing"

// TestAddSquaresLengths: the assembly takes the shorter of two lengths.
func TestAddSquaresLengths(t *testing.T) {
	columns := make([][lanes]float32, 5)
	values := []float32{1, 2, 3, 4, 5}
	for _, c := range []struct {
		columns, values int
		want            float32
	}{{5, 5, 55}, {2, 5, 5}, {5, 3, 14}, {0, 5, 0}, {5, 0, 0}} {
		var d [lanes]float32
		addSquares(&d, columns[:c.columns], values[:c.values])
		for l, got := range d {
			if got != c.want {
				t.Errorf("%d columns and %d values: lane %d is %v, want %v", c.columns, c.values, l, got, c.want)
			}
		}
	}
}

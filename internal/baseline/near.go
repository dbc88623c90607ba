package baseline

import "bellwether/internal/zone"

// lanes is how many rows a panel holds side by side.
const lanes = 8

// panel is eight rows, feature by feature, for squared distances of a row to all
// of them at once: eight sums in flight hide the latency of an addition.
type panel [zone.Features][lanes]float32

// panels lays rows out in panels. The last one is filled up with copies of the
// last row.
func panels(rows []row) []panel {
	out := make([]panel, (len(rows)+lanes-1)/lanes)
	for i := range len(out) * lanes {
		for c, v := range rows[min(i, len(rows)-1)] {
			out[i/lanes][c][i%lanes] = v
		}
	}
	return out
}

// distances sets d to the squared Euclidean distances of r to the eight rows.
// Each sum takes the features in ascending order, each step rounded to float32.
func (p *panel) distances(r *row, d *[lanes]float32) {
	*d = [lanes]float32{}
	addSquares(d, p[:], r[:])
}

// stretch is how many features are summed before sums are held against a bound;
// it divides their number.
const stretch = 23

// distancesWithin is distances, but gives up and reports false once all eight
// exceed bound.
func (p *panel) distancesWithin(bound float32, r *row, d *[lanes]float32) bool {
	*d = [lanes]float32{}
	for at := 0; at < len(r); at += stretch {
		addSquares(d, p[at:at+stretch], r[at:at+stretch])
		if allExceed(d, bound) {
			return false
		}
	}
	return true
}

func allExceed(d *[lanes]float32, bound float32) bool {
	return d[0] > bound && d[1] > bound && d[2] > bound && d[3] > bound &&
		d[4] > bound && d[5] > bound && d[6] > bound && d[7] > bound
}

// addSquaresGo adds to each lane of d the squares of the differences of its
// column from the values, of which there are as many as columns. It says what
// addSquares does, and does it where there is no assembly: four lanes at a
// time, since eight sums and their operands do not fit into the registers.
func addSquaresGo(d *[lanes]float32, columns [][lanes]float32, values []float32) {
	columns = columns[:len(values)]
	d0, d1, d2, d3 := d[0], d[1], d[2], d[3]
	for i, x := range values {
		c := &columns[i]
		t0, t1, t2, t3 := c[0]-x, c[1]-x, c[2]-x, c[3]-x
		d0 += float32(t0 * t0)
		d1 += float32(t1 * t1)
		d2 += float32(t2 * t2)
		d3 += float32(t3 * t3)
	}
	d[0], d[1], d[2], d[3] = d0, d1, d2, d3
	d0, d1, d2, d3 = d[4], d[5], d[6], d[7]
	for i, x := range values {
		c := &columns[i]
		t0, t1, t2, t3 := c[4]-x, c[5]-x, c[6]-x, c[7]-x
		d0 += float32(t0 * t0)
		d1 += float32(t1 * t1)
		d2 += float32(t2 * t2)
		d3 += float32(t3 * t3)
	}
	d[4], d[5], d[6], d[7] = d0, d1, d2, d3
}

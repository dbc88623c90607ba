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

// stretch is how many features are summed before sums are held against a bound;
// it divides their number.
const stretch = 23

// distances sets d to the squared Euclidean distances of r to the eight rows.
// When all of them exceed bound it may stop early: then d holds numbers greater
// than bound and at most the distances. Each sum takes the features in ascending
// order, each step rounded to float32.
func (p *panel) distances(r *row, bound float32, d *[lanes]float32) {
	var d0, d1, d2, d3, d4, d5, d6, d7 float32
	for at := 0; at < len(r); at += stretch {
		values := r[at : at+stretch]
		columns := p[at : at+stretch]
		columns = columns[:len(values)]
		for i, x := range values {
			c := &columns[i]
			t := x - c[0]
			d0 += float32(t * t)
			t = x - c[1]
			d1 += float32(t * t)
			t = x - c[2]
			d2 += float32(t * t)
			t = x - c[3]
			d3 += float32(t * t)
			t = x - c[4]
			d4 += float32(t * t)
			t = x - c[5]
			d5 += float32(t * t)
			t = x - c[6]
			d6 += float32(t * t)
			t = x - c[7]
			d7 += float32(t * t)
		}
		if min(d0, d1, d2, d3, d4, d5, d6, d7) > bound {
			break
		}
	}
	*d = [lanes]float32{d0, d1, d2, d3, d4, d5, d6, d7}
}

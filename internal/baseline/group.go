package baseline

import (
	"cmp"
	"math"
	"slices"

	"bellwether/internal/zone"
)

// groupFeatures puts features into groups of at most size whose values go
// together (Mirsky et al. 2018, section IV-C): single-linkage clustering by
// 1 − correlation, cut from the top until no cluster is too large.
func groupFeatures(rows []row, size int) [][]uint8 {
	return dendrogram(apartness(rows)).cut(size)
}

// apartness gives 1 − correlation of each pair of features, at least 0, where
// each row's deviation is taken from the mean up to it. A feature that never
// changed is at 1 from every other.
func apartness(rows []row) *matrix {
	var sum, d [zone.Features]float64
	m := &matrix{}
	for n := range rows {
		for c, v := range rows[n] {
			sum[c] += float64(v)
			d[c] = float64(v) - sum[c]/float64(n+1)
		}
		for i, x := range d {
			for j := range i + 1 {
				m[i][j] += float64(x * d[j])
			}
		}
	}
	var size [zone.Features]float64
	for i := range size {
		size[i] = math.Sqrt(m[i][i])
	}
	for i := range m {
		for j := range i {
			far := 1.0
			if size[i] > 0 && size[j] > 0 {
				far = max(0, 1-m[i][j]/size[i]/size[j])
			}
			m[i][j], m[j][i] = far, far
		}
		m[i][i] = 0
	}
	return m
}

// cluster is a feature, or two clusters that were joined.
type cluster struct {
	members     []uint8
	left, right *cluster
}

// cut gives the members of the largest clusters of at most size, in order.
func (c *cluster) cut(size int) [][]uint8 {
	if len(c.members) <= size {
		return [][]uint8{c.members}
	}
	return append(c.left.cut(size), c.right.cut(size)...)
}

// join is an edge of the minimum spanning tree.
type join struct {
	far  float64
	a, b int
}

// dendrogram joins the nearest clusters until one is left: along the edges of the
// minimum spanning tree, the shortest first.
func dendrogram(far *matrix) *cluster {
	joins := spanningTree(far)
	slices.SortStableFunc(joins, func(x, y join) int { return cmp.Compare(x.far, y.far) })
	var of [zone.Features]*cluster
	for i := range of {
		of[i] = &cluster{members: []uint8{uint8(i)}}
	}
	root := of[0]
	for _, j := range joins {
		root = &cluster{left: of[j.a], right: of[j.b]}
		root.members = slices.Concat(root.left.members, root.right.members)
		for _, m := range root.members {
			of[m] = root
		}
	}
	return root
}

// spanningTree is Prim's algorithm from feature 0.
func spanningTree(far *matrix) []join {
	var from [zone.Features]int
	nearest := far[0]
	var in [zone.Features]bool
	in[0] = true
	var joins []join
	for len(joins) < len(in)-1 {
		next := -1
		for i, d := range nearest {
			if !in[i] && (next < 0 || d < nearest[next]) {
				next = i
			}
		}
		in[next] = true
		joins = append(joins, join{nearest[next], from[next], next})
		for i, d := range far[next] {
			if !in[i] && d < nearest[i] {
				nearest[i], from[i] = d, next
			}
		}
	}
	return joins
}

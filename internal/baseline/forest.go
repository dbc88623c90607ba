package baseline

import (
	"context"
	"math"
	"math/bits"
	"math/rand/v2"

	"bellwether/internal/zone"
)

// forest is an isolation forest (Liu, Ting and Zhou 2008): random trees cut
// rows apart, and a row that few cuts set apart is an outlier.
type forest struct {
	trees []tree
	usual float64 // trees times the usual path length c(samples)
}

// tree holds its nodes in one slice, the root first.
type tree struct {
	nodes []node
	worth []float64 // path length that ends at the node, if it is a leaf
	depth int       // of the deepest leaf
}

// node sends a row to the node next when its feature is at most threshold, and
// to next+1 otherwise. A leaf sends every row to itself, so that all walks of a
// tree are of one length.
type node struct {
	threshold float32
	feature   uint16
	next      uint16
}

// maxSamples keeps the nodes of a tree, fewer than twice as many, within uint16.
const maxSamples = 1 << 14

func trainForest(ctx context.Context, rows []row, seed uint64, o ForestOptions) (*forest, error) {
	samples := min(o.Samples, len(rows))
	f := &forest{usual: float64(o.Trees) * usualPath(samples)}
	for t := range o.Trees {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		g := newGrower(rows, samples, rand.New(rand.NewPCG(seed, uint64(t))))
		g.grow(0, g.picked, 0)
		f.trees = append(f.trees, g.tree)
	}
	return f, nil
}

// usualPath is c(n) of the paper: the mean path length of an unsuccessful search
// in a binary search tree of n rows.
func usualPath(n int) float64 {
	const eulerGamma = 0.57721566490153286
	switch {
	case n <= 1:
		return 0
	case n == 2:
		return 1
	}
	m := float64(n)
	return 2*(ln(m-1)+eulerGamma) - 2*(m-1)/m
}

// grower makes one tree.
type grower struct {
	tree
	rows   []row
	picked []int32 // the tree's rows, sorted by leaf in the end
	draw   *rand.Rand
	limit  int // greatest depth
}

func newGrower(rows []row, samples int, draw *rand.Rand) *grower {
	g := &grower{rows: rows, draw: draw, limit: bits.Len(uint(samples - 1))}
	all := make([]int32, len(rows))
	for i := range all {
		all[i] = int32(i)
	}
	for i := range samples { // Fisher and Yates, as far as needed
		j := i + draw.IntN(len(all)-i)
		all[i], all[j] = all[j], all[i]
	}
	g.picked = all[:samples:samples]
	g.add()
	return g
}

// add appends a leaf.
func (t *tree) add() {
	t.nodes = append(t.nodes, node{threshold: float32(math.Inf(1)), next: uint16(len(t.nodes))})
	t.worth = append(t.worth, 0)
}

// grow cuts the picked rows that are at node n until they are apart, all alike
// or at the greatest depth.
func (g *grower) grow(n int, picked []int32, depth int) {
	g.depth = max(g.depth, depth)
	g.worth[n] = float64(depth) + usualPath(len(picked))
	if depth == g.limit || len(picked) < 2 {
		return
	}
	feature, threshold, ok := g.cut(picked)
	if !ok {
		return
	}
	left := len(g.nodes)
	g.add()
	g.add()
	g.nodes[n] = node{threshold: threshold, feature: uint16(feature), next: uint16(left)}
	border := g.part(picked, feature, threshold)
	g.grow(left, picked[:border], depth+1)
	g.grow(left+1, picked[border:], depth+1)
}

// cut draws a feature among those in which the rows differ, and a threshold
// between its lowest and its highest value, so that both sides have rows.
func (g *grower) cut(picked []int32) (feature int, threshold float32, ok bool) {
	var order [zone.Features]uint8
	for i := range order {
		order[i] = uint8(i)
	}
	for i := range order {
		j := i + g.draw.IntN(len(order)-i)
		order[i], order[j] = order[j], order[i]
		c := int(order[i])
		low, high := g.extent(picked, c)
		if low == high {
			continue
		}
		u := g.draw.Float64()
		at := float64(low) + float64(u*(float64(high)-float64(low)))
		return c, min(max(floor32(at), low), below(high)), true
	}
	return 0, 0, false
}

func (g *grower) extent(picked []int32, c int) (low, high float32) {
	low, high = g.rows[picked[0]][c], g.rows[picked[0]][c]
	for _, i := range picked {
		low, high = min(low, g.rows[i][c]), max(high, g.rows[i][c])
	}
	return low, high
}

// part moves the rows at most threshold to the front and gives their number.
func (g *grower) part(picked []int32, c int, threshold float32) int {
	n := 0
	for i, r := range picked {
		if g.rows[r][c] <= threshold {
			picked[n], picked[i] = picked[i], picked[n]
			n++
		}
	}
	return n
}

// below gives the greatest float32 less than x.
func below(x float32) float32 { return math.Nextafter32(x, float32(math.Inf(-1))) }

// floor32 gives the greatest float32 that is at most x: to compare a float32
// with it is the same as to compare it with x.
func floor32(x float64) float32 {
	if f := float32(x); float64(f) <= x {
		return f
	}
	return below(float32(x))
}

// block is how many rows go through a tree while it is in the cache.
const block = 64

// Score gives 2^−(mean path length / c(samples)), between 0 and 1: near 1 is an
// outlier, and 0.5 is usual.
func (f *forest) Score(rows []row, scores []float64) {
	scores = scores[:len(rows)]
	for at := 0; at < len(rows); at += block {
		end := min(at+block, len(rows))
		f.scoreBlock(rows[at:end], scores[at:end])
	}
}

func (f *forest) scoreBlock(rows []row, scores []float64) {
	clear(scores)
	for t := range f.trees {
		for i := range rows {
			scores[i] += f.trees[t].path(&rows[i])
		}
	}
	for i := range rows {
		if !finite(&rows[i]) {
			scores[i] = math.Inf(1)
			continue
		}
		scores[i] = expNeg(float64(scores[i] / f.usual * math.Ln2))
	}
}

// path gives the length of a row's way through the tree.
func (t *tree) path(r *row) float64 { return t.worth[walk(t.nodes, t.depth, r)] }

// walk gives the leaf that a row comes to.
func walk(nodes []node, depth int, r *row) uint {
	at := uint(0)
	for range depth {
		n := nodes[at]
		right := uint(0)
		if r[n.feature] > n.threshold {
			right = 1
		}
		at = uint(n.next) + right
	}
	return at
}

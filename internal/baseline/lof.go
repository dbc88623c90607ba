package baseline

import (
	"context"
	"fmt"
	"math"
)

// localOutlier is the local outlier factor (Breunig et al. 2000) of rows that
// are not among those learned from: how much thinner the rows lie around it than
// around its nearest neighbours.
type localOutlier struct {
	count   int
	panels  []panel
	k       int
	reach   []float64 // of each row: distance to its k-th neighbour
	density []float64 // of each row: local reachability density
}

// maxNeighbours bounds the list of neighbours, which lives on the stack.
const maxNeighbours = 256

func trainLOF(ctx context.Context, rows []row, o LOFOptions) (*localOutlier, error) {
	if len(rows) <= o.Neighbours {
		return nil, fmt.Errorf("with %d neighbours it takes at least %d rows", o.Neighbours, o.Neighbours+1)
	}
	l := &localOutlier{
		count: len(rows), panels: panels(rows), k: o.Neighbours,
		reach: make([]float64, len(rows)), density: make([]float64, len(rows)),
	}
	near := make([]neighbour, len(rows)*l.k)
	for i := range rows {
		if i%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		list := near[i*l.k : (i+1)*l.k]
		l.nearest(&rows[i], i, list)
		l.reach[i] = list[l.k-1].distance()
	}
	for i := range rows {
		l.density[i] = l.densityOf(near[i*l.k : (i+1)*l.k])
	}
	return l, nil
}

// neighbour is a row learned from, and its squared distance.
type neighbour struct {
	squared float32
	row     int32
}

func (n neighbour) distance() float64 { return math.Sqrt(float64(n.squared)) }

// nearest fills list with the rows nearest to r, the nearest first, except the
// row except; of rows equally far the earlier ones.
func (l *localOutlier) nearest(r *row, except int, list []neighbour) {
	for i := range list {
		list[i] = neighbour{squared: float32(math.Inf(1))}
	}
	last := &list[len(list)-1]
	var d [lanes]float32
	for p := range l.panels {
		if !l.panels[p].distancesWithin(last.squared, r, &d) {
			continue
		}
		for i, v := range d {
			if at := p*lanes + i; v < last.squared && at != except && at < l.count {
				insert(list, neighbour{v, int32(at)})
			}
		}
	}
}

// insert puts n into its place in a sorted list whose last entry falls out.
func insert(list []neighbour, n neighbour) {
	i := len(list) - 1
	for ; i > 0 && list[i-1].squared > n.squared; i-- {
		list[i] = list[i-1]
	}
	list[i] = n
}

// densityOf gives the local reachability density of a row with these
// neighbours. As in scikit-learn, 1e-10 is added to the mean distance, so that
// rows that are all alike have a finite one.
func (l *localOutlier) densityOf(near []neighbour) float64 {
	sum := 0.0
	for _, n := range near {
		sum += max(n.distance(), l.reach[n.row])
	}
	return 1 / (sum/float64(len(near)) + 1e-10)
}

// Score gives the local outlier factor: about 1 is usual. A row far beyond
// everything, whose distances overflow, scores +Inf.
func (l *localOutlier) Score(rows []row, scores []float64) {
	var room [maxNeighbours]neighbour
	near := room[:l.k]
	scoreEach(rows, scores, func(r *row) float64 {
		l.nearest(r, -1, near)
		sum := 0.0
		for _, n := range near {
			sum += l.density[n.row]
		}
		return sum / float64(l.k) / l.densityOf(near)
	})
}

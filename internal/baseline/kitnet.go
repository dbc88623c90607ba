package baseline

import (
	"context"
	"math/rand/v2"

	"bellwether/internal/zone"
)

// ensemble is KitNET (Mirsky et al. 2018, section IV-D): features that go
// together are grouped, each group has a small autoencoder, and a last one
// learns which errors of the others go together. The score is its error.
//
// As in the paper the first rows group the features and the others train, each
// once, in time order. Unlike in the authors' program each bias has a gradient
// of its own, and a feature that never changed has a range of 1 instead of
// nearly none, so that its first change is not worth 1e16.
type ensemble struct {
	groups [][]uint8 // features of each autoencoder
	small  []*autoencoder
	last   *autoencoder
}

func trainKitNET(ctx context.Context, rows []row, seed uint64, o KitNETOptions) (*ensemble, error) {
	mapping := min(mapRows(len(rows), o.MapRows), len(rows)/2)
	e := newEnsemble(groupFeatures(rows[:mapping], o.GroupSize), seed, o)
	for i := range rows[mapping:] {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e.learn(&rows[mapping+i], o.LearningRate)
	}
	return e, nil
}

func mapRows(rows, wanted int) int {
	if wanted == 0 {
		return max(10, rows/10)
	}
	return wanted
}

func newEnsemble(groups [][]uint8, seed uint64, o KitNETOptions) *ensemble {
	e := &ensemble{groups: groups}
	draw := rand.New(rand.NewPCG(seed, 0))
	for _, g := range groups {
		e.small = append(e.small, newAutoencoder(len(g), o.Hidden, draw))
	}
	e.last = newAutoencoder(len(groups), o.Hidden, draw)
	return e
}

// learn makes one step with each autoencoder.
func (e *ensemble) learn(r *row, rate float64) {
	var in, errors [zone.Features]float64
	for g, members := range e.groups {
		a := e.small[g]
		x := gather(r, members, in[:])
		a.stretch(x)
		errors[g] = a.learn(x, rate)
	}
	x := errors[:len(e.groups)]
	e.last.stretch(x)
	e.last.learn(x, rate)
}

// gather gives the members' values, in room.
func gather(r *row, members []uint8, room []float64) []float64 {
	x := room[:len(members)]
	for i, c := range members {
		x[i] = float64(r[c])
	}
	return x
}

// Score gives the root mean squared error of the last autoencoder, in the units
// of its normalised inputs.
func (e *ensemble) Score(rows []row, scores []float64) { scoreEach(rows, scores, e.score) }

func (e *ensemble) score(r *row) float64 {
	var in, errors [zone.Features]float64
	for g, members := range e.groups {
		errors[g] = e.small[g].failure(gather(r, members, in[:]))
	}
	return e.last.failure(errors[:len(e.groups)])
}

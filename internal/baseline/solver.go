package baseline

import (
	"context"
	"fmt"
	"math"
)

// solver minimises ½·αᵀKα under 0 ≤ αᵢ ≤ 1 and Σαᵢ = ν·n by sequential minimal
// optimisation (Platt 1998): each step moves weight between two rows, chosen by
// the second-order rule of Fan, Chen and Lin (2005).
type solver struct {
	kernel    *kernel
	alpha     []float64
	gradient  []float64 // Kα
	tolerance float64
}

// maxSteps bounds the descent; it settles after some n steps.
const maxSteps = 20_000_000

// newSolver starts, as is usual, with the first ν·n weights at 1.
func newSolver(rows []row, gamma float64, o SVMOptions) *solver {
	n := len(rows)
	s := &solver{
		kernel: newKernel(rows, gamma, o.CacheMB), tolerance: o.Tolerance,
		alpha: make([]float64, n), gradient: make([]float64, n),
	}
	left := o.Nu * float64(n)
	for i := range s.alpha {
		s.alpha[i] = min(left, 1)
		left -= s.alpha[i]
	}
	return s
}

func (s *solver) solve(ctx context.Context) error {
	for i, a := range s.alpha {
		if a > 0 {
			s.add(s.kernel.column(i), a)
		}
		if i%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for step := range maxSteps {
		if step%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		i, j, ok := s.choose()
		if !ok {
			return nil
		}
		s.step(i, j)
	}
	return fmt.Errorf("the solver did not settle in %d steps: take a larger tolerance", maxSteps)
}

// choose gives the row i that gains most from weight and the row j from which
// taking it gains most, by second order; not ok when no pair violates the
// optimality conditions by more than the tolerance.
func (s *solver) choose() (i, j int, ok bool) {
	low := math.Inf(1)
	for t, a := range s.alpha {
		if a < 1 && s.gradient[t] < low {
			i, low = t, s.gradient[t]
		}
	}
	if math.IsInf(low, 1) {
		return 0, 0, false
	}
	column := s.kernel.column(i)[:len(s.alpha)]
	gradient := s.gradient[:len(s.alpha)]
	best, violation := 0.0, 0.0
	for t, a := range s.alpha {
		if a <= 0 {
			continue
		}
		gap := gradient[t] - low
		violation = max(violation, gap)
		if gap <= 0 {
			continue
		}
		if gain := gap * gap / curvature(column[t]); gain > best {
			best, j = gain, t
		}
	}
	return i, j, violation >= s.tolerance
}

// curvature is that of the objective along a pair with this kernel value.
func curvature(k float32) float64 { return max(2-2*float64(k), 1e-12) }

// step moves the best weight from j to i.
func (s *solver) step(i, j int) {
	ki, kj := s.kernel.pair(i, j)
	move := (s.gradient[j] - s.gradient[i]) / curvature(ki[j])
	switch room := 1 - s.alpha[i]; {
	case move >= room && room <= s.alpha[j]:
		move, s.alpha[i], s.alpha[j] = room, 1, s.alpha[j]-room
	case move >= s.alpha[j]:
		move, s.alpha[i], s.alpha[j] = s.alpha[j], s.alpha[i]+s.alpha[j], 0
	default:
		s.alpha[i] += move
		s.alpha[j] -= move
	}
	gradient := s.gradient
	ki, kj = ki[:len(gradient)], kj[:len(gradient)]
	for t := range gradient {
		gradient[t] += float64(move * (float64(ki[t]) - float64(kj[t])))
	}
}

func (s *solver) add(column []float32, weight float64) {
	for t, k := range column {
		s.gradient[t] += float64(weight * float64(k))
	}
}

// offset gives ρ: the mean gradient of the rows with a weight strictly within
// its bounds, or the middle of what the others allow.
func (s *solver) offset() float64 {
	sum, free := 0.0, 0
	low, high := math.Inf(-1), math.Inf(1)
	for t, a := range s.alpha {
		switch g := s.gradient[t]; {
		case a >= 1:
			low = max(low, g)
		case a <= 0:
			high = min(high, g)
		default:
			sum += g
			free++
		}
	}
	switch {
	case free > 0:
		return sum / float64(free)
	case math.IsInf(high, 1): // every weight is 1
		return low
	}
	return (low + high) / 2
}

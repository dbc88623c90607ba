package detect

import (
	"math"
	"slices"

	"bellwether/internal/zone"
)

// threshold applies the rule to calibration scores, at least one, in any order.
func threshold(rule Rule, alpha float64, scores []float64) float64 {
	sorted := slices.Sorted(slices.Values(scores))
	n := float64(len(sorted))
	rank := n
	switch rule {
	case Eq1:
		mean, std := moments(scores)
		return mean + std
	case Conformal:
		rank = math.Ceil((n + 1) * (1 - alpha))
	case Quantile:
		rank = math.Ceil(n * (1 - alpha))
	}
	return sorted[int(min(max(rank, 1), n))-1]
}

// moments gives the mean and the sample standard deviation (n − 1), 0 for one
// value.
func moments(v []float64) (mean, std float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	if len(v) < 2 {
		return mean, 0
	}
	for _, x := range v {
		std += float64((x - mean) * (x - mean))
	}
	return mean, math.Sqrt(std / float64(len(v)-1))
}

// chooseWindow gives the smallest window between the options' bounds whose
// vote raises no alarm on the calibration rows; quiet is false when even the
// largest does.
func chooseWindow(o Options, times []zone.Time, scores []float64, limit float64) (window int, quiet bool) {
	for w := o.MinWindow; w <= o.MaxWindow; w++ {
		if !alarms(NewVote(w, o.Span), times, scores, limit) {
			return w, true
		}
	}
	return o.MaxWindow, false
}

func alarms(v *Vote, times []zone.Time, scores []float64, limit float64) bool {
	for i, s := range scores {
		if v.Add(times[i], s > limit) {
			return true
		}
	}
	return false
}

// quantile gives the q-quantile of sorted values by nearest rank.
func quantile[T float32 | float64](sorted []T, q float64) T {
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

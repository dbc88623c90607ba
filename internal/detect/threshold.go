package detect

import (
	"math"
	"slices"
	"time"

	"bellwether/internal/zone"
)

// balancedShare is the share of calibration rows that lie at or below the lower
// end of Balanced, whatever their votes.
const balancedShare = 0.99

// threshold applies the rule to calibration scores, at least one, in any
// order; of Balanced it gives what does not depend on the order.
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
	case Balanced:
		rank = math.Ceil(n * balancedShare)
	}
	return sorted[int(min(max(rank, 1), n))-1]
}

// majority gives the least threshold at which a vote of the given window and
// span is never carried by the scores. Times and scores are in the order of
// arrival.
func majority(window int, span time.Duration, times []zone.Time, scores []float64) float64 {
	most := 0.0
	eachVote(window, span, times, scores, func(_ int, limit float64) { most = max(most, limit) })
	return most
}

// eachVote gives, after each row, the least threshold at which the vote is not
// carried: the largest score that is the lowest of a majority, 0 while fewer
// rows vote.
func eachVote(window int, span time.Duration, times []zone.Time, scores []float64, give func(i int, limit float64)) {
	need := window/2 + 1
	var sorted []float64 // of the rows that vote
	from := 0
	for i, s := range scores {
		at, _ := slices.BinarySearch(sorted, s)
		sorted = slices.Insert(sorted, at, s)
		for i-from >= window || times[i].Sub(times[from]) > span {
			at, _ := slices.BinarySearch(sorted, scores[from])
			sorted = slices.Delete(sorted, at, at+1)
			from++
		}
		limit := 0.0
		if len(sorted) >= need {
			limit = sorted[len(sorted)-need]
		}
		give(i, limit)
	}
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

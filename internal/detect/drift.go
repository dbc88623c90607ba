package detect

import (
	"cmp"
	"slices"

	"bellwether/internal/zone"
)

// movedShare is the share of rows outside a feature's usual range from which on
// the feature counts as moved: ten times what lay there while learning.
const movedShare = 0.1

// Drift says how unlike what a model was calibrated on the rows are that it lets
// pass.
type Drift struct {
	Rows int
	// High is the share of the rows whose score is above the 99 % quantile of
	// the calibration scores: about 0.01 of a device that does what it did.
	High float64
	// Moved are the features of which more than a tenth of the rows lies outside
	// their usual range, most first.
	Moved []Moved
}

// Moved is a feature that left its usual range.
type Moved struct {
	Index int     // of the feature, in the order of the N-BaIoT header
	Share float64 // of the rows that lie outside
}

// Drift measures it on rows in any order; none of them are no drift. A model whose
// quantile was not measured gives a High of 0.
func (m *Model) Drift(rows [][zone.Features]float32) Drift {
	d := Drift{Rows: len(rows)}
	if len(rows) == 0 {
		return d
	}
	scores := make([]float64, len(rows))
	m.Score(rows, scores)
	d.High, _ = m.High(scores)
	for c, usual := range m.Usual {
		outside := 0
		for i := range rows {
			if v := rows[i][c]; v < usual.Low || v > usual.High {
				outside++
			}
		}
		if share := float64(outside) / float64(len(rows)); share > movedShare {
			d.Moved = append(d.Moved, Moved{Index: c, Share: share})
		}
	}
	slices.SortStableFunc(d.Moved, func(a, b Moved) int { return cmp.Compare(b.Share, a.Share) })
	return d
}

// DriftedShare is the High from which on a device has drifted: five times that of
// one that does what it did.
const DriftedShare = 0.05

// High is the share of scores above the 99 % quantile of the calibration scores, 0
// where that was not measured; p99 is the quantile of these. At least one is needed.
func (m *Model) High(scores []float64) (share, p99 float64) {
	for _, s := range scores {
		if m.Fit.P99MSE > 0 && s > m.Fit.P99MSE {
			share++
		}
	}
	sorted := slices.Sorted(slices.Values(scores))
	return share / float64(len(scores)), quantile(sorted, 0.99)
}

// Together is the score that rows reach together: the least threshold at which no
// vote of the smallest window is carried. Times and scores are in the order of
// arrival.
func (m *Model) Together(times []zone.Time, scores []float64) float64 {
	return majority(m.Fit.Options.MinWindow, m.Fit.Options.Span, times, scores)
}

// UsualTogether is what the calibration rows reached together, at least the 99 %
// quantile of their scores: one of them alone, however high, does not count. It is
// never above the threshold, and is the threshold where neither was measured.
func (m *Model) UsualTogether() float64 {
	usual := max(m.Fit.Tail.Top, m.Fit.P99MSE)
	if usual == 0 {
		return m.Threshold
	}
	return min(usual, m.Threshold)
}

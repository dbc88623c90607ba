package baseline

import (
	"context"
	"math"

	"bellwether/internal/zone"
)

// histograms is HBOS (Goldstein and Dengel 2012, static bins): features count as
// independent, and a row's score is the sum over its features of the logarithm
// of the highest bin's count over that of the feature's bin.
//
// The paper leaves open what a bin without rows is worth. Here it counts as
// half a row, and so does all that lies outside of the range learned.
type histograms struct {
	low, scale [zone.Features]float64 // bin = (x − low) · scale
	bins       int
	worth      []float64 // bins + 1 of each feature, the last for what is outside
}

func trainHBOS(ctx context.Context, rows []row, o HBOSOptions) (*histograms, error) {
	bins := o.Bins
	if bins == 0 {
		bins = int(math.Ceil(math.Sqrt(float64(len(rows)))))
	}
	h := &histograms{bins: bins, worth: make([]float64, zone.Features*(bins+1))}
	counts := make([]int, bins+1)
	for c := range zone.Features {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h.fitRange(rows, c)
		clear(counts)
		for i := range rows {
			counts[h.bin(rows[i][c], c)]++
		}
		h.weigh(c, counts)
	}
	return h, nil
}

// fitRange sets the range of one feature. One that never changed has a single
// bin without width.
func (h *histograms) fitRange(rows []row, c int) {
	low, high := rows[0][c], rows[0][c]
	for i := range rows {
		low, high = min(low, rows[i][c]), max(high, rows[i][c])
	}
	h.low[c], h.scale[c] = float64(low), math.Inf(1)
	if high > low {
		h.scale[c] = float64(h.bins) / (float64(high) - float64(low))
	}
}

// bin gives the bin of a value, the highest value belonging to the last one,
// and h.bins for what is outside.
func (h *histograms) bin(v float32, c int) int {
	d := float64(v) - h.low[c]
	if d == 0 {
		return 0
	}
	at := d * h.scale[c]
	switch {
	case at < 0 || at > float64(h.bins)*(1+1e-12):
		return h.bins
	case at >= float64(h.bins):
		return h.bins - 1
	}
	return int(at)
}

func (h *histograms) weigh(c int, counts []int) {
	highest := 0
	for _, n := range counts {
		highest = max(highest, n)
	}
	worth := h.worth[c*(h.bins+1):][:len(counts)]
	for b, n := range counts {
		worth[b] = ln(float64(highest) / max(float64(n), 0.5))
	}
}

// Score gives the sum of the logarithms, at least 0.
func (h *histograms) Score(rows []row, scores []float64) {
	scoreEach(rows, scores, func(r *row) float64 {
		sum := 0.0
		for c, v := range r {
			sum += h.worth[c*(h.bins+1)+h.bin(v, c)]
		}
		return sum
	})
}

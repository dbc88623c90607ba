package monitor

import (
	"slices"

	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/novelty"
	"bellwether/internal/zone"
)

// topFeatures is how many features an alert names.
const topFeatures = 5

// Weighed is what a model says of an alert's snapshots.
type Weighed struct {
	Since     zone.Time // the earliest that counts
	Score     float64   // median score of the flagged ones, or their count
	Threshold float64   // what it had to exceed
	Flagged   int       // how many count
	Features  []zone.AlertFeature
}

// Weigh judges the snapshots of an alert again: those count that are labelled
// malicious, or, where the reason is one of novelty's, all of them. It reads
// nothing but its arguments, so that a stranger who holds the snapshots and the
// model comes to the same result.
func Weigh(model *detect.Model, reason string, rows []zone.Snapshot) Weighed {
	if limit := novelty.LimitOf(&model.Profile, reason, rows); limit > 0 && len(rows) > 0 {
		_, feature := novelty.Describe(&model.Profile, reason, rows)
		since := rows[0].Time
		for i := range rows {
			since = min(since, rows[i].Time)
		}
		return Weighed{Since: since, Score: float64(len(rows)), Threshold: float64(limit), Flagged: len(rows),
			Features: []zone.AlertFeature{feature}}
	}
	w := Weighed{Threshold: model.Threshold}
	var scores []float64
	var shares [zone.Features]float64
	var last *zone.Snapshot
	for i := range rows {
		s := &rows[i]
		if s.Label != zone.Malicious {
			continue
		}
		if last == nil || s.Time < w.Since {
			w.Since = s.Time
		}
		last = s
		w.Flagged++
		scores = append(scores, s.Score)
		for _, c := range model.Explain(&s.Features) {
			shares[c.Index] += float64(c.Share * s.Score)
		}
	}
	if last == nil {
		return w
	}
	slices.Sort(scores)
	w.Score = scores[len(scores)/2]
	w.Features = heaviest(model, &last.Features, &shares)
	return w
}

// heaviest names the features with the largest shares of the error.
func heaviest(model *detect.Model, row *[zone.Features]float32, shares *[zone.Features]float64) []zone.AlertFeature {
	total := 0.0
	order := make([]int, zone.Features)
	for i := range order {
		order[i] = i
		total += shares[i]
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case shares[a] > shares[b]:
			return -1
		case shares[a] < shares[b]:
			return 1
		}
		return 0
	})
	names := feature.Names()
	var out []zone.AlertFeature
	for _, i := range order[:topFeatures] {
		usual := model.Usual[i]
		f := zone.AlertFeature{Name: names[i], Observed: float64(row[i]), Low: float64(usual.Low), High: float64(usual.High)}
		if total > 0 {
			f.Share = shares[i] / total
		}
		out = append(out, f)
	}
	return out
}

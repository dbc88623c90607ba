package evaluate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"bellwether/internal/baseline"
	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// Autoencoder is our own detector's name among the Algorithms.
const Autoencoder = "autoencoder"

// Algorithms gives the names of all detectors: ours, the paper's three others,
// and the cheap ones.
func Algorithms() []string {
	names := []string{Autoencoder}
	for _, k := range baseline.Kinds() {
		names = append(names, string(k))
	}
	return names
}

// title is how people call an algorithm.
func title(algorithm string) string {
	switch algorithm {
	case Autoencoder:
		return "Autoencoder"
	case string(baseline.SVM):
		return "One-class SVM"
	case string(baseline.IForest):
		return "Isolation forest"
	case string(baseline.KitNET):
		return "KitNET"
	}
	return strings.ToUpper(algorithm)
}

func (o Options) checkAlgorithms() error {
	for i, a := range o.Algorithms {
		if !slices.Contains(Algorithms(), a) {
			return fmt.Errorf("there is no algorithm %q, want some of %q", a, Algorithms())
		}
		if slices.Contains(o.Algorithms[:i], a) {
			return fmt.Errorf("the algorithm %q is named twice", a)
		}
	}
	return nil
}

// row is one snapshot's features.
type row = [zone.Features]float32

// scorer gives scores of rows as they come, the larger the less benign. It is
// used by one goroutine at a time.
type scorer interface {
	Score(rows [][zone.Features]float32, scores []float64)
}

// train fits one algorithm to the parts of a device.
func (o *Options) train(ctx context.Context, algorithm string, p *parts, seed uint64) (scorer, error) {
	if algorithm == Autoencoder {
		return o.trainAutoencoder(ctx, p, seed)
	}
	options := o.Baseline
	options.Seed = seed
	d, err := baseline.Train(ctx, baseline.Kind(algorithm), p.scaled, options)
	if err != nil {
		return nil, err
	}
	return &scaled{scale: p.scale, detector: d}, nil
}

// trainAutoencoder gives the first two parts to package detect, which splits
// them where they met.
func (o *Options) trainAutoencoder(ctx context.Context, p *parts, seed uint64) (scorer, error) {
	options := o.Detect
	rows := p.benign.Values[:p.test]
	options.Seed = seed
	options.MinRows = 2 * MinRows / 3
	options.SplitOptDS = false
	options.OptShare = (float64(p.test-p.opt) + 0.5) / float64(len(rows))
	times := p.benign.Times
	if times == nil {
		times = make([]zone.Time, len(rows))
	}
	m, err := detect.Train(ctx, detect.Training{Rows: rows, Times: times[:len(rows)]}, options, nil)
	if err != nil {
		return nil, err
	}
	return m.NewScorer(), nil
}

// scaled is a detector behind the transform.
type scaled struct {
	scale    *scaler
	detector baseline.Detector
	buffer   [256]row
}

// Score transforms and scores the rows block by block.
func (s *scaled) Score(rows [][zone.Features]float32, scores []float64) {
	for len(rows) > 0 {
		n := min(len(rows), len(s.buffer))
		for i := range rows[:n] {
			s.scale.apply(&rows[i], &s.buffer[i])
		}
		s.detector.Score(s.buffer[:n], scores[:n])
		rows, scores = rows[n:], scores[n:]
	}
}

package detect

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"bellwether/internal/zone"
)

func TestThresholdRules(t *testing.T) {
	scores := make([]float64, 1000) // 1 to 1000, not in order
	for i := range scores {
		scores[i] = float64(i*7%1000 + 1)
	}
	for _, c := range []struct {
		rule  Rule
		alpha float64
		want  float64
	}{
		{Max, 0.1, 1000},
		{Eq1, 0.1, 500.5 + math.Sqrt(1000*1001/12.0)},
		{Conformal, 0.01, 991}, // ⌈1001 · 0.99⌉
		{Conformal, 0.0001, 1000},
		{Quantile, 0.01, 990},
	} {
		if got := threshold(c.rule, c.alpha, scores); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s at α = %v gives %v, want %v", c.rule, c.alpha, got, c.want)
		}
	}
	if got := threshold(Eq1, 0.1, []float64{3}); got != 3 {
		t.Errorf("eq1 of one score is %v", got)
	}
}

func TestChooseWindow(t *testing.T) {
	times := make([]zone.Time, 200)
	scores := make([]float64, 200)
	for i := range times {
		times[i] = second(i) / 10
		if i >= 100 && i < 117 { // a run of 17 above the threshold
			scores[i] = 2
		}
	}
	o := Options{MinWindow: 20, MaxWindow: 250, Span: time.Minute}
	if w, quiet := chooseWindow(o, times, scores, 1); w != 34 || !quiet {
		t.Errorf("window %d, quiet %v: 17 flagged rows are no majority of 34, and of 33 they are", w, quiet)
	}
	if w, quiet := chooseWindow(o, times, scores, 2); w != 20 || !quiet {
		t.Errorf("without flagged rows: window %d, quiet %v", w, quiet)
	}
	o.MaxWindow = 30
	if w, quiet := chooseWindow(o, times, scores, 1); w != 30 || quiet {
		t.Errorf("at the cap: window %d, quiet %v", w, quiet)
	}
}

func TestMajorityIsTheLeastQuietThreshold(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for range 50 {
		times, scores := make([]zone.Time, 400), make([]float64, 400)
		for i := range scores {
			gap := r.IntN(4_000)
			if i > 0 {
				times[i] = times[i-1].Add(time.Duration(gap) * time.Millisecond)
			}
			scores[i] = r.ExpFloat64()
		}
		window := 2 + r.IntN(20)
		limit := majority(window, time.Minute, times, scores)
		if alarms(NewVote(window, time.Minute), times, scores, limit) {
			t.Fatalf("window %d: the vote raises an alarm at %v", window, limit)
		}
		if below := math.Nextafter(limit, 0); limit > 0 && !alarms(NewVote(window, time.Minute), times, scores, below) {
			t.Fatalf("window %d: the vote is quiet below %v too", window, limit)
		}
	}
}

func TestBalancedLiesBetweenTogetherAndAlone(t *testing.T) {
	in := device(500, 1)
	alone := train(t, in, quick())
	o := quick()
	o.Rule = Balanced
	m := train(t, in, o)
	if m.Threshold <= 0 || m.Threshold > alone.Fit.MaxMSE {
		t.Errorf("threshold %v, the largest calibration score is %v", m.Threshold, alone.Fit.MaxMSE)
	}
}

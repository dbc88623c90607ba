package detect

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"bellwether/internal/zone"
)

// heavy makes days of rows, one every 10 s, whose scores keep one level for a
// block and whose levels fall off as a power: a share x^(−1/shape) exceeds x.
func heavy(days int, shape float64, seed uint64) (times []zone.Time, scores []float64) {
	r := rand.New(rand.NewPCG(seed, 5))
	level := 0.0
	for i := range days * 8640 {
		if i%60 == 0 {
			level = math.Pow(1-r.Float64(), -shape)
		}
		times, scores = append(times, second(i*10)), append(scores, level)
	}
	return times, scores
}

// A threshold that is to give one alarm a week gives about that on weeks that
// it has not seen.
func TestCalmKeepsItsPromise(t *testing.T) {
	alarms, weeks := 0, 0
	for seed := range uint64(20) {
		times, scores := heavy(7, 0.5, seed)
		tail := tailOf(3, time.Minute, times, scores)
		limit := tail.threshold(1)
		if got := tail.PerWeek(limit); got > 1.0001 {
			t.Errorf("%g alarms a week are expected at the threshold for 1", got)
		}
		_, later := heavy(28, 0.5, 1000+seed)
		for i := 0; i < len(later); i += 60 {
			if later[i] > limit {
				alarms++
			}
		}
		weeks += 4
	}
	if rate := float64(alarms) / float64(weeks); rate < 0.2 || rate > 3 {
		t.Errorf("%.2f alarms a week, want about 1", rate)
	}
}

func TestTailOfARealisticDay(t *testing.T) {
	times, scores := heavy(2, 0.5, 1)
	tail := tailOf(3, time.Minute, times, scores)
	if tail.Blocks < 288 || tail.Blocks > 290 || tail.Peaks != 28 || tail.Observed.Round(time.Minute) != 48*time.Hour {
		t.Errorf("%+v", tail)
	}
	if tail.Shape < 0.25 || tail.Shape > 0.8 || tail.Top < tail.Level {
		t.Errorf("the shape is %.2f, want about 0.5; %+v", tail.Shape, tail)
	}
	if a, b := tail.threshold(1), tail.threshold(0.01); a >= b || a < tail.Top {
		t.Errorf("thresholds %g for one alarm a week, %g for one in 100 weeks, top %g", a, b, tail.Top)
	}
}

// Rows that are too few at a time for a vote, or all alike, leave no tail.
func TestNoTail(t *testing.T) {
	times, scores := heavy(1, 0.5, 1)
	for i := range scores {
		times[i] = second(i * 100)
	}
	if tail := tailOf(3, time.Minute, times, scores); tail.Peaks != 0 || tail.Top != 0 || tail.threshold(1) != 0 || tail.PerWeek(1) != 0 {
		t.Errorf("rows far apart: %+v", tail)
	}
	for i := range scores {
		times[i], scores[i] = second(i), 0.5
	}
	if tail := tailOf(3, time.Minute, times, scores); tail.Peaks != 0 || tail.threshold(1) != 0 {
		t.Errorf("rows all alike: %+v", tail)
	}
	if tail := tailOf(3, time.Minute, times[:1], scores[:1]); tail.Blocks != 1 || tail.Observed != 0 {
		t.Errorf("one row: %+v", tail)
	}
}

func TestAtMost(t *testing.T) {
	for alarms, want := range map[int]float64{0: 2.9957, 1: 4.7439, 2: 6.2958, 10: 16.962} { // Garwood's table
		if got := AtMost(alarms, week); math.Abs(got-want) > 1e-3 {
			t.Errorf("%d alarms in a week promise at most %g a week, want %g", alarms, got, want)
		}
		if got := AtMost(alarms, Needed(alarms, 0.5)); math.Abs(got-0.5) > 1e-6 {
			t.Errorf("what is needed for one in two weeks promises %g", got)
		}
	}
	if got := AtMost(3000, week); math.Abs(got-3091) > 1 { // 3000 + 1.645·√3000 + 0.57
		t.Errorf("3000 alarms in a week promise at most %g", got)
	}
	if !math.IsInf(AtMost(0, 0), 1) {
		t.Error("no time promises something")
	}
}

func TestCalmModel(t *testing.T) {
	in := device(3000, 1)
	calm := train(t, in, Options{Epochs: 4, Rule: Calm, MinWindow: 9})
	if calm.Threshold < calm.Fit.Tail.Top || calm.Fit.Tail.Blocks == 0 {
		t.Errorf("threshold %g, tail %+v", calm.Threshold, calm.Fit.Tail)
	}
	loose := train(t, in, Options{Epochs: 4, Rule: Calm, MinWindow: 9, AlarmsPerWeek: 100})
	if loose.Threshold > calm.Threshold {
		t.Errorf("100 alarms a week have the threshold %g, 1 has %g", loose.Threshold, calm.Threshold)
	}
	if _, err := Train(t.Context(), in, Options{AlarmsPerWeek: -1}, nil); err == nil {
		t.Error("a negative rate was accepted")
	}
}

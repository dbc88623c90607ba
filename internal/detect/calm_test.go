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
		times, scores := heavy(22, 0.5, seed)
		tail := tailOf(3, time.Minute, times, scores)
		limit := tail.threshold(1, 0)
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
	long := tail
	long.Observed = 52 * week
	if a, b := long.threshold(1, 0), long.threshold(0.1, 0); a >= b || a < tail.Top {
		t.Errorf("thresholds %g for one alarm a week, %g for one in 10 weeks, top %g", a, b, tail.Top)
	}
	if got := tail.threshold(10, 1234); got != 1234 {
		t.Errorf("two days promise no 10 alarms a week, but the threshold is %g instead of the largest score", got)
	}
}

// Rows that are too few at a time for a vote, or all alike, leave no tail.
func TestNoTail(t *testing.T) {
	times, scores := heavy(1, 0.5, 1)
	for i := range scores {
		times[i] = second(i * 100)
	}
	if tail := tailOf(3, time.Minute, times, scores); tail.Peaks != 0 || tail.Top != 0 || tail.threshold(1000, 7) != 7 || tail.PerWeek(1) != 0 {
		t.Errorf("rows far apart: %+v", tail)
	}
	for i := range scores {
		times[i], scores[i] = second(i), 0.5
	}
	if tail := tailOf(3, time.Minute, times, scores); tail.Peaks != 0 || tail.threshold(1000, 7) != 7 {
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
	if got := Needed(0, 1e-9); got != math.MaxInt64 {
		t.Errorf("one alarm in 19 million years needs %v", got)
	}
	if !math.IsInf(AtMost(0, 0), 1) {
		t.Error("no time promises something")
	}
}

// A device that was seen for too short a time has the largest score for its
// threshold, whatever the wish; one that was seen for long enough a lower one.
func TestCalmModel(t *testing.T) {
	in := device(3000, 1)
	for i := range in.Times {
		in.Times[i] *= 8 // 7 rows a minute
	}
	calm := train(t, in, Options{Epochs: 4, MinWindow: 9})
	if calm.Fit.Options.Rule != Calm || calm.Threshold != calm.Fit.MaxMSE || calm.Fit.Tail.Blocks == 0 {
		t.Errorf("rule %s, threshold %g, largest score %g, tail %+v", calm.Fit.Options.Rule, calm.Threshold, calm.Fit.MaxMSE, calm.Fit.Tail)
	}
	loose := train(t, in, Options{Epochs: 4, MinWindow: 9, AlarmsPerWeek: 10_000})
	if tail := loose.Fit.Tail; tail.Peaks == 0 || loose.Threshold >= calm.Threshold || loose.Threshold < tail.Top {
		t.Errorf("10,000 alarms a week have the threshold %g, 1 has %g; tail %+v", loose.Threshold, calm.Threshold, loose.Fit.Tail)
	}
	if _, err := Train(t.Context(), in, Options{AlarmsPerWeek: -1}, nil); err == nil {
		t.Error("a negative rate was accepted")
	}
}

package evaluate

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"bellwether/internal/zone"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-3 || math.IsNaN(a) && math.IsNaN(b) }

func TestCount(t *testing.T) {
	o := Options{Span: time.Minute, Quiet: time.Minute}
	rows := Rows{Times: []zone.Time{0, 1e9, 2e9, 3e9, 4e9, 5e9}, Attack: []bool{false, true, true, true, false, true}}
	scores := []float64{9, 1, 5, 5, 5, 1}
	got := o.count(&rows, scores, setting{threshold: 4, window: 3})
	want := tally{rows: 4, flagged: 2, windows: 3, voted: 3, first: 2, alarm: 2, firstIn: 1, alarmIn: 1}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	untimed := Rows{}
	got = o.count(&untimed, scores[4:], setting{threshold: 8, window: 3})
	if got.rows != 2 || got.windows != 0 || got.first != 0 || !math.IsNaN(got.firstIn) {
		t.Errorf("two silent rows: %+v", got)
	}
}

func TestAUC(t *testing.T) {
	for _, c := range []struct {
		benign, attack []float64
		want           float64
	}{
		{[]float64{1, 2}, []float64{3, 4}, 1},
		{[]float64{3, 4}, []float64{2, 1}, 0},
		{[]float64{1, 1}, []float64{1}, 0.5},
		{[]float64{2, 1, 3}, []float64{2, 9, 2}, (1.5 + 1.5 + 3) / 9},
		{[]float64{1, 2}, []float64{math.Inf(1)}, 1},
		{nil, []float64{1}, math.NaN()},
	} {
		if got := auc(slices.Clone(c.benign), slices.Clone(c.attack)); !near(got, c.want) {
			t.Errorf("auc(%v, %v) = %v, want %v", c.benign, c.attack, got, c.want)
		}
	}
}

func TestF1(t *testing.T) {
	if got := f1(8, 10, 4); !near(got, 2*8.0/(2*8+4+2)) {
		t.Errorf("F1 of 8 of 10 found and 4 wrong is %v", got)
	}
	if got := f1(0, 0, 4); !math.IsNaN(got) {
		t.Errorf("F1 of nothing to find is %v", got)
	}
}

// TestStudentT against tables.
func TestStudentT(t *testing.T) {
	for df, want := range map[int]float64{1: 12.706, 4: 2.776, 10: 2.228, 11: 2.201, 20: 2.086, 99: 1.984} {
		if got := studentT(df); !near(got, want) {
			t.Errorf("t of %d degrees of freedom is %v, want %v", df, got, want)
		}
	}
}

func TestEstimate(t *testing.T) {
	e := Estimate{1, math.NaN(), 3}
	if e.Mean() != 2 || !near(e.Half(), 12.7062) { // t · √2 / √2
		t.Errorf("mean %v ± %v", e.Mean(), e.Half())
	}
	if same := (Estimate{0.1, 0.1, 0.1}); same.Mean() != 0.1 || same.Half() != 0 {
		t.Errorf("three times 0.1: %v ± %v", same.Mean(), same.Half())
	}
	b, err := json.Marshal([]Estimate{{2, math.NaN(), 2}, {math.NaN()}, {math.Inf(1)}})
	want := `[{"mean":2,"low":2,"high":2,"seeds":[2,null,2]},` +
		`{"mean":null,"low":null,"high":null,"seeds":[null]},{"mean":null,"low":null,"high":null,"seeds":[null]}]`
	if err != nil || string(b) != want {
		t.Errorf("JSON %s, %v\nwant %s", b, err, want)
	}
}

// TestSettings holds the rules against scores of which they are known.
func TestSettings(t *testing.T) {
	o := Options{Alpha: 0.1}.withDefaults()
	scores := make([]float64, 99)
	for i := range scores {
		scores[i] = float64(i + 1)
	}
	got := o.settings(&Rows{}, scores)
	want := map[Rule]float64{Eq1: 50 + math.Sqrt(825), Conformal: 90, Max: 99, Calm: 99}
	for _, s := range got {
		if !near(s.threshold, want[s.rule]) {
			t.Errorf("%s is %v, want %v", s.rule, s.threshold, want[s.rule])
		}
	}
	// Above Equation 1 lie the last 21 scores in a row: a vote of 42 is silent.
	if got[0].window != 42 || got[2].window != 1 || got[3].window != 60 {
		t.Errorf("windows %d, %d, %d", got[0].window, got[2].window, got[3].window)
	}
}

// TestAlarms: a long alarm counts for each Quiet, and gaps end it.
func TestAlarms(t *testing.T) {
	o := Options{Span: time.Minute, Quiet: 5 * time.Minute}
	seconds := func(from, n int) (times []zone.Time) {
		for i := range n {
			times = append(times, zone.Time(from+i)*1e9)
		}
		return times
	}
	for _, c := range []struct {
		name  string
		times []zone.Time
		want  int
	}{
		{"short", seconds(0, 30), 1},
		{"just over Quiet", seconds(0, 310), 2},
		{"an hour", seconds(0, 3600), 12},
		{"two with a gap", append(seconds(0, 30), seconds(1000, 30)...), 2},
	} {
		scores := slices.Repeat([]float64{5}, len(c.times))
		if got := o.alarms(&Rows{Times: c.times}, scores, setting{threshold: 1, window: 3}, math.MaxInt); got != c.want {
			t.Errorf("%s: %d alarms, want %d", c.name, got, c.want)
		}
	}
	if got := observed(append(seconds(0, 31), seconds(10000, 11)...), o.Quiet); got != 340*time.Second {
		t.Errorf("observed %v, want 340 s", got)
	}
}

// TestCalm: more alarms wished, lower threshold.
func TestCalm(t *testing.T) {
	o := Options{Window: 5}.withDefaults()
	rows := Rows{}
	var scores []float64
	for i := range 20000 { // 5.5 hours, with a burst that grows every 20 minutes
		rows.Times = append(rows.Times, zone.Time(i)*1e9)
		score := 1 + float64(i%10)/100
		if i%1200 < 10 {
			score = 3 + float64(i/1200)
		}
		scores = append(scores, score)
	}
	last := math.Inf(1)
	for _, wish := range []float64{1, 100, 300} {
		o.Alarms = wish
		s := o.settings(&rows, scores)[3]
		if s.threshold > last || wish == 300 && s.threshold == last {
			t.Errorf("%v alarms a week: threshold %v, with fewer it was %v", wish, s.threshold, last)
		}
		last = s.threshold
		if n := o.alarms(&rows, scores, s, math.MaxInt); float64(n) > wish*weeks(observed(rows.Times, o.Quiet)) {
			t.Errorf("%v alarms a week: %d in 5.5 hours", wish, n)
		}
	}
}

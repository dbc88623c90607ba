package evaluate

import (
	"math"
	"slices"

	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// Rule is a way from the scores of OptDS to a threshold and a window.
type Rule string

// The rules; see the package comment.
const (
	Eq1       Rule = "eq1"
	Conformal Rule = "conformal"
	Max       Rule = "max"
	Calm      Rule = "calm"
)

// Rules gives all rules, the paper's first.
func Rules() []Rule { return []Rule{Eq1, Conformal, Max, Calm} }

// title is how people call a rule.
func (r Rule) title() string {
	switch r {
	case Eq1:
		return "Equation 1 (mean + standard deviation)"
	case Conformal:
		return "conformal"
	case Max:
		return "maximum"
	case Calm:
		return "alarms per week"
	}
	return string(r)
}

// setting is what a detector alarms by.
type setting struct {
	rule      Rule
	threshold float64
	window    int
}

// settings derives one setting for each rule from the scores of OptDS.
func (o *Options) settings(opt *Rows, scores []float64) []setting {
	sorted := slices.Sorted(slices.Values(scores))
	n := len(sorted)
	mean, std := moments(scores)
	rank := min(int(math.Ceil(float64(n+1)*(1-o.Alpha))), n)
	all := []setting{
		{rule: Eq1, threshold: mean + std},
		{rule: Conformal, threshold: sorted[max(rank, 1)-1]},
		{rule: Max, threshold: sorted[n-1]},
	}
	for i := range all {
		all[i].window = o.quietWindow(opt, scores, all[i].threshold)
	}
	return append(all, setting{Calm, o.calm(opt, scores, sorted), o.Window})
}

// moments gives mean and sample standard deviation of at least two scores.
func moments(v []float64) (mean, std float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		std += float64((x-mean)*(x-mean)) / float64(len(v)-1)
	}
	return mean, math.Sqrt(std)
}

// quietWindow gives the smallest window whose vote is never carried, or the
// largest allowed.
func (o *Options) quietWindow(opt *Rows, scores []float64, threshold float64) int {
	for w := 1; w < o.MaxWindow; w++ {
		if o.alarms(opt, scores, setting{threshold: threshold, window: w}, 0) == 0 {
			return w
		}
	}
	return o.MaxWindow
}

// calmShare is the share of OptDS that lies at or below Calm's lower end,
// whatever the votes.
const calmShare = 0.99

// calm gives the threshold of Calm: the geometric mean of the largest score and
// of the least threshold at which OptDS has no more false alarms than wished for
// its length, which is none when rows carry no time. That least threshold alone
// lies at the edge of what was seen, and benign traffic soon crosses it.
func (o *Options) calm(opt *Rows, scores, sorted []float64) float64 {
	allowed := int(o.Alarms * weeks(observed(opt.Times, o.Quiet)))
	at, _ := slices.BinarySearchFunc(sorted, allowed, func(threshold float64, allowed int) int {
		if o.alarms(opt, scores, setting{threshold: threshold, window: o.Window}, allowed) > allowed {
			return -1
		}
		return 1
	})
	n := len(sorted)
	least := sorted[min(max(at, int(math.Ceil(calmShare*float64(n)))-1), n-1)]
	if least <= 0 { // scores of this detector are not all positive
		return (least + sorted[n-1]) / 2
	}
	return math.Sqrt(least) * math.Sqrt(sorted[n-1])
}

// alarms counts false alarms, but gives up beyond the limit: one for each Quiet,
// counted from an alarm's begin, in which the vote is carried. Without times a
// window of rows stands for Quiet.
func (o *Options) alarms(rows *Rows, scores []float64, s setting, limit int) int {
	v := detect.NewVote(s.window, o.Span)
	count, since := 0, 0
	for i, score := range scores {
		if !v.Add(rows.time(i), score > s.threshold) {
			continue
		}
		if count == 0 || !o.sameAlarm(rows, since, i, s.window) {
			since = i
			if count++; count > limit {
				return count
			}
		}
	}
	return count
}

// sameAlarm reports whether row i counts to the alarm that began at row since.
func (o *Options) sameAlarm(rows *Rows, since, i, window int) bool {
	if rows.Times == nil {
		return i-since < window
	}
	return rows.Times[i].Sub(rows.Times[since]) < o.Quiet
}

// time gives a row's time, 0 for all when there are none.
func (r *Rows) time(i int) zone.Time {
	if r.Times == nil {
		return 0
	}
	return r.Times[i]
}

package evaluate

import (
	"math"
	"slices"
)

// over takes the mean of several estimates, seed by seed: the same measure of
// other devices or attacks. What is not known is left out.
func over(estimates []Estimate) Estimate {
	if len(estimates) == 0 {
		return nil
	}
	means := make(Estimate, len(estimates[0]))
	for s := range means {
		var column Estimate
		for _, e := range estimates {
			column = append(column, e[s])
		}
		means[s] = column.Mean()
	}
	return means
}

// attacks takes the mean of a measure over all attacks that pass the filter.
func (r *Result) attacks(algorithm string, rule Rule, device string, value func(*Found) Estimate) Estimate {
	var all []Estimate
	for i := range r.Attacks {
		f := &r.Attacks[i]
		if f.Algorithm == algorithm && f.Rule == rule && (device == "" || f.Device == device) {
			all = append(all, value(f))
		}
	}
	return over(all)
}

// quiet takes the mean of a measure over all devices.
func (r *Result) quiet(algorithm string, rule Rule, value func(*Quiet) Estimate) Estimate {
	var all []Estimate
	for i := range r.Benign {
		q := &r.Benign[i]
		if q.Algorithm == algorithm && q.Rule == rule {
			all = append(all, value(q))
		}
	}
	return over(all)
}

// Mean is one line of the overview: an algorithm under a rule, means over all
// devices and attacks.
type Mean struct {
	Algorithm, Rule                string
	RowTPR, RowFPR, RowF1, AUC     Estimate
	WindowTPR, WindowFPR, WindowF1 Estimate
	WindowDelay, Detection, Missed Estimate
	PerWeek                        Estimate
}

// Overview gives the means of every algorithm under every rule, rules first.
func (r *Result) Overview() []Mean {
	var lines []Mean
	for _, rule := range Rules() {
		for _, a := range r.Options.Algorithms {
			lines = append(lines, r.mean(a, rule))
		}
	}
	return lines
}

func (r *Result) mean(a string, rule Rule) Mean {
	of := func(value func(*Found) Estimate) Estimate { return r.attacks(a, rule, "", value) }
	benign := func(value func(*Quiet) Estimate) Estimate { return r.quiet(a, rule, value) }
	return Mean{
		Algorithm: title(a), Rule: rule.title(),
		RowTPR:      of(func(f *Found) Estimate { return f.RowTPR }),
		RowFPR:      benign(func(q *Quiet) Estimate { return q.RowFPR }),
		RowF1:       of(func(f *Found) Estimate { return f.RowF1 }),
		AUC:         of(func(f *Found) Estimate { return f.AUC }),
		WindowTPR:   of(func(f *Found) Estimate { return f.WindowTPR }),
		WindowFPR:   benign(func(q *Quiet) Estimate { return q.WindowFPR }),
		WindowF1:    of(func(f *Found) Estimate { return f.WindowF1 }),
		WindowDelay: of(func(f *Found) Estimate { return f.WindowDelay }),
		Detection:   of((*Found).Detection),
		Missed:      of(func(f *Found) Estimate { return f.Missed }),
		PerWeek:     benign(func(q *Quiet) Estimate { return q.PerWeek }),
	}
}

// timed reports whether all rows of all attacks carry times.
func (r *Result) timed() bool {
	for _, d := range r.Devices {
		if slices.ContainsFunc(d.Attacks, func(a Amount) bool { return !a.Timed }) {
			return false
		}
	}
	return true
}

// known reports an estimate that has a value.
func known(e Estimate) bool { return !math.IsNaN(e.Mean()) }

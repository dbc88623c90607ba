package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// trial is one algorithm trained with one seed on one device.
type trial struct {
	algorithm string
	scorer    scorer
	fit       float64 // seconds
	one, many float64 // nanoseconds
	opt, test []float64
	settings  []setting
	benign    []tally // of the third part, by setting
	// twin is an earlier trial with the same scores, bit for bit: a detector
	// that draws nothing. Its results count for this one too.
	twin *trial
}

// experiment is one run on one device.
type experiment struct {
	*Options
	device *Device
	parts  *parts
	trials [][]*trial // by algorithm, then seed
	step   func()
	result *Result
}

// Run does the experiment on every device, one after the other. It gives ctx's error
// soon after ctx ends. What is wrong with a device's rows is an error that
// names device, set, row and column.
func Run(ctx context.Context, devices []Device, o Options) (*Result, error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("options of the evaluation: %w", err)
	}
	if len(devices) == 0 {
		return nil, fmt.Errorf("there is no device to evaluate")
	}
	result := &Result{Options: o}
	step := o.steps(devices)
	for i := range devices {
		e := &experiment{Options: &o, device: &devices[i], step: step, result: result}
		if err := e.run(ctx); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// steps gives a function to call after each step: every trial of a device takes
// one for training and one for each attack.
func (o *Options) steps(devices []Device) func() {
	var done, total int64
	for _, d := range devices {
		total += int64((1 + len(d.Attacks)) * len(o.Algorithms) * o.Seeds)
	}
	var mu sync.Mutex // Progress and done
	o.Progress(0, total)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		o.Progress(done, total)
	}
}

func (e *experiment) run(ctx context.Context) error {
	var err error
	if e.parts, err = split(ctx, e.device); err != nil {
		return err
	}
	if err := e.trainAll(ctx); err != nil {
		return err
	}
	e.measureAll()
	summary := e.summary()
	e.benign(&summary)
	for i := range e.device.Attacks {
		if err := e.attack(ctx, &e.device.Attacks[i], &summary); err != nil {
			return err
		}
	}
	e.result.Devices = append(e.result.Devices, summary)
	return nil
}

// trainAll trains every algorithm with every seed, algorithms side by side.
func (e *experiment) trainAll(ctx context.Context) error {
	e.trials = make([][]*trial, len(e.Algorithms))
	return each(e.Workers, len(e.Algorithms), func(a int) error {
		for s := range e.Seeds {
			t, err := e.trial(ctx, e.Algorithms[a], s)
			if err != nil {
				return fmt.Errorf("%s, training %s: %w", e.device.Name, e.Algorithms[a], err)
			}
			if s > 0 && slices.Equal(t.opt, e.trials[a][0].opt) {
				t.twin = e.trials[a][0]
			}
			e.trials[a] = append(e.trials[a], t)
			e.step()
		}
		return nil
	})
}

// trial trains, scores the benign rows and sets the thresholds.
func (e *experiment) trial(ctx context.Context, algorithm string, nth int) (*trial, error) {
	began := e.now()
	s, err := e.train(ctx, algorithm, e.parts, e.Seed+uint64(nth))
	if err != nil {
		return nil, err
	}
	t := &trial{algorithm: algorithm, scorer: s, fit: e.now().Sub(began).Seconds(), one: math.NaN(), many: math.NaN()}
	if e.Now == nil {
		t.fit = math.NaN()
	}
	opt := e.parts.benign.part(e.parts.opt, e.parts.test)
	test := e.parts.benign.part(e.parts.test, len(e.parts.benign.Values))
	if t.opt, err = t.score(ctx, opt.Values); err != nil {
		return nil, err
	}
	if t.test, err = t.score(ctx, test.Values); err != nil {
		return nil, err
	}
	t.settings = e.settings(&opt, t.opt)
	for _, s := range t.settings {
		t.benign = append(t.benign, e.count(&test, t.test, s))
	}
	return t, nil
}

// score scores rows in pieces, so that the end of ctx is noticed.
func (t *trial) score(ctx context.Context, rows []row) ([]float64, error) {
	const piece = 1024
	scores := make([]float64, len(rows))
	for from := 0; from < len(rows); from += piece {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		to := min(from+piece, len(rows))
		t.scorer.Score(rows[from:to], scores[from:to])
	}
	return scores, nil
}

// now is the clock, or a moment that never changes.
func (o *Options) now() time.Time {
	if o.Now == nil {
		return time.Time{}
	}
	return o.Now()
}

// measureAll times the scoring of rows, one trial at a time.
func (e *experiment) measureAll() {
	if e.Now == nil {
		return
	}
	rows := e.parts.benign.Values[e.parts.test:]
	rows = rows[:min(len(rows), 256)]
	for _, trials := range e.trials {
		for _, t := range trials {
			t.one, t.many = e.timeRows(t.scorer, rows, 1), e.timeRows(t.scorer, rows, len(rows))
		}
	}
}

// timeRows gives nanoseconds a row, the best of five passes.
func (o *Options) timeRows(s scorer, rows []row, batch int) float64 {
	scores := make([]float64, len(rows))
	best := math.Inf(1)
	for range 5 {
		began := o.now()
		for i := 0; i+batch <= len(rows); i += batch {
			s.Score(rows[i:i+batch], scores[i:i+batch])
		}
		best = min(best, float64(o.now().Sub(began)))
	}
	return best / float64(len(rows))
}

// each calls f for 0 to n-1 on some goroutines and waits for them. It gives the
// error of the lowest number.
func each(workers, n int, f func(int) error) error {
	errs := make([]error, n)
	next := make(chan int)
	var wait sync.WaitGroup
	for range min(workers, n) {
		wait.Go(func() {
			for i := range next {
				errs[i] = f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

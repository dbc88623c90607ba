package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/feature"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// fixed gives rows that are there already.
func fixed(r Rows) func(context.Context) (Rows, error) {
	return func(context.Context) (Rows, error) { return r, nil }
}

// home gives feature rows of one device of a simulated home: those from before
// it was infected, and those behind, in which it also scans.
func home(tb testing.TB) (benign, infected Rows) {
	tb.Helper()
	start := zone.Time(1_700_000_000e9)
	attack := start.Add(40 * time.Minute)
	h := simulate.NewHome(simulate.HomeOptions{Seed: 4, Start: start})
	device := h.Devices()[0].MAC
	if err := h.Infect(device, []simulate.Attack{{Kind: simulate.MiraiScan, Start: attack, Duration: 10 * time.Second}}); err != nil {
		tb.Fatal(err)
	}
	extractor := feature.NewExtractor(feature.Limits{})
	var p packet.Packet
	var v feature.Vector
	for f := range h.Frames(attack.Add(20 * time.Second)) {
		p.Time, p.Length = f.Time, len(f.Data)
		packet.Decode(packet.LinkEthernet, f.Data, &p)
		extractor.Update(&p, &v)
		if p.SrcMAC != device || f.Time.Sub(start) < 5*time.Minute {
			continue
		}
		to := &benign
		if f.Time >= attack {
			to = &infected
			to.Attack = append(to.Attack, f.Attack != "")
		}
		var r row
		for c, x := range v {
			r[c] = float32(x)
		}
		to.Values, to.Times = append(to.Values, r), append(to.Times, f.Time)
	}
	return benign, infected
}

// quick are options that make a small experiment.
func quick() Options {
	o := Options{Seeds: 2, Window: 20}
	o.Detect.Epochs = 4
	o.Baseline.MaxRows = 400
	return o
}

// TestScan: the whole experiment on simulated traffic; TestGenuine has all
// detectors. What is asserted holds for
// any sound detector: a scan is found soon, and benign rows are not alarming.
func TestScan(t *testing.T) {
	benign, infected := home(t)
	o := quick()
	o.Now = clock()
	o.Algorithms = []string{Autoencoder, "lof", "iforest"}
	r, err := Run(t.Context(), []Device{{"camera", fixed(benign), []Set{{"scan", fixed(infected)}}}}, o)
	if err != nil {
		t.Fatal(err)
	}
	d := r.Devices[0]
	if sum := d.Train + d.Opt + d.Test; sum != len(benign.Values) || d.OptHours <= 0 || d.Attacks[0].Rows == 0 || !d.Attacks[0].Timed {
		t.Errorf("summary %+v of %d benign rows", d, len(benign.Values))
	}
	n := len(o.Algorithms)
	if len(r.Computing) != n || len(r.Benign) != 4*n || len(r.Attacks) != 4*n {
		t.Fatalf("%d, %d, %d results", len(r.Computing), len(r.Benign), len(r.Attacks))
	}
	f := r.of(t, Autoencoder, Calm)
	if f.AUC.Mean() < 0.99 || f.WindowTPR.Mean() < 0.5 || f.Missed.Mean() != 0 || f.WindowSeconds.Mean() > 5 {
		t.Errorf("autoencoder: AUC %v, window TPR %v, missed %v, after %v s", f.AUC, f.WindowTPR, f.Missed, f.WindowSeconds)
	}
	if fpr := r.quiet(Autoencoder, Calm, func(q *Quiet) Estimate { return q.WindowFPR }); fpr.Mean() > 0.05 {
		t.Errorf("autoencoder: window FPR %v", fpr)
	}
	if c := r.Computing[0]; !known(c.One) || !known(c.Many) || !known(c.Fit) {
		t.Errorf("computing was not measured: %+v", c)
	}
	if lof := r.of(t, "lof", Eq1); lof.AUC[0] != lof.AUC[1] || len(lof.AUC) != 2 {
		t.Errorf("LOF draws nothing, its AUC by seed is %v", lof.AUC)
	}
}

// clock moves by a millisecond at each look.
func clock() func() time.Time {
	c := make(chan time.Time, 1)
	c <- time.Unix(0, 0)
	return func() time.Time {
		now := (<-c).Add(time.Millisecond)
		c <- now
		return now
	}
}

// of gives one result.
func (r *Result) of(tb testing.TB, algorithm string, rule Rule) *Found {
	tb.Helper()
	for i := range r.Attacks {
		if f := &r.Attacks[i]; f.Algorithm == algorithm && f.Rule == rule {
			return f
		}
	}
	tb.Fatalf("no result of %s under %s", algorithm, rule)
	return nil
}

// TestWorkers: as many workers as there are, the numbers are the same.
func TestWorkers(t *testing.T) {
	benign, attack := line(300, 1), line(80, 9)
	var results []*Result
	for _, workers := range []int{1, 3} {
		o := quick()
		o.Workers = workers
		o.Algorithms = []string{Autoencoder, "iforest", "pca"}
		r, err := Run(t.Context(), []Device{{"a", fixed(benign), []Set{{"x", fixed(attack)}}}}, o)
		if err != nil {
			t.Fatal(err)
		}
		r.Options = Options{}
		results = append(results, r)
	}
	if a, b := fmt.Sprint(*results[0]), fmt.Sprint(*results[1]); a != b { // NaN is not equal to itself
		t.Errorf("one worker:\n%s\nthree:\n%s", a, b)
	}
}

// line makes rows that go up and down around a base, a second apart.
func line(n int, base float32) Rows {
	r := Rows{Values: make([]row, n), Times: make([]zone.Time, n)}
	for i := range n {
		for c := range r.Values[i] {
			r.Values[i][c] = base + float32((i*(c+3))%7)/70
		}
		r.Times[i] = zone.Time(i) * 1e9
	}
	return r
}

func TestRunRefuses(t *testing.T) {
	good, few := line(300, 1), line(MinRows-1, 1)
	nan := line(300, 1)
	nan.Values[41][2] = float32(math.NaN())
	late := line(300, 1)
	late.Times[7] = 0
	short := line(300, 1)
	short.Times = short.Times[:5]
	none := line(20, 1)
	none.Attack = make([]bool, 20)
	broken := func(context.Context) (Rows, error) { return Rows{}, errors.New("half a file") }
	run := func(benign, attack func(context.Context) (Rows, error)) error {
		o := quick()
		o.Algorithms = []string{"hbos"}
		_, err := Run(t.Context(), []Device{{"plug", benign, []Set{{"mirai/scan", attack}}}}, o)
		return err
	}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{run(fixed(few), fixed(good)), []string{"plug", "149 are too few", "150"}},
		{run(fixed(nan), fixed(good)), []string{"plug, benign", "row 42", "column 3 (MI_dir_L5_variance)", "finite"}},
		{run(fixed(late), fixed(good)), []string{"plug, benign", "order of time"}},
		{run(fixed(short), fixed(good)), []string{"300 rows with 5 times"}},
		{run(broken, fixed(good)), []string{"plug, benign", "half a file"}},
		{run(fixed(good), broken), []string{"plug, attack mirai/scan", "half a file"}},
		{run(fixed(good), fixed(nan)), []string{"plug, attack mirai/scan", "row 42"}},
		{run(fixed(good), fixed(Rows{})), []string{"no row of the attack"}},
		{run(fixed(good), fixed(none)), []string{"no row of the attack"}},
		{run(fixed(testFrom(99)), fixed(good)), []string{"plug, benign", "99 of 300 are to learn from", "takes 100"}},
		{run(fixed(testFrom(300)), fixed(good)), []string{"300 of 300 are to learn from"}},
	} {
		for _, want := range c.want {
			if c.err == nil || !strings.Contains(c.err.Error(), want) {
				t.Errorf("error %v does not say %q", c.err, want)
			}
		}
	}
	if _, err := Run(t.Context(), nil, quick()); err == nil {
		t.Error("no device is no error")
	}
}

func TestValidate(t *testing.T) {
	for _, o := range []Options{
		{Seeds: -1}, {Seeds: 101}, {Alarms: -1}, {Alpha: 1}, {Window: -1}, {MaxWindow: 10001}, {Span: -1},
		{Quiet: -1}, {Workers: -1}, {Algorithms: []string{"magic"}}, {Algorithms: []string{"pca", "pca"}},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	if err := (Options{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := quick()
	o.Algorithms = []string{"pca", "hbos"}
	o.Progress = func(done, total int64) {
		if done == 3 {
			cancel()
		}
	}
	_, err := Run(ctx, []Device{{"a", fixed(line(300, 1)), []Set{{"x", fixed(line(80, 2))}}}}, o)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped in the middle: %v", err)
	}
}

// TestProgress: every step is told once, and the last one is the end.
func TestProgress(t *testing.T) {
	var told []int64
	o := quick()
	o.Algorithms = []string{"pca", "hbos"}
	o.Progress = func(done, total int64) {
		if told = append(told, done); total != 8 {
			t.Errorf("total %d, want 2 algorithms, 2 seeds, 1 training and 1 attack: 8", total)
		}
	}
	if _, err := Run(t.Context(), []Device{{"a", fixed(line(300, 1)), []Set{{"x", fixed(line(80, 2))}}}}, o); err != nil {
		t.Fatal(err)
	}
	if want := []int64{0, 1, 2, 3, 4, 5, 6, 7, 8}; !slices.Equal(told, want) {
		t.Errorf("told %v", told)
	}
}

// testFrom gives 300 rows with another third part.
func testFrom(row int) Rows {
	r := line(300, 1)
	r.Test = row
	return r
}

// TestSplitWhereAttacked: a part that was attacked is the third, the rest halved.
func TestSplitWhereAttacked(t *testing.T) {
	p, err := split(t.Context(), &Device{Name: "a", Benign: fixed(testFrom(120))})
	if err != nil || p.opt != 60 || p.test != 120 {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestSplit: the scaling is fitted on the first third alone.
func TestSplit(t *testing.T) {
	rows := line(300, 1)
	other := line(300, 1)
	for i := 100; i < 300; i++ {
		other.Values[i][0] = 1e6
	}
	a, err := split(t.Context(), &Device{Name: "a", Benign: fixed(rows)})
	if err != nil {
		t.Fatal(err)
	}
	b, err := split(t.Context(), &Device{Name: "b", Benign: fixed(other)})
	if err != nil {
		t.Fatal(err)
	}
	if a.opt != 100 || a.test != 200 || !reflect.DeepEqual(a.scale, b.scale) || !slices.Equal(a.scaled, b.scaled) {
		t.Errorf("split at %d and %d; later rows change the scaling: %v", a.opt, a.test, !reflect.DeepEqual(a.scale, b.scale))
	}
}

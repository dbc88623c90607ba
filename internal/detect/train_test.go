package detect

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/zone"
)

// device gives n rows of a made-up device: three hidden factors that drift,
// seen through a fixed mixture, on scales from fractions to millions, with
// constant columns among them.
func device(n int, seed uint64) Training {
	r := rand.New(rand.NewPCG(1, 1))
	var mix [3][zone.Features]float64
	for i := range mix {
		for c := range mix[i] {
			mix[i][c] = r.NormFloat64()
		}
	}
	r = rand.New(rand.NewPCG(seed, 2))
	t := Training{
		Rows: make([]row, n), Times: make([]zone.Time, n), First: 11, Last: zone.SeqID(10 + n),
		Device: zone.MAC{2, 0, 0, 0, 0, 1}, Definition: zone.Hash{7}, Profile: sampleProfile(),
	}
	var f [3]float64
	for i := range t.Rows {
		for k := range f {
			f[k] = 0.9*f[k] + 0.4*r.NormFloat64()
		}
		for c := range t.Rows[i] {
			v := f[0]*mix[0][c] + f[1]*mix[1][c] + f[2]*mix[2][c] + 0.05*r.NormFloat64()
			t.Rows[i][c] = float32(math.Exp(v + float64(c%12)))
			if c%10 == 9 {
				t.Rows[i][c] = 60
			}
		}
		t.Times[i] = zone.Time(1_700_000_000_000_000_000).Add(time.Duration(i) * time.Second)
	}
	return t
}

func sampleProfile() Profile {
	return Profile{
		Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("fe80::7")},
		Prefixes:  []netip.Prefix{netip.MustParsePrefix("2001:db8:0:1::/64")},
		Known:     []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		NewHosts:  5, NewPorts: 2, MaxRate: 20, MaxPackets: 100, MaxBytes: 1 << 40,
		Ports: []PortUse{{Proto: 6, Port: 443, MaxHosts: 3, NewHosts: 2}, {Proto: 17, Port: 53, MaxHosts: 1}},
	}
}

// quick are options for tests that need a model, not a good one.
func quick() Options { return Options{Epochs: 4, Seed: 5} }

func train(t testing.TB, in Training, o Options) *Model {
	t.Helper()
	m, err := Train(t.Context(), in, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTrainSeparates(t *testing.T) {
	in := device(1000, 1)
	later := in.Rows[700:]
	in.Rows, in.Times = in.Rows[:700], in.Times[:700]
	m := train(t, in, Options{})
	scores := make([]float64, 300)
	m.Score(later, scores)
	above := 0
	for _, s := range scores {
		if s > m.Threshold {
			above++
		}
	}
	if above > 15 {
		t.Errorf("%d of 300 later rows of the same device lie above the threshold", above)
	}
	for i := range later {
		for c := 40; c < 60; c++ {
			later[i][c] *= 20
		}
	}
	m.Score(later, scores)
	if low := slices.Min(scores); low <= m.Threshold {
		t.Errorf("a row with twenty features wrong scores %.3g, threshold %.3g", low, m.Threshold)
	}
}

func TestTrainIsReproducible(t *testing.T) {
	in := device(400, 1)
	a, b := train(t, in, quick()), train(t, in, quick())
	if a.Digest() != b.Digest() {
		t.Error("the same rows and options gave another file")
	}
	o := quick()
	o.Seed++
	if c := train(t, in, o); c.Digest() == a.Digest() {
		t.Error("another seed gave the same file")
	}
}

func TestSplitIsByTime(t *testing.T) {
	in := device(500, 1)
	o := quick()
	o.SplitOptDS = true
	m := train(t, in, o)
	if m.Fit.TDS != 300 || m.Fit.Stop != 100 || m.Fit.Calibration != 100 {
		t.Fatalf("parts of %d, %d and %d rows", m.Fit.TDS, m.Fit.Stop, m.Fit.Calibration)
	}
	if want := fitScaler(in.Rows[:300]); want.mean != m.scale.mean || want.sigma != m.scale.sigma {
		t.Error("the scaling saw other rows than TDS")
	}
	scores := make([]float64, 100)
	m.Score(in.Rows[400:], scores)
	if m.Threshold != slices.Max(scores) || m.Fit.MaxMSE != m.Threshold {
		t.Errorf("threshold %v, the last fifth's maximum is %v", m.Threshold, slices.Max(scores))
	}
	m.Score(in.Rows[300:400], scores)
	if mean, _ := moments(scores); mean != m.Fit.StopMSE {
		t.Errorf("error on the stopping rows %v, reported %v", mean, m.Fit.StopMSE)
	}
	if s := train(t, in, quick()); s.Fit.TDS != 300 || s.Fit.Stop != 200 || s.Fit.Calibration != 200 {
		t.Errorf("shared: parts of %d, %d and %d rows", s.Fit.TDS, s.Fit.Stop, s.Fit.Calibration)
	}
}

func TestTrainRefuses(t *testing.T) {
	_, err := Train(t.Context(), device(50, 1), Options{}, nil)
	var few *TooFewError
	if !errors.As(err, &few) || few.Have != 50 || few.Need != 200 {
		t.Errorf("50 rows: %v", err)
	}
	in := device(300, 1)
	in.Rows[17][33] = float32(math.NaN())
	if _, err := Train(t.Context(), in, quick(), nil); err == nil || !strings.Contains(err.Error(), "row 17 of 02:00:00:00:00:01") ||
		!strings.Contains(err.Error(), "feature 33 is NaN") {
		t.Errorf("NaN: %v", err)
	}
	in = device(300, 1)
	in.Times = in.Times[1:]
	if _, err := Train(t.Context(), in, quick(), nil); err == nil {
		t.Error("a missing time was accepted")
	}
	if _, err := Train(t.Context(), device(300, 1), Options{Rule: "best"}, nil); err == nil || !strings.Contains(err.Error(), "rule is best") {
		t.Errorf("rule: %v", err)
	}
	in = device(300, 1)
	in.Profile.NewHosts = -1
	if _, err := Train(t.Context(), in, quick(), nil); err == nil {
		t.Error("a broken profile was accepted")
	}
}

func TestTrainEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Train(ctx, device(300, 1), Options{Patience: 1000, Epochs: 1000}, func(epoch int, mse float64) {
		if epoch == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "epoch 3") {
		t.Errorf("got %v", err)
	}
}

func TestBestEpochIsKept(t *testing.T) {
	var errs []float64
	m, err := Train(t.Context(), device(300, 1), Options{Epochs: 60, Patience: 3, LearningRate: 0.02},
		func(epoch int, mse float64) { errs = append(errs, mse) })
	if err != nil {
		t.Fatal(err)
	}
	if len(errs) != m.Fit.Epochs || errs[m.Fit.Best-1] != slices.Min(errs) || m.Fit.StopMSE != slices.Min(errs) {
		t.Errorf("kept epoch %d with %v of %v", m.Fit.Best, m.Fit.StopMSE, errs)
	}
	if m.Fit.Epochs-m.Fit.Best != 3 {
		t.Errorf("ended in epoch %d, %d after the best, want patience of 3", m.Fit.Epochs, m.Fit.Epochs-m.Fit.Best)
	}
}

func TestWorkIsBounded(t *testing.T) {
	m := train(t, device(600, 1), Options{Work: 1000, MaxRows: 200})
	if m.Fit.TDS != 180 || m.Fit.Stop != 48 || m.Fit.Calibration != 240 {
		t.Errorf("parts of %d, %d and %d rows", m.Fit.TDS, m.Fit.Stop, m.Fit.Calibration)
	}
	if m.Fit.Epochs != 5 {
		t.Errorf("%d epochs of 180 rows, want 5 within 1000 row-epochs", m.Fit.Epochs)
	}
	if !slices.ContainsFunc(m.Warnings, func(w string) bool { return strings.Contains(w, "limit of 1000 row-epochs") }) {
		t.Errorf("warnings %q", m.Warnings)
	}
}

func TestThinKeepsOrder(t *testing.T) {
	rows := make([]row, 25)
	for i := range rows {
		rows[i][0] = float32(i)
	}
	kept := thin(rows, 10)
	if len(kept) != 9 || kept[0][0] != 0 || kept[8][0] != 24 {
		t.Errorf("kept %d rows", len(kept))
	}
	if len(thin(rows, 25)) != 25 {
		t.Error("rows within the limit were thinned")
	}
}

func TestBurstIsWarnedOf(t *testing.T) {
	in := device(500, 1)
	for c := range in.Rows[450] {
		in.Rows[450][c] *= 1000
	}
	m := train(t, in, quick())
	if !slices.ContainsFunc(m.Warnings, func(w string) bool {
		return strings.Contains(w, "far above the 99th percentile") && strings.Contains(w, in.Times[450].String())
	}) {
		t.Errorf("warnings %q", m.Warnings)
	}
}

func TestOptionsValidate(t *testing.T) {
	if err := (Options{}).Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for _, o := range []Options{
		{LearningRate: -1}, {LearningRate: 2}, {LearningRate: math.NaN()}, {Epochs: -1}, {Work: -1},
		{Batch: 5000}, {Patience: -1}, {Rule: "x"}, {Alpha: 1}, {Alpha: math.NaN()}, {OptShare: 1}, {OptShare: -0.1},
		{MinWindow: -1}, {MinWindow: 9, MaxWindow: 8}, {MaxWindow: 20_000}, {Span: -1}, {Span: 25 * time.Hour},
		{MinRows: 5}, {MaxRows: -3},
	} {
		if err := o.Validate(); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestUsualRanges(t *testing.T) {
	rows := make([]row, 1000)
	for i := range rows {
		rows[i][3] = float32((i*7)%1000 + 1)
	}
	if u := usualRanges(rows); u[3].Low != 5 || u[3].High != 995 || u[4].Low != 0 || u[4].High != 0 {
		t.Errorf("ranges %v, %v", u[3], u[4])
	}
}

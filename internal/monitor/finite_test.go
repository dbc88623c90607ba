package monitor

import (
	"math"
	"testing"
	"time"

	"bellwether/internal/zone"
)

func TestFinite(t *testing.T) {
	for v, want := range map[float64]float32{
		1.5: 1.5, -2: -2, 0: 0, math.MaxFloat64: math.MaxFloat32, -math.MaxFloat64: -math.MaxFloat32,
		math.Inf(1): math.MaxFloat32, math.Inf(-1): -math.MaxFloat32,
	} {
		if got := finite(v); got != want {
			t.Errorf("%g is kept as %g, want %g", v, got, want)
		}
	}
	if got := finite(math.NaN()); got != 0 {
		t.Errorf("NaN is kept as %g", got)
	}
}

// Statistics that overflow make an alert like any other.
func TestOverflowIsAnAlert(t *testing.T) {
	b := learned(t, Options{})
	for range 100 {
		b.send(time.Millisecond, b.udp(camera, cameraA))
		s := &b.m.batch[len(b.m.batch)-1]
		for i := range s.Features {
			s.Features[i] = finite(math.Inf(1 - 2*(i%2)))
		}
	}
	b.flush()
	if len(b.alerts) != 1 {
		t.Fatalf("%d alerts, want 1", len(b.alerts))
	}
	if s := b.alerts[0].Score; math.IsInf(s, 0) || math.IsNaN(s) || s <= b.alerts[0].Threshold {
		t.Errorf("the score is %g", s)
	}
	if _, err := b.alerts[0].Canonical(); err != nil {
		t.Error(err)
	}
	for s, err := range b.p.Store.Rows(t.Context(), 0, 0, zone.MAC{}) {
		b.must(err)
		if math.IsInf(s.Score, 0) {
			t.Fatalf("the score of SEQ %d is %g", s.Seq, s.Score)
		}
	}
}

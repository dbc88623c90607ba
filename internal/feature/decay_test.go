package feature

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"bellwether/internal/zone"
)

func TestExp2Neg(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		y := math.Exp2(r.Float64()*70 - 60)
		got, want := exp2Neg(y), math.Exp2(-y)
		if y > 1021 {
			want = 0
		}
		if math.Abs(got-want) > 4e-16*want {
			t.Fatalf("2^-%v is %v, want %v", y, got, want)
		}
	}
	for y := range 1022 {
		if got := exp2Neg(float64(y)); got != math.Ldexp(1, -y) {
			t.Fatalf("2^-%d is %v", y, got)
		}
	}
}

// TestExp2Table checks each entry's 32nd power, exactly.
func TestExp2Table(t *testing.T) {
	for i, e := range exp2Table {
		x := new(big.Float).SetPrec(4000).SetFloat64(e.head)
		x.Add(x, big.NewFloat(e.tail))
		for range 5 {
			x.Mul(x, x)
		}
		x.SetMantExp(x, i)
		if got, _ := x.Sub(x, big.NewFloat(1)).Float64(); math.Abs(got) > 1e-30 {
			t.Errorf("entry %d to the 32nd power is off by %v", i, got)
		}
	}
}

func TestDecay(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		ns := uint64(math.Exp2(r.Float64() * 45))
		for i, got := range decay(ns) {
			want := math.Exp2(-kitsuneRates()[i] * float64(ns) / 1e9)
			if want > 1e-290 && math.Abs(got-want) > 3e-13*want {
				t.Fatalf("%d ns at rate %d: %v, want %v", ns, i, got, want)
			}
		}
	}
	if got := decay(math.MaxUint64); got != (factors{}) {
		t.Errorf("after 584 years %v is left", got)
	}
}

func TestElapsed(t *testing.T) {
	for _, c := range []struct {
		from, to zone.Time
		want     uint64
	}{
		{5, 5, 0}, {5, 4, 0}, {5, 7, 2},
		{math.MinInt64, math.MaxInt64, math.MaxUint64}, {math.MaxInt64, math.MinInt64, 0},
	} {
		if got := elapsed(c.from, c.to); got != c.want {
			t.Errorf("from %d to %d: %d ns, want %d", int64(c.from), int64(c.to), got, c.want)
		}
	}
}

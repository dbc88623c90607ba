package nbaiot

import (
	"math"
	"strings"

	"bellwether/internal/feature"
)

const (
	// longestGap, in seconds, is beyond any gap between two packets (three
	// years): a larger HH_jit mean has a Unix time in it.
	longestGap = 1e8
	// lastTime is the year 2100: no HH_jit mean in seconds is beyond it.
	lastTime = 4102444800
	// longestFrame bounds mean sizes, in bytes: four times what the largest
	// offloaded frame has.
	longestFrame = 1 << 18
)

// column says what one of the 115 columns may hold.
type column struct {
	name     string
	jitter   bool // of the HH_jit group
	mean     bool
	low, top float64
}

// columns gives all of them. Correlations and covariances have no bounds: the
// published ones of nearly constant sizes are noise divided by noise.
func columns() [feature.Count]column {
	var all [feature.Count]column
	for c, name := range feature.Names() {
		k := column{name: name, jitter: strings.HasPrefix(name, "HH_jit_"), mean: strings.HasSuffix(name, "_mean")}
		k.low, k.top = 0, math.MaxFloat32
		switch {
		case strings.HasSuffix(name, "_covariance"), strings.HasSuffix(name, "_pcc"):
			k.low = -math.MaxFloat32
		case k.mean && k.jitter:
			k.top = lastTime
		case k.mean, strings.HasSuffix(name, "_std"):
			k.top = longestFrame
		case strings.HasSuffix(name, "_weight"):
			k.top = longestGap
		}
		all[c] = k
	}
	return all
}

// refuse says in words what is wrong with a value, "" if nothing is.
func (k *column) refuse(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "is not a finite number"
	case v < k.low && k.low == 0:
		return "is negative, which it never is"
	case v > k.top && k.jitter && k.mean:
		return "is no time in seconds: longer than from 1970 to 2100"
	case v > k.top && v > longestGap && v <= lastTime:
		return "looks like a Unix time: the columns are shifted"
	case v < k.low || v > k.top:
		return "is out of range"
	}
	return ""
}

// times looks for Unix times among a row's HH_jit means. A channel's first
// packet has the weight 1 and the same mean at all five decay rates.
func (r *Reader) times(v *[feature.Count]float64) {
	mixed, whole := false, true
	first := v[r.jitter[1]]
	for i := 0; i < len(r.jitter); i += 3 {
		weight, mean := v[r.jitter[i]], v[r.jitter[i+1]]
		mixed = mixed || mean > longestGap
		whole = whole && weight == 1 && mean == first
	}
	if mixed {
		r.raw++
	}
	if whole && first > longestGap {
		r.start = first
	}
}

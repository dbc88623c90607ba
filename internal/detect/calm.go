package detect

import (
	"cmp"
	"math"
	"slices"
	"time"

	"bellwether/internal/zone"
)

// blockSpan is the length of the blocks into which calibration time is cut.
// Neighbouring rows resemble each other and so do their votes: a block has one
// peak, and peaks are what is counted.
const blockSpan = 10 * time.Minute

const week = 7 * 24 * time.Hour

// Tail says how high normal rows reach together, block by block: the peak of a
// block is the least threshold at which no vote in it is carried. Above Level
// peaks are taken to fall off as a power (Hill 1975): a share
// Peaks/Blocks·(x/Level)^(−1/Shape) of the blocks exceeds x.
type Tail struct {
	// Observed is how long the device was seen while calibrating, pauses of
	// more than a block left out, and Blocks how many blocks that is.
	Observed time.Duration `cbor:"observed"`
	Blocks   int           `cbor:"blocks"`
	// Peaks is how many of the largest peaks were fitted, 0 where too few
	// blocks had any; Level is the next smaller one, Top the largest.
	Peaks int     `cbor:"peaks"`
	Level float64 `cbor:"level"`
	Shape float64 `cbor:"shape"`
	Top   float64 `cbor:"top"`
}

// PerWeek is the number of false alarms to be expected in a week of one
// device's traffic at a threshold, if it goes on as it was calibrated: a point
// estimate. Where no block had a peak it is 0.
func (t Tail) PerWeek(threshold float64) float64 {
	if t.Peaks == 0 || threshold <= 0 {
		return 0
	}
	share := float64(t.Peaks) / float64(t.Blocks)
	if threshold > t.Level {
		share *= math.Pow(threshold/t.Level, -1/t.Shape)
	}
	return share * float64(week/blockSpan)
}

// threshold is the one at which perWeek alarms are expected, at least the
// largest peak. It is alone, the largest score of one row, where no tail was
// fitted, and while the device has not been seen for as long as it takes to
// promise that rate: what a few hours show of rows together is no measure of
// other days (on the smart home of the package doc it came to 500 times as much
// on a later one), and no ground for looking away either.
func (t Tail) threshold(perWeek, alone float64) float64 {
	if t.Peaks == 0 || t.Observed < Needed(0, perWeek) {
		return alone
	}
	share := perWeek / float64(week/blockSpan)
	return max(t.Top, rounded(t.Level*math.Pow(float64(t.Peaks)/(float64(t.Blocks)*share), t.Shape)))
}

// AtMost bounds the rate of alarms per week, with 95 % confidence, of a device
// that gave so many in the time it was seen: with a higher one, a Poisson
// process would give no more than that in less than one of 20 cases (Garwood
// 1936).
func AtMost(alarms int, seen time.Duration) float64 {
	if seen <= 0 {
		return math.Inf(1)
	}
	return poissonBound(alarms) / (float64(seen) / float64(week))
}

// Needed is how long a device that gave so many alarms has to be seen in all,
// without another, before AtMost promises perWeek; the longest Duration where that
// is longer still.
func Needed(alarms int, perWeek float64) time.Duration {
	needed := poissonBound(alarms) / perWeek * float64(week)
	if needed >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(needed)
}

// poissonBound is the mean of which a Poisson variable is at most n in one of 20
// cases.
func poissonBound(n int) float64 {
	low, high := 0.0, 10+4*float64(n)
	for range 60 {
		mean := (low + high) / 2
		sum := 0.0
		for i := range n + 1 {
			logFactorial, _ := math.Lgamma(float64(i) + 1)
			sum += math.Exp(float64(float64(i)*math.Log(mean)) - mean - logFactorial)
		}
		if sum > 0.05 {
			low = mean
		} else {
			high = mean
		}
	}
	return high
}

// tailOf measures the tail of a vote with the given window and span. Times and
// scores are in the order of arrival, at least one.
func tailOf(window int, span time.Duration, times []zone.Time, scores []float64) Tail {
	t := Tail{Observed: observed(times)}
	peaks := peaksOf(window, span, times, scores)
	t.Blocks = max(len(peaks), int((t.Observed+blockSpan-1)/blockSpan), 1)
	peaks = slices.DeleteFunc(peaks, func(p float64) bool { return p <= 0 })
	slices.SortFunc(peaks, func(a, b float64) int { return cmp.Compare(b, a) })
	if len(peaks) == 0 {
		return t
	}
	t.Top = peaks[0]
	k := min(max(minPeaks, len(peaks)/10), len(peaks)-1)
	if k < minPeaks {
		return t
	}
	for _, p := range peaks[:k] {
		t.Shape += math.Log(p / peaks[k])
	}
	t.Peaks, t.Level, t.Shape = k, peaks[k], rounded(t.Shape/float64(k))
	if t.Shape == 0 { // all alike
		t.Peaks = 0
	}
	return t
}

// rounded drops the digits in which logarithms and powers differ from one
// architecture to another.
func rounded(v float64) float64 { return float64(float32(v)) }

// minPeaks is the fewest peaks that a tail is fitted to.
const minPeaks = 5

// observed adds up the time between rows, of which none counts for more than a
// block.
func observed(times []zone.Time) time.Duration {
	total := time.Duration(0)
	for i := 1; i < len(times); i++ {
		total += Seen(times[i].Sub(times[i-1]))
	}
	return total
}

// Seen is how much of the time between two rows counts as time in which the device
// was seen: at most a block.
func Seen(pause time.Duration) time.Duration { return min(max(pause, 0), blockSpan) }

// peaksOf gives the peak of every block that has a row, in order.
func peaksOf(window int, span time.Duration, times []zone.Time, scores []float64) []float64 {
	var peaks []float64
	block := int64(0)
	eachVote(window, span, times, scores, func(i int, limit float64) {
		if b := int64(times[i]) / int64(blockSpan); i == 0 || b != block {
			block, peaks = b, append(peaks, 0)
		}
		peaks[len(peaks)-1] = max(peaks[len(peaks)-1], limit)
	})
	return peaks
}

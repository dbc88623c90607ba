package feature

import (
	"math"

	"bellwether/internal/zone"
)

// emptyWeight is the weight of a stream that holds no packet, so that its mean
// is 0 and not 0/0. It vanishes in the rounding when the first packet arrives.
const emptyWeight = 1e-20

// stream is the decayed weight, sum and sum of squares of one kind of packet.
type stream struct {
	last      zone.Time // of the latest packet, or of the making while empty
	w, s1, s2 [rates]float64
}

// begin empties the stream.
func (s *stream) begin() {
	*s = stream{}
	for i := range s.w {
		s.w[i] = emptyWeight
	}
}

// empty reports that no packet has arrived: any packet leaves a weight of 1 or
// more.
func (s *stream) empty() bool { return s.w[0] == emptyWeight }

// advance moves the stream's time to t unless that lies in the past, and gives
// the nanoseconds since its latest packet: 0 for the first.
func (s *stream) advance(t zone.Time) uint64 {
	if s.empty() {
		s.last = t
		return 0
	}
	ns := elapsed(s.last, t)
	s.last = max(s.last, t)
	return ns
}

// absorb lets the sums decay by f and adds the value v.
func (s *stream) absorb(f *factors, v float64) {
	v2 := float64(v * v)
	for i, k := range f {
		s.w[i] = float64(s.w[i]*k) + 1
		s.s1[i] = float64(s.s1[i]*k) + v
		s.s2[i] = float64(s.s2[i]*k) + v2
	}
}

// moments gives the mean and the variance at decay rate i.
func (s *stream) moments(i int) (mean, variance float64) {
	return moments(s.w[i], s.s1[i], s.s2[i])
}

func moments(w, s1, s2 float64) (mean, variance float64) {
	mean = s1 / w
	return mean, math.Abs(s2/w - float64(mean*mean))
}

// write gives weight, mean and variance for every rate.
func (s *stream) write(out *[lenSingle]float64) {
	for i, w := range s.w {
		mean, variance := s.moments(i)
		out[3*i], out[3*i+1], out[3*i+2] = w, mean, variance
	}
}

// jitter holds the sums of a stream's inter-arrival times in seconds. Its
// weight is the stream's own: both count the same packets.
type jitter struct {
	s1, s2 [rates]float64
}

// absorb lets the sums decay by f and adds the gap of ns nanoseconds.
func (j *jitter) absorb(f *factors, ns uint64) {
	v := float64(ns) / 1e9
	v2 := float64(v * v)
	for i, k := range f {
		j.s1[i] = float64(j.s1[i]*k) + v
		j.s2[i] = float64(j.s2[i]*k) + v2
	}
}

// write gives weight, mean and variance for every rate, w being the weights of
// the stream whose gaps these are.
func (j *jitter) write(w *[rates]float64, out *[lenSingle]float64) {
	for i, w := range w {
		mean, variance := moments(w, j.s1[i], j.s2[i])
		out[3*i], out[3*i+1], out[3*i+2] = w, mean, variance
	}
}

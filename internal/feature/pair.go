package feature

import (
	"math"

	"bellwether/internal/zone"
)

// side says which way a packet goes between the two ends of a pair, or that
// both ends are one: the stream is then its own opposite.
type side uint8

const (
	upward   side = iota // from the end that orders first
	downward             // to it
	inward               // from an end to itself
)

// own and opposite index a pair's two streams.
func (s side) own() int { return int(s & 1) }

func (s side) opposite() int {
	if s == upward {
		return 1
	}
	return 0
}

// pair is two opposite streams and how they vary together.
type pair struct {
	streams   [2]stream
	residuals [2][rates]float64 // value minus mean, at each stream's latest packet
	last      zone.Time         // of the latest packet either way
	w, c      [rates]float64    // weight and sum of the products of residuals
}

// minDeviation is the least product of two deviations that pcc divides by; the
// smallest that whole packet lengths can give is far above. It keeps pcc finite.
const minDeviation = 1e-200

// begin empties the pair at the moment t.
func (p *pair) begin(t zone.Time) {
	*p = pair{last: t}
	p.streams[0].begin()
	p.streams[1].begin()
	p.w = p.streams[0].w
}

// absorb adds a packet of length v. The public program runs the step on c and w
// twice for every packet but a pair's first; so does this. It gives the
// nanoseconds since the stream's latest packet.
func (p *pair) absorb(s side, t zone.Time, v float64, m *memos) uint64 {
	again := !p.streams[0].empty() || !p.streams[1].empty()
	own := &p.streams[s.own()]
	ns := own.advance(t)
	own.absorb(m.stream.at(ns), v)
	p.decay(t, &m.link)
	p.correlate(s.own(), v, again)
	return ns
}

// correlate runs the step on c and w, once or again, for the packet of length v
// that stream own has just absorbed. The opposite residual stays 0 for a stream
// that is its own opposite.
func (p *pair) correlate(own int, v float64, again bool) {
	stream, opposite := &p.streams[own], &p.residuals[1-own]
	for i := range p.c {
		r := v - stream.s1[i]/stream.w[i]
		p.residuals[own][i] = r
		product := float64(r * opposite[i])
		p.c[i] += product
		p.w[i]++
		if again {
			p.c[i] += product
			p.w[i]++
		}
	}
}

// decay lets c and w decay to the moment t.
func (p *pair) decay(t zone.Time, m *memo) {
	ns := elapsed(p.last, t)
	if ns == 0 {
		return
	}
	p.last = t
	for i, k := range m.at(ns) {
		p.c[i] = float64(p.c[i] * k)
		p.w[i] = float64(p.w[i] * k)
	}
}

// write gives weight, mean, std, magnitude, radius, covariance and pcc for
// every rate, as seen from side s. The opposite stream counts as it was after
// its own latest packet.
func (p *pair) write(s side, out *[lenPair]float64) {
	own, other := &p.streams[s.own()], &p.streams[s.opposite()]
	for i := range rates {
		mean, variance := own.moments(i)
		otherMean, otherVariance := other.moments(i)
		std := math.Sqrt(variance)
		covariance := p.c[i] / p.w[i]
		o := out[7*i : 7*i+7 : 7*i+7]
		o[0], o[1], o[2] = own.w[i], mean, std
		o[3] = length(mean, otherMean)
		o[4] = length(variance, otherVariance)
		o[5] = covariance
		o[6] = correlation(covariance, std*math.Sqrt(otherVariance))
	}
}

// length gives the length of the vector (a, b).
func length(a, b float64) float64 { return math.Sqrt(float64(a*a) + float64(b*b)) }

func correlation(covariance, deviations float64) float64 {
	if deviations < minDeviation {
		return 0
	}
	return covariance / deviations
}

// memos are kept apart for streams and for links, which wait differently long.
type memos struct{ stream, link memo }

// channel is the traffic between two addresses.
type channel struct {
	pair
	gaps [2]jitter
}

// absorb adds a packet to the pair and its gap to the gaps.
func (c *channel) absorb(s side, t zone.Time, v float64, m *memos) {
	ns := c.pair.absorb(s, t, v, m)
	c.gaps[s.own()].absorb(m.stream.at(ns), ns)
}

// begin empties the channel at the moment t.
func (c *channel) begin(t zone.Time) {
	c.pair.begin(t)
	c.gaps = [2]jitter{}
}

package feature

import "math"

// kitsuneStreams is one of the program's tables: streams by their text key.
type kitsuneStreams map[string]*kitsuneStream

// kitsuneStream is a stream with its links to every peer it ever had. Mean and
// variance are those after its own latest packet.
type kitsuneStream struct {
	id             string
	last           float64
	w, s1, s2      [rates]float64
	mean, variance [rates]float64
	links          []*kitsuneLink
}

// kitsuneRates are the decay rates per second, in the order of the columns.
func kitsuneRates() [rates]float64 { return [rates]float64{5, 3, 1, 0.1, 0.01} }

// get finds or makes the stream of a key.
func (m kitsuneStreams) get(id string, t float64) *kitsuneStream {
	s := m[id]
	if s == nil {
		s = &kitsuneStream{id: id, last: t}
		for i := range s.w {
			s.w[i] = emptyWeight
		}
		m[id] = s
	}
	return s
}

// exchange adds a packet from one key to another and gives the sender's stream
// with the link that the program takes for theirs.
func (m kitsuneStreams) exchange(from, to string, t, v float64) (*kitsuneStream, *kitsuneLink) {
	s := m.get(from, t)
	s.insert(t, v)
	l := s.linkTo(to)
	if l == nil {
		l = newKitsuneLink(s, m.get(to, t), t)
	}
	l.update(s, t, v)
	return s, l
}

// insert adds a value and updates every link of the stream.
func (s *kitsuneStream) insert(t, v float64) {
	s.decay(t)
	square := libmSquare(v)
	for i := range s.w {
		s.w[i]++
		s.s1[i] += v
		s.s2[i] += square
		s.mean[i], s.variance[i] = kitsuneMoments(s.w[i], s.s1[i], s.s2[i])
	}
	for _, l := range s.links {
		l.update(s, t, v)
	}
}

// kitsuneMoments gives the mean and the variance as the program computes them.
func kitsuneMoments(w, s1, s2 float64) (mean, variance float64) {
	mean = s1 / w
	return mean, math.Abs(s2/w - libmSquare(mean))
}

func (s *kitsuneStream) decay(t float64) {
	dt := t - s.last
	if dt <= 0 {
		return
	}
	s.last = t
	for i, rate := range kitsuneRates() {
		f := libmPow(2, -rate*dt)
		s.w[i] = float64(s.w[i] * f)
		s.s1[i] = float64(s.s1[i] * f)
		s.s2[i] = float64(s.s2[i] * f)
	}
}

// linkTo gives the first link that has the key at either end. For a stream's
// own key that is its first link, whoever the peer.
func (s *kitsuneStream) linkTo(id string) *kitsuneLink {
	for _, l := range s.links {
		if l.ends[0].id == id || l.ends[1].id == id {
			return l
		}
	}
	return nil
}

// write gives weight, mean and variance for every rate and returns the rest of
// out.
func (s *kitsuneStream) write(out []float64) []float64 {
	for i := range s.w {
		out[3*i], out[3*i+1], out[3*i+2] = s.w[i], s.mean[i], s.variance[i]
	}
	return out[lenSingle:]
}

// kitsuneLink is how two streams vary together.
type kitsuneLink struct {
	ends      [2]*kitsuneStream
	residuals [2][rates]float64
	last      float64
	w, c      [rates]float64
}

// newKitsuneLink links two streams; a stream that is linked to itself lists the
// link twice.
func newKitsuneLink(a, b *kitsuneStream, t float64) *kitsuneLink {
	l := &kitsuneLink{ends: [2]*kitsuneStream{a, b}, last: t}
	for i := range l.w {
		l.w[i] = emptyWeight
	}
	a.links = append(a.links, l)
	b.links = append(b.links, l)
	return l
}

// update takes in the value v that stream s has just absorbed.
func (l *kitsuneLink) update(s *kitsuneStream, t, v float64) {
	own := 0
	if s != l.ends[0] {
		own = 1
	}
	l.ends[1-own].decay(t)
	l.decay(t)
	for i := range l.c {
		r := v - s.mean[i]
		l.c[i] += float64(r * l.residuals[1-own][i])
		l.w[i]++
		l.residuals[own][i] = r
	}
}

func (l *kitsuneLink) decay(t float64) {
	dt := t - l.last
	if dt <= 0 {
		return
	}
	l.last = t
	for i, rate := range kitsuneRates() {
		f := libmPow(2, -rate*dt)
		l.w[i] = float64(l.w[i] * f)
		l.c[i] = float64(l.c[i] * f)
	}
}

// writeKitsunePair gives weight, mean and variance of the stream, then radius,
// magnitude, covariance and pcc of the link, and returns the rest of out.
func writeKitsunePair(s *kitsuneStream, l *kitsuneLink, out []float64) []float64 {
	a, b := l.ends[0], l.ends[1]
	for i := range s.w {
		o := out[7*i : 7*i+7]
		o[0], o[1], o[2] = s.w[i], s.mean[i], s.variance[i]
		o[3] = kitsuneLength(a.variance[i], b.variance[i])
		o[4] = kitsuneLength(a.mean[i], b.mean[i])
		o[5] = l.c[i] / l.w[i]
		o[6] = correlation(o[5], math.Sqrt(a.variance[i])*math.Sqrt(b.variance[i]))
	}
	return out[lenPair:]
}

// kitsuneLength gives the length of the vector (a, b) as the program computes it.
func kitsuneLength(a, b float64) float64 { return math.Sqrt(libmSquare(a) + libmSquare(b)) }

package detect

import (
	"fmt"
	"math"

	"bellwether/internal/zone"
)

// row is one snapshot's features.
type row = [zone.Features]float32

// scaler turns raw features into the network's inputs: signed log1p, then
// (x − mean) / sigma, fitted on TDS only and never clipped.
type scaler struct {
	mean, sigma [zone.Features]float64
	inverse     [zone.Features]float64 // 1 / sigma
}

// sigmaFloor is the least sigma, in units of log1p: a feature that did not move
// while learning must move by several percent before it weighs anything.
const sigmaFloor = 0.05

// fitScaler measures the rows' features in the logarithmic scale.
func fitScaler(rows []row) *scaler {
	s := &scaler{}
	n := float64(len(rows))
	var logs [zone.Features]float64
	for i := range rows {
		logarithms(&rows[i], &logs)
		for c, v := range logs {
			s.mean[c] += v
		}
	}
	for c := range s.mean {
		s.mean[c] /= n
	}
	for i := range rows {
		logarithms(&rows[i], &logs)
		for c, v := range logs {
			d := v - s.mean[c]
			s.sigma[c] += float64(d * d)
		}
	}
	for c := range s.sigma {
		s.sigma[c] = max(math.Sqrt(s.sigma[c]/n), sigmaFloor)
	}
	s.invert()
	return s
}

func (s *scaler) invert() {
	for c, v := range s.sigma {
		s.inverse[c] = 1 / v
	}
}

// apply writes the scaled row to out and reports whether all of it was finite.
func (s *scaler) apply(r *row, out []float32) bool {
	var logs [zone.Features]float64
	if notFinite(r) >= 0 {
		return false
	}
	logarithms(r, &logs)
	out = out[:len(logs)]
	for c, v := range logs {
		out[c] = float32((v - s.mean[c]) * s.inverse[c])
	}
	return true
}

// validate refuses what fitScaler cannot have made.
func (s *scaler) validate() error {
	for c := range s.mean {
		if m, d := s.mean[c], s.sigma[c]; !(math.Abs(m) < 100) || !(d >= sigmaFloor && d < 200) {
			return fmt.Errorf("scaling of feature %d is out of range: mean %v, sigma %v", c, m, d)
		}
	}
	return nil
}

// logarithms gives signed log1p of a finite row, with the correlations cleaned.
func logarithms(r *row, out *[zone.Features]float64) {
	for c, v := range r {
		if v == 0 {
			out[c] = 0
			continue
		}
		out[c] = signedLog1p(float64(v))
	}
	for _, at := range pairColumns() {
		out[at+pccColumn] = signedLog1p(correlation(r[at:]))
	}
}

// notFinite gives the first feature that is NaN or infinite, or -1.
func notFinite(r *row) int {
	for c, v := range r {
		if v-v != 0 {
			return c
		}
	}
	return -1
}

// Columns of one decay rate in the HH and HpHp groups of the N-BaIoT header:
// weight, mean, std, magnitude, radius, covariance, pcc.
const (
	stdColumn        = 2
	covarianceColumn = 5
	pccColumn        = 6
)

// pairColumns gives where each decay rate of HH and HpHp starts.
func pairColumns() [10]int {
	return [10]int{30, 37, 44, 51, 58, 80, 87, 94, 101, 108}
}

// stdFloor is the least standard deviation of packet sizes, in bytes, for a
// correlation to mean anything: below it, pcc is noise divided by noise.
const stdFloor = 1

// correlation gives the pcc of one group of pair columns within [-1, 1], and 0
// where either stream's standard deviation is below stdFloor. The opposite
// stream's is not among the columns; it follows from pcc = covariance/(σi·σj).
func correlation(c []float32) float64 {
	std, cov, pcc := float64(c[stdColumn]), float64(c[covarianceColumn]), float64(c[pccColumn])
	if std < stdFloor || math.Abs(cov) < stdFloor*math.Abs(pcc)*std {
		return 0
	}
	return min(max(pcc, -1), 1)
}

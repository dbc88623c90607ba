package evaluate

import (
	"math"
	"strings"

	"bellwether/internal/feature"
	"bellwether/internal/zone"
)

// sigmaFloor is the least standard deviation, in units of log1p, and stdFloor
// the least standard deviation of sizes, in bytes, for a correlation to count:
// both as in package detect, so that all detectors see the same.
const (
	sigmaFloor = 0.05
	stdFloor   = 1
)

// scaler is the transform that the autoencoder has built in, for the others:
// signed log1p, then (x − mean) / sigma.
type scaler struct {
	mean, sigma [zone.Features]float64
	pcc         []int // columns of correlations
}

// fitScaler measures the rows of the training part.
func fitScaler(rows []row) *scaler {
	s := &scaler{}
	for c, name := range feature.Names() {
		if strings.HasSuffix(name, "_pcc") {
			s.pcc = append(s.pcc, c)
		}
	}
	n := float64(len(rows))
	var logs [zone.Features]float64
	for i := range rows {
		s.logarithms(&rows[i], &logs)
		for c, v := range logs {
			s.mean[c] += v / n
		}
	}
	for i := range rows {
		s.logarithms(&rows[i], &logs)
		for c, v := range logs {
			d := v - s.mean[c]
			s.sigma[c] += float64(d*d) / n
		}
	}
	for c, v := range s.sigma {
		s.sigma[c] = max(math.Sqrt(v), sigmaFloor)
	}
	return s
}

// apply writes the transformed row to out; what is not finite stays so.
func (s *scaler) apply(r, out *row) {
	var logs [zone.Features]float64
	s.logarithms(r, &logs)
	for c, v := range logs {
		out[c] = float32((v - s.mean[c]) / s.sigma[c])
	}
}

func (s *scaler) all(rows []row) []row {
	out := make([]row, len(rows))
	for i := range rows {
		s.apply(&rows[i], &out[i])
	}
	return out
}

// logarithms gives signed log1p of a row, with the correlations cleaned.
func (s *scaler) logarithms(r *row, out *[zone.Features]float64) {
	for c, v := range r {
		out[c] = signedLog(float64(v))
	}
	for _, c := range s.pcc {
		out[c] = signedLog(correlation(r, c))
	}
}

func signedLog(v float64) float64 {
	if v == 0 {
		return 0
	}
	return math.Copysign(math.Log1p(math.Abs(v)), v)
}

// correlation gives the pcc in column c within [-1, 1], and 0 where the sizes of
// either stream hardly vary. Covariance stands before it, std four before.
func correlation(r *row, c int) float64 {
	std, covariance, pcc := float64(r[c-4]), float64(r[c-1]), float64(r[c])
	if std < stdFloor || math.Abs(covariance) < stdFloor*math.Abs(pcc)*std {
		return 0
	}
	return min(max(pcc, -1), 1)
}

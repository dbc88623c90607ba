package detect

import "math"

// signedLog1p gives sign(x)·ln(1+|x|) for finite x, within 1e-14 relative,
// and the same bits on every architecture: math.Log1p may be compiled with
// fused operations, this is not.
//
// 1+|x| is m·2ᵉ with √½ ≤ m < √2, and ln m = 2·artanh((m−1)/(m+1)) by its series.
func signedLog1p(x float64) float64 {
	a := math.Abs(x)
	s, e := a/(2+a), 0.0
	if a >= math.Sqrt2-1 {
		bits := math.Float64bits(1 + a)
		exp := int(bits>>52) - 1023
		m := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
		if m >= math.Sqrt2 {
			m, exp = m/2, exp+1
		}
		s, e = (m-1)/(m+1), float64(exp)
	}
	return math.Copysign(float64(e*math.Ln2)+artanh2(s), x)
}

// artanh2 gives 2·artanh(s) for |s| ≤ 0.1716, ten terms of the series.
func artanh2(s float64) float64 {
	t := float64(s * s)
	p := 1.0 / 19
	p = float64(p*t) + 1.0/17
	p = float64(p*t) + 1.0/15
	p = float64(p*t) + 1.0/13
	p = float64(p*t) + 1.0/11
	p = float64(p*t) + 1.0/9
	p = float64(p*t) + 1.0/7
	p = float64(p*t) + 1.0/5
	p = float64(p*t) + 1.0/3
	return 2 * (s + float64(s*float64(p*t)))
}

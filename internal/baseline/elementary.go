package baseline

import "math"

// The functions here give the same bits on every architecture, which those of
// package math do not: some are assembly, others are compiled with fused
// operations where there are any.

// expNeg gives e^−x for x ≥ 0, within 1e-12 relative; 0 beyond 708, for +Inf
// and for NaN.
//
// x = k·ln 2 − r with |r| ≤ ln 2 / 2, and e^r by ten terms of its series.
func expNeg(x float64) float64 {
	if !(x < 708) {
		return 0
	}
	// ln 2 in two parts: the first has zeros enough for k times it to be exact.
	const high, low = 0x1.62e42feep-1, 0x1.a39ef35793c76p-33
	k := int64(float64(x*(1/math.Ln2)) + 0.5)
	r := float64(float64(k)*high) - x + float64(float64(k)*low)
	p := float64(r*(1.0/3628800)) + 1.0/362880
	p = float64(p*r) + 1.0/40320
	p = float64(p*r) + 1.0/5040
	p = float64(p*r) + 1.0/720
	p = float64(p*r) + 1.0/120
	p = float64(p*r) + 1.0/24
	p = float64(p*r) + 1.0/6
	p = float64(p*r) + 0.5
	p = float64(p*r) + 1
	p = float64(p*r) + 1
	return p * math.Float64frombits(uint64(1023-k)<<52)
}

// sigmoid gives 1 / (1 + e^−x).
func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + expNeg(x))
	}
	e := expNeg(-x)
	return e / (1 + e)
}

// ln gives the natural logarithm of a positive, normal x, within 1e-14.
//
// x = m·2ᵉ with √½ ≤ m < √2, and ln m = 2·artanh((m−1)/(m+1)) by its series.
func ln(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	s := (m - 1) / (m + 1)
	t := float64(s * s)
	p := 0.0
	for n := 21; n >= 1; n -= 2 {
		p = float64(p*t) + 1/float64(n)
	}
	return float64(float64(e)*math.Ln2) + 2*float64(s*p)
}

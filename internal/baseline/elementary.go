package baseline

import "math"

// The functions here give the same bits on every architecture, which those of
// package math do not: some are assembly, others are compiled with fused
// operations where there are any.

// expNeg gives e^−x for x ≥ 0, within 1e-12 relative; 0 beyond 708, for +Inf
// and for NaN.
//
// x = k·(ln 2)/16 − r with |r| ≤ (ln 2)/32; e^−x is 2 to the power of −k/16, by
// a table, times e^r, by five terms of its series.
func expNeg(x float64) float64 {
	if !(x < 708) {
		return 0
	}
	// (ln 2)/16 in two parts: k times the first is exact.
	const high, low = 0x1.62e42fef00000p-5, 0x1.473de6af278edp-38
	k := int32(float64(x*(16/math.Ln2)) + 0.5)
	r := float64(float64(k)*high) - x + float64(float64(k)*low)
	p := float64(r*(1.0/120)) + 1.0/24
	p = float64(p*r) + 1.0/6
	p = float64(p*r) + 0.5
	p = float64(p*r) + 1
	p = float64(p*r) + 1
	return float64(float64(p*roots[k&15]) * math.Float64frombits(uint64(1023-k>>4)<<52))
}

// roots holds 2 to the power of −i/16.
var roots = [16]float64{
	1, 0x1.ea4afa2a490dap-1, 0x1.d5818dcfba487p-1, 0x1.c199bdd85529cp-1,
	0x1.ae89f995ad3adp-1, 0x1.9c49182a3f090p-1, 0x1.8ace5422aa0dbp-1, 0x1.7a11473eb0187p-1,
	0x1.6a09e667f3bcdp-1, 0x1.5ab07dd485429p-1, 0x1.4bfdad5362a27p-1, 0x1.3dea64c123422p-1,
	0x1.306fe0a31b715p-1, 0x1.2387a6e756238p-1, 0x1.172b83c7d517bp-1, 0x1.0b5586cf9890fp-1,
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

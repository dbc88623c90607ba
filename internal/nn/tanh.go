package nn

// tanhLimit is where the approximation is cut off: tanh(7.4) differs from 1 by
// 7.5e-7, and beyond it the approximation would leave [-1, 1].
const tanhLimit = 7.4

// tanh replaces each element of v by its hyperbolic tangent, within 6e-7.
//
// It is the eleventh convergent of Lambert's continued fraction
// x/(1 + x²/(3 + x²/(5 + …))) (1768), both polynomials divided by their constant
// term, for |x| ≤ 7.4, and the value at ±7.4 beyond. Odd and within [-1, 1]; NaN
// stays NaN.
func tanh(v []float32) {
	const c = 13749310575.0
	const p1, p2, p3, p4, p5 = 1964187225 / c, 64324260 / c, 675675 / c, 2145 / c, 1 / c
	const q1, q2, q3, q4, q5 = 6547290750 / c, 413513100 / c, 7567560 / c, 45045 / c, 66 / c
	for i, x := range v {
		x = min(max(x, -tanhLimit), tanhLimit)
		t := x * x
		p := float32(p5*t) + p4
		p = float32(p*t) + p3
		p = float32(p*t) + p2
		p = float32(p*t) + p1
		p = float32(p*t) + 1
		q := float32(q5*t) + q4
		q = float32(q*t) + q3
		q = float32(q*t) + q2
		q = float32(q*t) + q1
		q = float32(q*t) + 1
		v[i] = x * p / q
	}
}

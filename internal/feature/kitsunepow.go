package feature

import "math"

// The public program squares and decays with the C library's pow, and what it
// calls a variance is often the last bit of a square. So the mode has that pow,
// bit for bit: the one of the GNU C library 2.28 and later for x86-64 with fused
// multiply-add. Method and numbers are those of the Arm Optimized Routines (MIT
// OR Apache-2.0 WITH LLVM-exception). math.FMA stands where the library fuses a
// product and a sum; every other product is rounded before it is added.

// libmSquare gives pow(x, 2) for finite x >= 0. About one in a thousand is not
// x*x but a neighbour of it.
func libmSquare(x float64) float64 {
	if x == 0 {
		return 0
	}
	return libmPow(x, 2)
}

// libmPow gives pow(x, y) for finite x > 0 and finite y: infinity where it
// overflows, 0 where it underflows, and the library's bits in between, numbers
// that are not normal included.
func libmPow(x, y float64) float64 {
	bits := math.Float64bits(x)
	if bits>>52 == 0 { // not normal: from here on the exponent may be negative
		bits = math.Float64bits(x*0x1p52) - 52<<52
	}
	head, tail := libmLog(bits)
	p := float64(y * head)
	return libmExp(p, math.FMA(y, tail, math.FMA(y, head, -p)))
}

// powLogFrom has the bits of the least z that libmLog makes. Interval i of powLog
// has the bits that are above it by i*2^45 up to (i+1)*2^45.
const powLogFrom = 0x3fe6955500000000

// libmLog gives the logarithm of the number with these bits as a float64 and
// what that lacks. The number is z*2^k, c is near z, and with r = z/c - 1
// log(z*2^k) = k*log(2) + log(c) + log(1+r).
func libmLog(bits uint64) (head, tail float64) {
	above := bits - powLogFrom
	k := float64(int64(above) >> 52)
	c := &powLog[above>>45%uint64(len(powLog))]
	z := math.Float64frombits(bits - above>>52<<52)
	r := math.FMA(z, c.inverse, -1) // exact

	whole := math.FMA(k, powLn2, c.head) // exact
	first := whole + r
	half := float64(-0.5 * r)
	second := float64(r * half)
	sum := first + second
	rest := math.FMA(k, powLn2Tail, c.tail) + (whole - first + r)
	rest += math.FMA(half, r, -second)
	rest += first - sum + second
	rest = math.FMA(float64(r*second), log1pRest(r, second), rest)

	head = sum + rest
	return head, sum - head + rest
}

// log1pRest gives (log(1+r) - r - s) / (r*s) where s = -r^2/2, for |r| < 1/128.
func log1pRest(r, s float64) float64 {
	p := math.FMA(r, 0x1.0002b8b263fc3p+0, -0x1.2495b9b4845e9p+0)
	p = math.FMA(p, s, math.FMA(r, -0x1.555555529a47ap-1, 0x1.999999959554ep-1))
	return math.FMA(s, p, math.FMA(r, 0x1.0000000000006p-1, -0x1.555555555556p-1))
}

// libmExp gives exp(x+tail) for a small tail. With x + tail = n*log(2)/128 + r
// it is 2^(n/128) * exp(r).
func libmExp(x, tail float64) float64 {
	switch size := math.Abs(x); {
	case size < 0x1p-54:
		return 1 + x
	case size >= 1024 && x < 0:
		return 0
	case size >= 1024:
		return math.Inf(1)
	}
	const integer = 0x1.8p52 // what is added to this becomes a whole number
	n := math.FMA(x, 128*math.Log2E, integer) - integer
	r := tail + math.FMA(n, -powStepTail, math.FMA(n, -powStep, x))
	e := &powExp[int64(n)&127]
	p := expRest(r, e.tail)
	scale := math.Float64bits(e.head) + uint64(int64(n)>>7)<<52 // of 2^(n/128)
	if math.Abs(x) < 512 {
		s := math.Float64frombits(scale)
		return math.FMA(p, s, s)
	}
	if n > 0 { // 2^(n/128) may be beyond the greatest number
		s := math.Float64frombits(scale - 1009<<52)
		return 0x1p1009 * math.FMA(p, s, s)
	}
	return 0x1p-1022 * expSmall(p, math.Float64frombits(scale+1022<<52))
}

// expRest gives (1+tail) * exp(r) - 1 for |r| < 1/256 and a tiny tail.
func expRest(r, tail float64) float64 {
	r2 := float64(r * r)
	p := math.FMA(math.FMA(r, 0x1.555555555543cp-3, 0x1.ffffffffffdbdp-2), r2, r+tail)
	return math.FMA(math.FMA(r, 0x1.1111167a4d017p-7, 0x1.55555cf172b91p-5), float64(r2*r2), p)
}

// expSmall gives scale + scale*p. Below 1 it gives a multiple of 2^-52, of which
// the product with 2^-1022 is exact.
func expSmall(p, scale float64) float64 {
	product := float64(scale * p)
	y := scale + product
	if y >= 1 {
		return y
	}
	rest := scale - y + product
	above := 1 + y
	rest = 1 - above + y + rest
	return above + rest - 1
}

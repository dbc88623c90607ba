package feature

import (
	"math"

	"bellwether/internal/zone"
)

// factors are what time leaves of a sum, one per decay rate.
type factors [rates]float64

// elapsed gives the nanoseconds from one moment to a later one, and 0 when time
// stands still or runs backwards.
func elapsed(from, to zone.Time) uint64 {
	if to <= from {
		return 0
	}
	return uint64(to) - uint64(from)
}

// memo keeps the latest factors: one packet asks the same of several tables. The
// zero value is ready for use.
type memo struct {
	ns uint64
	f  factors
}

// at gives what decay gives. The pointer is good until the next call.
func (m *memo) at(ns uint64) *factors {
	if m.ns != ns || m.f[rates-1] == 0 {
		m.ns, m.f = ns, decay(ns)
	}
	return &m.f
}

// decay gives 2^(-rate*ns*1e-9) for every rate. The slowest rate divides the
// others, so one exponential and its 10th, 100th, 300th and 500th power do.
// The relative error stays below 1e-13.
func decay(ns uint64) factors {
	if ns == 0 {
		return factors{1, 1, 1, 1, 1}
	}
	l001 := exp2Neg(float64(ns) * 1e-11)
	l01 := power10(l001)
	l1 := power10(l01)
	l3 := l1 * l1 * l1
	return factors{l3 * l1 * l1, l3, l1, l01, l001}
}

// power10 gives x^10.
func power10(x float64) float64 {
	x2 := x * x
	x8 := x2 * x2
	x8 *= x8
	return x8 * x2
}

// exp2Neg gives 2^-y for y >= 0 within 0.53 units in the last place, and 0
// where that is no normal number. math.Exp2 differs between architectures in
// the last bit; this does not: every product is rounded before it is added.
func exp2Neg(y float64) float64 {
	const steps = len(exp2Table)
	if y > 1021 {
		return 0
	}
	k := int32(float64(y*float64(steps)) + 0.5)
	r := float64(float64(k)/float64(steps)) - y // in [-1/64, 1/64], exact
	whole, part := k/int32(steps), k%int32(steps)
	scale := math.Float64frombits(uint64(1023-whole) << 52)
	entry := &exp2Table[part]
	return (entry.head + (float64(entry.head*exp2Minus1(r)) + entry.tail)) * scale
}

// exp2Minus1 gives 2^r-1 for |r| <= 1/64 by its Taylor polynomial, whose
// coefficients are ln(2)^n/n!.
func exp2Minus1(r float64) float64 {
	p := 0x1.430912f86c787p-13
	p = float64(p*r) + 0x1.5d87fe78a6731p-10
	p = float64(p*r) + 0x1.3b2ab6fba4e77p-7
	p = float64(p*r) + 0x1.c6b08d704a0c0p-5
	p = float64(p*r) + 0x1.ebfbdff82c58fp-3
	p = float64(p*r) + 0x1.62e42fefa39efp-1
	return p * r
}

// exp2Table holds 2^(-i/32) as a float64 and what that lacks.
var exp2Table = [32]struct{ head, tail float64 }{
	{0x1.0000000000000p+0, 0}, {0x1.f50765b6e4540p-1, 0x1.9d3e12dd8a18bp-55},
	{0x1.ea4afa2a490dap-1, -0x1.e9c23179c2893p-55}, {0x1.dfc97337b9b5fp-1, -0x1.1a5cd4f184b5cp-55},
	{0x1.d5818dcfba487p-1, 0x1.2ed02d75b3707p-56}, {0x1.cb720dcef9069p-1, 0x1.503cbd1e949dbp-57},
	{0x1.c199bdd85529cp-1, 0x1.11065895048ddp-56}, {0x1.b7f76f2fb5e47p-1, -0x1.5584f7e54ac3bp-57},
	{0x1.ae89f995ad3adp-1, 0x1.7a1cd345dcc81p-55}, {0x1.a5503b23e255dp-1, -0x1.d2f6edb8d41e1p-55},
	{0x1.9c49182a3f090p-1, 0x1.c7c46b071f2bep-57}, {0x1.93737b0cdc5e5p-1, -0x1.75fc781b57ebcp-58},
	{0x1.8ace5422aa0dbp-1, 0x1.6e9f156864b27p-55}, {0x1.82589994cce13p-1, -0x1.d4c1dd41532d8p-55},
	{0x1.7a11473eb0187p-1, -0x1.41577ee04992fp-56}, {0x1.71f75e8ec5f74p-1, -0x1.16e4786887a99p-56},
	{0x1.6a09e667f3bcdp-1, -0x1.bdd3413b26456p-55}, {0x1.6247eb03a5585p-1, -0x1.383c17e40b497p-55},
	{0x1.5ab07dd485429p-1, 0x1.6324c054647adp-55}, {0x1.5342b569d4f82p-1, -0x1.07abe1db13cadp-56},
	{0x1.4bfdad5362a27p-1, 0x1.d4397afec42e2p-57}, {0x1.44e086061892dp-1, 0x1.89b7a04ef80d0p-60},
	{0x1.3dea64c123422p-1, 0x1.ada0911f09ebcp-56}, {0x1.371a7373aa9cbp-1, -0x1.63aeabf42eae2p-55},
	{0x1.306fe0a31b715p-1, 0x1.6f46ad23182e4p-56}, {0x1.29e9df51fdee1p-1, 0x1.612e8afad1255p-56},
	{0x1.2387a6e756238p-1, 0x1.9b07eb6c70573p-55}, {0x1.1d4873168b9aap-1, 0x1.e016e00a2643cp-55},
	{0x1.172b83c7d517bp-1, -0x1.19041b9d78a76p-56}, {0x1.11301d0125b51p-1, -0x1.6c51039449b3ap-55},
	{0x1.0b5586cf9890fp-1, 0x1.8a62e4adc610bp-55}, {0x1.059b0d3158574p-1, 0x1.d73e2a475b465p-56},
}

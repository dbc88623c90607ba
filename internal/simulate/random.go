package simulate

import (
	"encoding/binary"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"time"
)

// random draws what one device or one attack does. It uses no function of
// package math, and every product that is added to is rounded first, so that
// it draws the same on every architecture.
type random struct{ src *rand.PCG }

// newRandom gives the stream that belongs to a name under a seed.
func newRandom(seed uint64, name string) random {
	h := fnv.New64a()
	h.Write([]byte(name))
	return random{rand.NewPCG(seed, h.Sum64())}
}

func (r random) uint64() uint64 { return r.src.Uint64() }
func (r random) uint32() uint32 { return uint32(r.src.Uint64() >> 32) }
func (r random) uint16() uint16 { return uint16(r.src.Uint64() >> 48) }

// float draws from [0, 1), with 53 bits.
func (r random) float() float64 { return float64(r.src.Uint64()>>11) / (1 << 53) }

func (r random) chance(p float64) bool { return r.float() < p }

// below draws from [0, n). The bias of less than n/2^64 does not matter here.
func (r random) below(n int) int {
	hi, _ := bits.Mul64(r.src.Uint64(), uint64(n))
	return int(hi)
}

// between draws from [lo, hi].
func (r random) between(lo, hi int) int { return lo + r.below(hi-lo+1) }

// span draws from [lo, hi).
func (r random) span(lo, hi time.Duration) time.Duration {
	u, _ := bits.Mul64(r.src.Uint64(), uint64(hi-lo))
	return lo + time.Duration(u)
}

// about draws a duration near d: triangular, at most spread (a part of d) away.
func (r random) about(d time.Duration, spread float64) time.Duration {
	off := r.float() - r.float()
	return d + time.Duration(float64(d)*spread*off)
}

// exponential draws from the exponential distribution with the given mean, by
// von Neumann's comparisons of uniform numbers (Various techniques used in
// connection with random digits, 1951): no logarithm whose last bit might
// differ between machines.
func (r random) exponential(mean time.Duration) time.Duration {
	for whole := 0.0; ; whole++ {
		first := r.float()
		low, run := first, 1
		for v := r.float(); v < low; v = r.float() {
			low = v
			run++
		}
		if run%2 == 1 {
			return time.Duration(float64(mean) * (whole + first))
		}
	}
}

// addr4 draws any IPv4 address.
func (r random) addr4() netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], r.uint32())
	return netip.AddrFrom4(a)
}

// letters appends n random letters from a to z.
func (r random) letters(b []byte, n int) []byte {
	for range n {
		b = append(b, 'a'+byte(r.below(26)))
	}
	return b
}

// noise is a fast stream of payload bytes (Marsaglia's xorshift64). The zero
// value has to be seeded with anything but 0.
type noise uint64

func (n *noise) next() uint64 {
	x := *n
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*n = x
	return uint64(x)
}

// fill overwrites b.
func (n *noise) fill(b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, n.next())
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], n.next())
		copy(b, last[:])
	}
}

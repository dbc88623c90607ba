package backup

import (
	"crypto/rand"
	"errors"
	"fmt"
)

// MaxShares is how many shares a key can have.
const MaxShares = 255

// Split splits a backup's key into n shares, any k of which give it back. Zone
// is the group ID of the zone.
func Split(key Key, zone [32]byte, id ID, k, n int) ([]Share, error) {
	if k < 1 || n < k || n > MaxShares {
		return nil, fmt.Errorf("a threshold of %d of %d shares: want 1 to the number of shares, which is at most %d", k, n, MaxShares)
	}
	values := split(key[:], k, n)
	shares := make([]Share, n)
	for i := range shares {
		shares[i] = Share{Zone: [4]byte(zone[:4]), Backup: id, Index: uint8(i + 1), Threshold: uint8(k), Of: uint8(n), Value: Key(values[i])}
	}
	return shares, nil
}

// combine gives the key that the first Threshold of the shares lead to.
func combine(shares []Share) (Key, error) {
	k := int(shares[0].Threshold)
	if len(shares) < k {
		return Key{}, errors.New("too few shares")
	}
	xs, ys := make([]byte, k), make([][]byte, k)
	for i, s := range shares[:k] {
		xs[i], ys[i] = s.Index, s.Value[:]
	}
	return Key(interpolate(xs, ys, 0)), nil
}

// split gives the values at 1 to n of random polynomials of degree k-1 whose
// values at 0 are the secret's bytes.
func split(secret []byte, k, n int) [][]byte {
	coefficients := make([]byte, len(secret)*(k-1))
	rand.Read(coefficients) // never fails
	values := make([][]byte, n)
	for i := range values {
		x := byte(i + 1)
		y := make([]byte, len(secret))
		for c := range k - 1 { // Horner's scheme, from the highest power down
			for j := range y {
				y[j] = mul(y[j]^coefficients[c*len(secret)+j], x)
			}
		}
		for j := range y {
			y[j] ^= secret[j]
		}
		values[i] = y
	}
	return values
}

// interpolate gives the values at x of the polynomials of degree len(xs)-1 through
// the points, by Lagrange's formula. No two of xs are alike.
func interpolate(xs []byte, ys [][]byte, x byte) []byte {
	out := make([]byte, len(ys[0]))
	for i := range xs {
		weight := byte(1)
		for j := range xs {
			if j != i {
				weight = mul(weight, mul(x^xs[j], inverse(xs[i]^xs[j])))
			}
		}
		for b := range out {
			out[b] ^= mul(weight, ys[i][b])
		}
	}
	return out
}

// mul multiplies in GF(2^8) modulo x^8+x^4+x^3+x+1, the field of AES (FIPS 197,
// section 4.2), in the same time whatever the factors.
func mul(a, b byte) byte {
	p := byte(0)
	for range 8 {
		p ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return p
}

// inverse is a^254, which is 1/a, and 0 for 0.
func inverse(a byte) byte {
	out := byte(1)
	for range 7 {
		a = mul(a, a)
		out = mul(out, a) // a^(2+4+…+128) in the end
	}
	return out
}

package backup

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestField: products of FIPS 197, sections 4.2 and 4.2.1, and the field's laws.
func TestField(t *testing.T) {
	for _, x := range []struct{ a, b, want byte }{{0x57, 0x83, 0xc1}, {0x57, 0x13, 0xfe}, {0x57, 0x02, 0xae}, {0x57, 0x10, 0x07}, {0x53, 0xca, 1}} {
		if got := mul(x.a, x.b); got != x.want || mul(x.b, x.a) != x.want {
			t.Errorf("%#x • %#x = %#x, want %#x", x.a, x.b, got, x.want)
		}
	}
	for a := range 256 {
		a := byte(a)
		if want := byte(min(a, 1)); mul(a, inverse(a)) != want {
			t.Errorf("%#x • its inverse = %#x, want %#x", a, mul(a, inverse(a)), want)
		}
		for b := range 256 {
			if b := byte(b); mul(a, b^0x1d) != mul(a, b)^mul(a, 0x1d) {
				t.Fatalf("%#x does not distribute over %#x", a, b)
			}
		}
	}
}

// TestDraft is the test case of draft-mcgrew-tss-03, section 9.
func TestDraft(t *testing.T) {
	var ys [][]byte
	for _, s := range []string{"B9FA07E185", "F5409B4511"} {
		y, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		ys = append(ys, y)
	}
	if got := interpolate([]byte{1, 2}, ys, 0); string(got) != "test\x00" {
		t.Errorf("the secret is %q", got)
	}
}

// subsets calls f with every choice of k of the numbers below n.
func subsets(n, k int, f func([]int)) {
	var pick func(chosen []int, from int)
	pick = func(chosen []int, from int) {
		if len(chosen) == k {
			f(chosen)
			return
		}
		for i := from; i < n; i++ {
			pick(append(chosen[:len(chosen):len(chosen)], i), i+1)
		}
	}
	pick(nil, 0)
}

// TestAnyThreshold: whichever k of n shares are taken, in whatever order, they
// give the key.
func TestAnyThreshold(t *testing.T) {
	for n := 1; n <= 7; n++ {
		for k := 1; k <= n; k++ {
			key := NewKey()
			shares, err := Split(key, [32]byte{1}, ID{2}, k, n)
			if err != nil {
				t.Fatal(err)
			}
			subsets(n, k, func(chosen []int) {
				var some []Share
				for _, i := range chosen {
					some = append([]Share{shares[i]}, some...)
				}
				if got, err := combine(some); err != nil || got != key {
					t.Errorf("%v of %d: another key (%v)", chosen, n, err)
				}
			})
		}
	}
	key := NewKey()
	shares, err := Split(key, [32]byte{}, ID{}, MaxShares, MaxShares)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := combine(shares); err != nil || got != key {
		t.Errorf("of %d shares: another key (%v)", MaxShares, err)
	}
}

// TestFewerTellNothing: whatever k-1 shares say, each secret is possible, and each
// by exactly one value of one more share. So they exclude nothing, and since the
// coefficients are drawn evenly no secret is likelier than another.
func TestFewerTellNothing(t *testing.T) {
	for k := 2; k <= 5; k++ {
		values := split([]byte{0xa7}, k, k)
		xs, ys := []byte{0}, [][]byte{nil}
		for i, y := range values[:k-1] {
			xs, ys = append(xs, byte(i+1)), append(ys, y)
		}
		seen := map[byte]bool{}
		for secret := range 256 {
			ys[0] = []byte{byte(secret)}
			last := interpolate(xs, ys, byte(k))
			seen[last[0]] = true
			all := append(append([][]byte{}, ys[1:]...), last)
			if got := interpolate(append(xs[1:len(xs):len(xs)], byte(k)), all, 0); got[0] != byte(secret) {
				t.Fatalf("threshold %d: secret %#x becomes %#x", k, secret, got[0])
			}
		}
		if len(seen) != 256 {
			t.Errorf("threshold %d: %d values of the missing share for 256 secrets", k, len(seen))
		}
	}
}

// TestSharesAreEven: over many splits of one secret each value of a share comes as
// often as any other. The bound on chi squared with 255 degrees of freedom is
// exceeded once in 10^9.
func TestSharesAreEven(t *testing.T) {
	const each = 200
	counts := [3][256]int{}
	for range each * 256 / 32 {
		for i, y := range split(bytes.Repeat([]byte{0x42}, 32), 3, 3) {
			for _, b := range y {
				counts[i][b]++
			}
		}
	}
	for i, c := range counts {
		chi := 0.0
		for _, n := range c {
			chi += float64((n-each)*(n-each)) / each
		}
		if chi > 410 {
			t.Errorf("share %d: chi squared %.0f", i+1, chi)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, x := range [][2]int{{0, 3}, {4, 3}, {-1, 3}, {1, 0}, {2, 256}} {
		if _, err := Split(Key{}, [32]byte{}, ID{}, x[0], x[1]); err == nil {
			t.Errorf("%d of %d was split", x[0], x[1])
		}
	}
	if _, err := combine([]Share{{Threshold: 2}}); err == nil {
		t.Error("one of two gave a key")
	}
}

package baseline

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

func TestElementary(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		x := math.Exp(14*draw.Float64() - 7)
		if x > 700 {
			continue
		}
		if got, want := expNeg(x), math.Exp(-x); math.Abs(got/want-1) > 1e-12 {
			t.Fatalf("expNeg(%v) = %v, want %v", x, got, want)
		}
		if got, want := ln(x), math.Log(x); math.Abs(got-want) > 1e-14*max(1, math.Abs(want)) {
			t.Fatalf("ln(%v) = %v, want %v", x, got, want)
		}
	}
	for _, c := range []struct{ x, want float64 }{{0, 1}, {708, 0}, {math.Inf(1), 0}, {math.NaN(), 0}} {
		if got := expNeg(c.x); got != c.want {
			t.Errorf("expNeg(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	if got := sigmoid(-3) + sigmoid(3); math.Abs(got-1) > 1e-15 {
		t.Errorf("the sigmoid of 3 and -3 add up to %v", got)
	}
}

// TestBitsAreTheSameEverywhere holds the scores against digests that amd64 (with
// and without fused operations) and 386 gave.
func TestBitsAreTheSameEverywhere(t *testing.T) {
	train, test := fixtureRows(t)
	want := map[Kind]string{
		SVM: "2dfec40f1522ac16", IForest: "0c687bec42b67713", LOF: "b8a7d71dcaebfd0c",
		PCA: "54fb003f3ccc1cd0", HBOS: "6aed6ec367ff5537", KitNET: "19405cacf90942d8",
	}
	eachKind(t, func(t *testing.T, kind Kind) {
		var raw []byte
		for _, v := range scored(learned(t, kind, train, Options{Seed: 1}), test) {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		}
		sum := sha256.Sum256(raw)
		if got := hex.EncodeToString(sum[:8]); got != want[kind] {
			t.Errorf("the scores' digest is %s, want %s", got, want[kind])
		}
	})
}

func TestEigen(t *testing.T) {
	draw := rand.New(rand.NewPCG(2, 2))
	a := &matrix{}
	for i := range a {
		for j := range i + 1 {
			a[i][j] = draw.NormFloat64()
			a[j][i] = a[i][j]
		}
	}
	whole := *a
	values, vectors, err := eigen(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	for k, value := range values {
		if k > 0 && value > values[k-1] {
			t.Errorf("eigenvalue %d is %v, after %v", k, value, values[k-1])
		}
		if got := dot(&vectors[k], &vectors[k]); math.Abs(got-1) > 1e-12 {
			t.Errorf("eigenvector %d has the squared length %v", k, got)
		}
		for i := range whole {
			if got, want := dot(&whole[i], &vectors[k]), value*vectors[k][i]; math.Abs(got-want) > 1e-11 {
				t.Fatalf("row %d times eigenvector %d is %v, want %v", i, k, got, want)
			}
		}
	}
}

package nn

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"
)

// TestBitsAreTheSameEverywhere holds the weights after some training steps
// against a digest that amd64 (also with GOAMD64=v3, which
// has fused operations) and 386 gave. Fusing, another
// order of a sum or another random sequence would change it.
func TestBitsAreTheSameEverywhere(t *testing.T) {
	const want = "0060fbc4a0055674754eb63cfdc39f273b41f0581c93c28df9cadde6bc5c0bc0"
	n := newNet(t, paperSizes, 42)
	tr := NewTrainer(n, 16, 1e-3)
	for step := range 20 {
		x := noise(16*115, uint64(step))
		tr.Step(x, x, 16)
	}
	var raw []byte
	for _, v := range n.Params() {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	sum := sha256.Sum256(raw)
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("weights' digest is %s, want %s", got, want)
	}
}

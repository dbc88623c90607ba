package detect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"bellwether/internal/zone"
)

func modelFile(t testing.TB) []byte {
	t.Helper()
	b, err := train(t, device(200, 1), Options{Epochs: 1}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFileRoundTrip(t *testing.T) {
	in := device(300, 1)
	m := train(t, in, quick())
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	back, err := UnmarshalModel(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.MarshalBinary()
	if err != nil || !bytes.Equal(again, b) || back.Digest() != m.Digest() || m.Digest() != sha256.Sum256(b) {
		t.Errorf("reading and writing changed the file (%v)", err)
	}
	if back.Origin != m.Origin || back.Fit != m.Fit || back.Threshold != m.Threshold || back.Window != m.Window || back.Span != m.Span {
		t.Errorf("read %+v, wrote %+v", back, m)
	}
	if !back.Profile.Owns(in.Profile.Addresses[0]) || back.Profile.Ports[0] != in.Profile.Ports[0] || len(back.Warnings) != len(m.Warnings) {
		t.Errorf("profile %+v, warnings %q", back.Profile, back.Warnings)
	}
	want, got := make([]float64, 300), make([]float64, 300)
	m.Score(in.Rows, want)
	back.Score(in.Rows, got)
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("row %d scores %v after reading, %v before", i, got[i], want[i])
		}
	}
}

func TestEveryChangedByteIsFound(t *testing.T) {
	b := modelFile(t)
	check := func(i int) {
		b[i] ^= 1 << (i % 8)
		if _, err := UnmarshalModel(b); err == nil {
			t.Errorf("byte %d of %d changed unseen", i, len(b))
		}
		b[i] ^= 1 << (i % 8)
	}
	for i := 0; i < len(b); i += 1 + i/200 {
		check(i)
	}
	for i := len(b) - 40; i < len(b); i++ {
		check(i)
	}
	if _, err := UnmarshalModel(b); err != nil {
		t.Errorf("the file itself: %v", err)
	}
}

func TestCutAndExtendedFiles(t *testing.T) {
	b := modelFile(t)
	for _, n := range []int{0, 1, 15, 16, 24, 55, 56, 1000, len(b) - 1} {
		if _, err := UnmarshalModel(b[:n]); err == nil {
			t.Errorf("the first %d bytes were accepted", n)
		}
	}
	if _, err := UnmarshalModel(append(bytes.Clone(b), 0)); err == nil {
		t.Error("an extra byte was accepted")
	}
	if _, err := UnmarshalModel(reseal(append(b[:len(b)-sha256.Size:len(b)-sha256.Size], 0))); err == nil {
		t.Error("an extra parameter byte under a right digest was accepted")
	}
}

func TestAnotherVersion(t *testing.T) {
	b := modelFile(t)
	b[len(fileMagic)+3] = 1
	_, err := UnmarshalModel(reseal(b[:len(b)-sha256.Size]))
	if err == nil || !strings.Contains(err.Error(), "version 1, this program reads version 2") {
		t.Errorf("got %v", err)
	}
}

// TestHostileHeaders changes one value of the model at a time, under a right
// digest.
func TestHostileHeaders(t *testing.T) {
	b := modelFile(t)
	for name, change := range map[string]func(*header){
		"layers":      func(h *header) { h.Layers[4] = 1 << 30 },
		"no layers":   func(h *header) { h.Layers = nil },
		"threshold":   func(h *header) { h.Threshold = math.NaN() },
		"infinite":    func(h *header) { h.Threshold = math.Inf(1) },
		"window":      func(h *header) { h.Window = maxWindow + 1 },
		"no window":   func(h *header) { h.Window = 0 },
		"span":        func(h *header) { h.Span = -time.Second },
		"sigma":       func(h *header) { h.ScaleSigma[9] = 0 },
		"mean":        func(h *header) { h.ScaleMean[9] = math.Inf(-1) },
		"range":       func(h *header) { h.Usual[3] = Range{Low: 2, High: 1} },
		"options":     func(h *header) { h.Fit.Options.Rule = "" },
		"rows":        func(h *header) { h.Fit.TDS = 0 },
		"epochs":      func(h *header) { h.Fit.Best = h.Fit.Epochs + 1 },
		"error":       func(h *header) { h.Fit.MaxMSE = -1 },
		"quantile":    func(h *header) { h.Fit.P99MSE = math.NaN() },
		"warnings":    func(h *header) { h.Warnings = make([]string, 9) },
		"warning":     func(h *header) { h.Warnings = []string{strings.Repeat("x", 500)} },
		"profile":     func(h *header) { h.Profile.MaxBytes = -1 },
		"empty lists": func(h *header) { h.Profile.Ports = []PortUse{} },
	} {
		m, err := UnmarshalModel(b)
		if err != nil {
			t.Fatal(err)
		}
		h := m.header()
		change(h)
		raw, err := encodeHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := UnmarshalModel(wrap(raw, b)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// wrap puts a header before the parameters of the model file b.
func wrap(header, b []byte) []byte {
	size := binary.BigEndian.Uint32(b[len(fileMagic)+4:])
	out := append([]byte(nil), b[:len(fileMagic)+4]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(header)))
	out = append(out, header...)
	return reseal(append(out, b[filePrefix+int(size):len(b)-sha256.Size]...))
}

func reseal(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

func FuzzUnmarshalModel(f *testing.F) {
	b := modelFile(f)
	f.Add(b)
	f.Add(b[:100])
	f.Add([]byte(fileMagic))
	f.Fuzz(func(t *testing.T, in []byte) { acceptsOnlyCanonical(t, in) })
}

// FuzzHeader gets past the digest: the input is a header alone, which is put
// into a file when it is a valid one.
func FuzzHeader(f *testing.F) {
	b := modelFile(f)
	size := binary.BigEndian.Uint32(b[len(fileMagic)+4:])
	f.Add(b[filePrefix : filePrefix+int(size)])
	f.Add([]byte{0xa0})
	f.Add([]byte{0xbf, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := decodeHeader(in)
		if err != nil || h.validate() != nil {
			return
		}
		acceptsOnlyCanonical(t, wrap(in, b))
	})
}

func acceptsOnlyCanonical(t *testing.T, in []byte) {
	m, err := UnmarshalModel(in)
	if err != nil {
		return
	}
	out, err := m.MarshalBinary()
	if err != nil || !bytes.Equal(in, out) {
		t.Errorf("accepted a file that it does not write (%v)", err)
	}
	score := make([]float64, 1)
	m.Score(make([][zone.Features]float32, 1), score)
	if math.IsNaN(score[0]) {
		t.Error("a model that was accepted gives NaN")
	}
}

// TestFileIsTheSameEverywhere holds a model's digest against what amd64 (also
// with GOAMD64=v3, which has fused operations) and 386 gave.
func TestFileIsTheSameEverywhere(t *testing.T) {
	const want = "e7c89bca6ad7a526129563787a1c84669d3cef3059070376e73fa260223df084"
	r := rand.NewPCG(8, 8)
	in := Training{Rows: make([]row, 250), Times: make([]zone.Time, 250)}
	for i := range in.Rows {
		in.Times[i] = second(i)
		for c := range in.Rows[i] {
			in.Rows[i][c] = float32(int64(r.Uint64()>>(44+uint(c%17))) - int64(i%(c+1)))
		}
	}
	if got := train(t, in, Options{Epochs: 5}).Digest().String(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

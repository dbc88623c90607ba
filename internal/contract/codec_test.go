package contract

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestMalformed: bytes that say the same otherwise, or say something else.
func TestMalformed(t *testing.T) {
	tx := about(1, &DeviceSeen{Name: "lamp"})
	good := sign(t, tx)
	body, err := canonical.Marshal(tx.Body)
	if err != nil {
		t.Fatal(err)
	}
	payload := func(parts ...any) []byte { return signPayload(t, join(t, parts), key(1)) }
	head := []any{hx("a6" + "01"), group(), hx("02"), 2}
	rest := []any{hx("03"), tx.Time, hx("04"), lamp, hx("05"), 1, hx("06")}
	all := func(b ...any) []byte { return payload(slices.Concat(head, rest, b)...) }
	if !bytes.Equal(all(wire(body)), good) {
		t.Fatal("the test does not build what Sign builds")
	}
	tests := map[string][]byte{
		"empty":               {},
		"too long":            make([]byte, MaxTx+1),
		"trailing byte":       append(bytes.Clone(good), 0),
		"cut":                 good[:len(good)-1],
		"a map":               hx("a0"),
		"deep":                bytes.Repeat([]byte{0x81}, 1000),
		"indefinite array":    slices.Concat([]byte{0x9f}, good[1:], []byte{0xff}),
		"short key":           join(t, []any{hx("83"), []byte("x"), make([]byte, 31), make([]byte, 64)}),
		"short signature":     join(t, []any{hx("83"), []byte("x"), make([]byte, 32), make([]byte, 63)}),
		"two elements":        join(t, []any{hx("82"), []byte("x"), make([]byte, 32)}),
		"no payload":          join(t, []any{hx("83"), []byte{}, make([]byte, 32), make([]byte, 64)}),
		"body field unknown":  all(hx("a2" + "01" + "60" + "02" + "60")),
		"body field missing":  all(hx("a0")),
		"body field twice":    all(hx("a2" + "01" + "60" + "01" + "60")),
		"body string length":  all(hx("a1" + "01" + "7801" + "61")),
		"body indefinite":     all(hx("bf" + "01" + "60" + "ff")),
		"body key as text":    all(hx("a1" + "6131" + "60")),
		"body bytes for text": all(hx("a1" + "01" + "40")),
		"body not UTF-8":      all(hx("a1" + "01" + "61ff")),
		"body tagged":         all(hx("c0" + "a1" + "01" + "60")),
		"body null":           all(hx("f6")),
		"unknown kind":        payload(slices.Concat([]any{hx("a601"), group(), hx("02"), 23}, rest, []any{hx("a0")})...),
		"kind too large":      payload(slices.Concat([]any{hx("a601"), group(), hx("02"), 256}, rest, []any{hx("a0")})...),
		"kind not shortest":   payload(slices.Concat([]any{hx("a601"), group(), hx("021802")}, rest, []any{hx("a10160")})...),
		"short zone":          payload(slices.Concat([]any{hx("a601"), group().String(), hx("02"), 2}, rest, []any{hx("a10160")})...),
		"zone as array":       payload(slices.Concat([]any{hx("a601820102"), hx("02"), 2}, rest, []any{hx("a10160")})...),
		"keys out of order":   payload(slices.Concat([]any{hx("a602"), 2, hx("01"), group()}, rest, []any{hx("a10160")})...),
		"a field more":        payload(slices.Concat([]any{hx("a701"), group(), hx("02"), 2}, rest, []any{hx("a10160" + "0700")})...),
	}
	for name, raw := range tests {
		t.Run(name, func(t *testing.T) {
			s := Memory{}
			mustApply(t, s, genesis())
			checkReject(t, s, raw, CodeMalformed)
		})
	}
}

// TestFloatsHaveOneForm: a threshold written longer than need be, or as an
// integer, is refused.
func TestFloatsHaveOneForm(t *testing.T) {
	body, err := canonical.Marshal(with(model(), func(b *ModelAccepted) { b.Threshold = 1 }))
	if err != nil {
		t.Fatal(err)
	}
	short := hx("08f93c00")
	if bytes.Count(body, short) != 1 {
		t.Fatal("the threshold is not where the test looks for it")
	}
	for name, form := range map[string]string{"integer": "0801", "single": "08fa3f800000", "double": "08fb3ff0000000000000"} {
		other := bytes.Replace(body, short, hx(form), 1)
		raw := signWire(t, wireTx{group(), KindModelAccepted, created, who(t, lamp), 1, other}, key(1))
		_, err := Parse(raw)
		if r := (*RejectError)(nil); !errors.As(err, &r) || r.Code != CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func who(tb testing.TB, mac zone.MAC) []byte {
	tb.Helper()
	b, err := canonical.Marshal(mac)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// wire is CBOR that join takes as it is.
type wire []byte

func hx(s string) wire {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// join encodes the parts one after another.
func join(tb testing.TB, parts []any) (raw []byte) {
	tb.Helper()
	for _, p := range parts {
		b, ok := p.(wire)
		if !ok {
			var err error
			if b, err = canonical.Marshal(p); err != nil {
				tb.Fatal(err)
			}
		}
		raw = append(raw, b...)
	}
	return raw
}

// TestGolden holds the format: one line for each transaction of a life, its
// bytes and its H-ID, and the digest of the state after all of them.
func TestGolden(t *testing.T) {
	var out strings.Builder
	s := Memory{}
	for _, tx := range life() {
		raw := sign(t, tx)
		signed, err := new(Validator).Apply(s, 0, raw)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %x %s\n", tx.Kind, raw, signed.ID)
	}
	digest, err := Digest(s)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "state %s\n", digest)
	path := filepath.Join("testdata", "life.golden")
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the format changed; got\n%s\nwant\n%s", out.String(), want)
	}
}

// FuzzParse: what Parse takes, it takes in one form only, and Sign gives that.
func FuzzParse(f *testing.F) {
	for _, tx := range life() {
		f.Add(sign(f, tx))
	}
	f.Add([]byte{0x83, 0x40, 0x60, 0x40})
	f.Fuzz(func(t *testing.T, raw []byte) {
		signed, err := Parse(raw)
		if r := (*RejectError)(nil); err != nil && !errors.As(err, &r) {
			t.Fatalf("not a RejectError: %v", err)
		}
		if err != nil {
			return
		}
		payload, err := signed.Tx.payload()
		if err != nil || !bytes.Equal(payload, signed.payload) {
			t.Fatalf("encoded again it is %x, %v; was %x", payload, err, signed.payload)
		}
	})
}

// FuzzApply applies any three signed bodies after a life's beginning: a
// transaction is refused without a trace, or changes its subject's key only.
func FuzzApply(f *testing.F) {
	for i, tx := range life() {
		body, err := canonical.Marshal(tx.Body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), uint8(tx.Kind), tx.N, int64(tx.Time), body)
	}
	f.Fuzz(func(t *testing.T, after, kind uint8, n uint64, at int64, body []byte) {
		s := Memory{}
		mustApply(t, s, life()[:int(after)%len(life())]...)
		raw := signWire(t, wireTx{group(), Kind(kind), zone.Time(at), who(t, lamp), n, rawBody(body)}, key(1))
		before, err := Digest(s)
		if err != nil {
			t.Fatal(err)
		}
		_, err = new(Validator).Apply(s, 0, raw)
		r := (*RejectError)(nil)
		if err != nil && !errors.As(err, &r) {
			t.Fatal(err)
		}
		now, digestErr := Digest(s)
		if (now != before) != (err == nil) || digestErr != nil {
			t.Fatalf("state changed: %v; error: %v, %v", now != before, err, digestErr)
		}
		checkSane(t, s)
	})
}

// rawBody gives b, or an empty map if b is not CBOR that can be embedded.
func rawBody(b []byte) cbor.RawMessage {
	if cbor.Wellformed(b) != nil {
		return cbor.RawMessage{0xa0}
	}
	return b
}

// checkSane holds what must be true of every state.
func checkSane(t *testing.T, s State) {
	t.Helper()
	devices, err := Devices(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if d.Normal+d.Malicious > d.Rows || d.Rows > uint64(d.LastSeq) || d.N == 0 || d.State == zone.StateUnseen ||
			(d.State == zone.StateLearning) != (d.Model == zone.Hash{}) {
			t.Errorf("a state that cannot be: %+v", d)
		}
	}
}

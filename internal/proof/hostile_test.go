package proof

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

// endless is a reader of one byte for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestHostile(t *testing.T) {
	good := string(marshal(t, testWorld(t).source))
	rows := good[strings.Index(good, `"rows": [`) : len(good)-1]
	tests := map[string]struct{ text, field string }{
		"empty":             {"", "bundle"},
		"no JSON":           {"a proof", "bundle"},
		"another object":    {"{}", "bundle"},
		"array":             {"[]", "bundle"},
		"deep arrays":       {strings.Repeat("[", 1<<20), "bundle"},
		"deep in a field":   {`{"format": ` + strings.Repeat("[", 1<<20), "format"},
		"deep objects":      {strings.Repeat(`{"format":`, 1<<18), "format"},
		"huge array":        {`{"format": [` + strings.Repeat("0,", 1<<22) + `0]`, "format"},
		"long path":         {strings.Replace(good, `"tx_path": [`, `"tx_path": [`+strings.Repeat(`"",`, 1<<20), 1), "zone.tx_path"},
		"unknown field":     {strings.Replace(good, `"anchor"`, `"note": 1, "anchor"`, 1), "bundle"},
		"unknown last":      {strings.TrimSuffix(good, "\n}\n") + ",\n  \"note\": 1\n}\n", "bundle"},
		"field twice":       {strings.Replace(good, `"format"`, `"format": "x", "format"`, 1), "bundle"},
		"field in capitals": {strings.Replace(good, `"format"`, `"FORMAT"`, 1), "bundle"},
		"another format":    {strings.Replace(good, Format, "bellwether-proof/2", 1), "format"},
		"NaN":               {replaceScore(good, "NaN"), "alert.score"},
		"infinity":          {replaceScore(good, "1e400"), "alert.score"},
		"score as text":     {replaceScore(good, `"NaN"`), "alert.score"},
		"score padded":      {replaceScore(good, "1.50"), "alert.score"},
		"compact":           {strings.ReplaceAll(good, "\n  ", "\n"), "bundle"},
		"carriage returns":  {strings.ReplaceAll(good, "\n", "\r\n"), "bundle"},
		"no line end":       {strings.TrimSuffix(good, "\n"), "bundle"},
		"line behind":       {good + "\n", "bundle"},
		"two bundles":       {good + good, "bundle"},
		"byte order mark":   {"\ufeff" + good, "bundle"},
		"not UTF-8":         {strings.Replace(good, `"reason": "`, "\"reason\": \"\xff", 1), "alert.reason"},
		"IPv4 in IPv6":      {strings.Replace(good, `"dst": "`, `"dst": "::ffff:`, 1), "segments[0].rows[0].snapshot.dst"},
		"scoped address":    {addScope(good, rows), "segments[0].rows[0].snapshot.src"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := Parse([]byte(tt.text))
			if err == nil {
				_, err = Verify(b, master(), nil)
			}
			var f *FieldError
			if !errors.As(err, &f) || f.Field != tt.field || len(err.Error()) > 1000 {
				t.Errorf("got %.300v, want an error that names %s", err, tt.field)
			}
		})
	}
}

func replaceScore(text, score string) string {
	at := strings.Index(text, `"score": `) + len(`"score": `)
	return text[:at] + score + text[at+strings.Index(text[at:], ","):]
}

// addScope puts an IPv6 scope, which no hash covers, into a source address.
func addScope(text, rows string) string {
	at := strings.Index(rows, `"src": "`) + len(`"src": "`)
	scoped := rows[:at] + "fe80::1%eth0" + rows[at+strings.Index(rows[at:], `"`):]
	return strings.Replace(text, rows, scoped, 1)
}

func TestHuge(t *testing.T) {
	began := time.Now()
	for _, c := range []byte{'[', '{', '"', ' ', 0} {
		if _, err := Read(io.LimitReader(endless(c), 100<<20)); err == nil || !strings.Contains(err.Error(), "bytes long") {
			t.Errorf("100 MiB of %q: %v", c, err)
		}
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("five of them took %s", took)
	}
	broken := errors.New("the disk is gone")
	if _, err := Read(io.MultiReader(strings.NewReader("{"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("a failing reader: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestTruncated cuts a bundle off at many places.
func TestTruncated(t *testing.T) {
	raw := marshal(t, testWorld(t).source)
	for n := 0; n < len(raw); n += 1000 {
		if _, err := Parse(raw[:n]); err == nil || !strings.Contains(err.Error(), "ends here") {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	if _, err := Parse(raw[:len(raw)-1]); err == nil {
		t.Error("cut by its last byte: no error")
	}
}

// FuzzVerify: what Parse takes is canonical, errors name a field, and nothing
// verifies but what was made.
func FuzzVerify(f *testing.F) {
	w := testWorld(f)
	score, source := marshal(f, w.score), marshal(f, w.source)
	f.Add(score)
	f.Add(source)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Parse(raw)
		var field *FieldError
		if (b == nil) != (err != nil) || err != nil && !errors.As(err, &field) {
			t.Fatalf("a bundle: %v, error: %v", b != nil, err)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(marshal(t, b), raw) {
			t.Fatal("a bundle in another form was taken")
		}
		if _, err := Verify(b, master(), nil); err == nil && !bytes.Equal(raw, score) && !bytes.Equal(raw, source) {
			t.Fatal("a changed bundle verifies")
		}
	})
}

// FuzzParse does the same without checking, on a bundle that is small enough to
// be changed often.
func FuzzParse(f *testing.F) {
	f.Add(marshal(f, small(f)))
	on, _ := attested(f)
	f.Add(marshal(f, on))
	f.Add([]byte(`{"format": "bellwether-proof/1", "anchor": null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Parse(raw)
		var field *FieldError
		if (b == nil) != (err != nil) || err != nil && !errors.As(err, &field) {
			t.Fatalf("a bundle: %v, error: %v", b != nil, err)
		}
		if err == nil && !bytes.Equal(marshal(t, b), raw) {
			t.Fatal("a bundle in another form was taken")
		}
	})
}

// small is a bundle in form, of one row, with no model in it.
func small(tb testing.TB) *Bundle {
	tb.Helper()
	device := zone.MAC{0, 0, 0x5e, 0, 0x53, 1}
	w := &scribe{tb: tb, group: contract.GroupID(master(), began, "home"), device: device}
	rows := []zone.Snapshot{{Seq: 7, Time: began, Device: device, SrcMAC: device, Src: netip.MustParseAddr("fd00::1"), Score: 1.5, Label: zone.Malicious}}
	w.write(began, &contract.ZoneCreated{Name: "home", Master: [32]byte(master())})
	w.write(began, &contract.DeviceSeen{})
	w.write(began, recordOf(rows))
	return &Bundle{Format: Format, Anchor: "an anchor", Alert: zone.Alert{Zone: w.group, Device: device, Features: []zone.AlertFeature{{Name: "a"}}},
		Zone: w.entry(0), Verdict: w.entry(1), Model: Model{Accepted: w.entry(1), File: []byte("a model")},
		Segments: []Segment{{w.entry(2), rowsOf(rows, []int{0})}}, Between: []Entry{w.entry(1)}}
}

// FuzzEntry changes a transaction and its proof behind their encoding.
func FuzzEntry(f *testing.F) {
	b := small(f)
	e := b.Segments[0].Recorded
	f.Add(e.Tx, e.Header, e.Signature, e.Index, e.Checkpoint)
	f.Add(e.Tx, b.Zone.Header, b.Zone.Signature, e.Index+1, e.Checkpoint)
	f.Fuzz(func(t *testing.T, tx, header, sig []byte, index uint32, checkpoint string) {
		changed := Entry{Tx: tx, Header: header, Signature: sig, Index: index, TxPath: e.TxPath, HeaderPath: e.HeaderPath, Checkpoint: checkpoint}
		c := &checker{b: b, anchor: master()}
		_, err := c.entry("entry", &changed)
		var field *FieldError
		if err != nil && !errors.As(err, &field) || (err == nil) != reflect.DeepEqual(changed, e) {
			t.Fatalf("error %v for %+v", err, changed)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	raw := marshal(b, testWorld(b).score)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		bundle, err := Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Verify(bundle, master(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

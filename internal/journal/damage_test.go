package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// starts gives the file's bytes and where each of its records starts, with the
// end of the file as the last.
func starts(tb testing.TB, path string) (raw []byte, start []int64) {
	tb.Helper()
	for rec, err := range Scan(path, kind) {
		if err != nil {
			tb.Fatal(err)
		}
		start = append(start, rec.Offset)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return raw, append(start, int64(len(raw)))
}

// TestEveryByteIsCovered changes every byte of a journal in several ways; Scan
// must name the record, Open must refuse, and the file must stay as it was.
func TestEveryByteIsCovered(t *testing.T) {
	raw, start := starts(t, write(t, payloads()...))
	path := filepath.Join(t.TempDir(), "changed")
	for at := range raw {
		for _, mask := range []byte{0x01, 0x80, 0xff, raw[at]} {
			if mask == 0 {
				continue
			}
			changed := bytes.Clone(raw)
			changed[at] ^= mask
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			checkDamage(t, path, changed, int64(at), start)
		}
	}
}

func checkDamage(t *testing.T, path string, changed []byte, at int64, start []int64) {
	t.Helper()
	want := -1
	for want+1 < len(start)-1 && start[want+1] <= at {
		want++
	}
	sound := 0
	var found []*DamageError
	for _, err := range Scan(path, kind) {
		if d := (*DamageError)(nil); errors.As(err, &d) {
			found = append(found, d)
		} else if err != nil {
			t.Errorf("byte %d: %v", at, err)
		} else {
			sound++
		}
	}
	if len(found) != 1 || found[0].Record != want || want >= 0 && found[0].Offset != start[want] || want < 0 && found[0].Offset != at {
		t.Fatalf("byte %d: found %v, want damage in record %d", at, found, want)
	}
	if all := len(start) - 1; want >= 0 && sound != all-1 {
		t.Errorf("byte %d: %d sound records beside the damaged one, want %d", at, sound, all-1)
	}
	_, err := Open(path, kind, nil)
	if d := (*DamageError)(nil); !errors.As(err, &d) || d.Record != want {
		t.Errorf("byte %d: Open gave %v", at, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, changed) {
		t.Errorf("byte %d: Open changed a damaged file (%v)", at, err)
	}
}

// TestTruncateAnywhere cuts a journal at every length: exactly the complete
// records come back, and it goes on from there.
func TestTruncateAnywhere(t *testing.T) {
	all := payloads()
	raw, start := starts(t, write(t, all...))
	path := filepath.Join(t.TempDir(), "cut")
	for n := range raw {
		if err := os.WriteFile(path, raw[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for whole < len(all) && start[whole+1] <= int64(n) {
			whole++
		}
		torn := int64(n) - start[whole]
		if torn < 0 {
			torn = int64(n) // within the first line
		}
		checkScanTorn(t, path, n, torn)
		checkRecovery(t, path, all[:whole], torn)
	}
}

func checkScanTorn(t *testing.T, path string, n int, torn int64) {
	t.Helper()
	var last error
	for _, err := range Scan(path, kind) {
		last = err
	}
	e := (*TornError)(nil)
	firstLineCut := n < len(firstLine(kind))
	if got := errors.As(last, &e); got != (torn > 0 || firstLineCut) || got && e.Bytes != torn {
		t.Errorf("cut at %d: Scan ended with %v, want %d bytes torn", n, last, torn)
	}
}

func checkRecovery(t *testing.T, path string, want [][]byte, torn int64) {
	t.Helper()
	var got [][]byte
	j, err := Open(path, kind, collect(&got))
	if err != nil {
		t.Fatal(err)
	}
	if !equal(got, want) || j.Torn() != torn {
		t.Fatalf("got %q, torn %d; want %q, torn %d", got, j.Torn(), want, torn)
	}
	if err := j.Append([]byte("next")); err != nil {
		t.Fatal(err)
	}
	j.Close()
	got = nil
	if j, err = Open(path, kind, collect(&got)); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if j.Torn() != 0 || len(got) != len(want)+1 || string(got[len(want)]) != "next" {
		t.Fatalf("after recovery: got %q, torn %d", got, j.Torn())
	}
}

// TestNoTailIsDroppedUnproven: what cannot be the beginning of a record is
// damage, not a torn tail.
func TestNoTailIsDroppedUnproven(t *testing.T) {
	raw, _ := starts(t, write(t, payloads()...))
	next := appendFrame(nil, uint64(len(payloads())), []byte("unfinished"))
	tails := map[string][]byte{
		"one zero":           {0},
		"zeros":              make([]byte, 4096),
		"another number":     appendFrame(nil, 77, nil)[:15],
		"length changed":     append(append(bytes.Clone(next[:12]), 0, 1, 0, 0), next[16:]...),
		"text":               []byte("text"),
		"header of a record": appendFrame(nil, 1, []byte("again"))[:headerBytes],
	}
	for name, tail := range tails {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tail")
			if err := os.WriteFile(path, append(bytes.Clone(raw), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path, kind, nil)
			d := (*DamageError)(nil)
			if !errors.As(err, &d) || d.Record != len(payloads()) || d.Offset != int64(len(raw)) {
				t.Errorf("got %v, want damage in record %d at %d", err, len(payloads()), len(raw))
			}
		})
	}
}

// TestRecordsCannotChangePlaces: a record moved whole is found, header and all.
func TestRecordsCannotChangePlaces(t *testing.T) {
	path := write(t, []byte("aaaa"), []byte("bbbb"))
	raw, start := starts(t, path)
	swapped := fmt.Appendf(nil, "%s%s%s", raw[:start[0]], raw[start[1]:], raw[start[0]:start[1]])
	if err := os.WriteFile(path, swapped, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, kind, nil)
	if d := (*DamageError)(nil); !errors.As(err, &d) || d.Record != 0 {
		t.Errorf("got %v, want damage in record 0", err)
	}
}

// FuzzScan: no bytes make Scan or Open panic; they agree on what is damage, and
// what Open accepts is, after it, without fault.
func FuzzScan(f *testing.F) {
	raw, start := starts(f, write(f, payloads()...))
	f.Add(raw)
	f.Add(raw[:start[3]-2])
	f.Add([]byte{})
	f.Add(append(bytes.Clone(raw), make([]byte, 64)...))
	flipped := bytes.Clone(raw)
	flipped[start[1]+14] ^= 1
	f.Add(flipped)
	f.Add([]byte(firstLine(kind) + "damaged, and then a magic that begins nothing: " + magic + magic + "........................"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		records, damaged := 0, false
		for _, err := range Scan(path, kind) {
			if d := (*DamageError)(nil); errors.As(err, &d) {
				damaged = true
			} else if err == nil {
				records++
			}
		}
		j, err := Open(path, kind, nil)
		if (err != nil) != damaged {
			t.Fatalf("Open: %v; Scan found damage: %v", err, damaged)
		}
		if err != nil {
			return
		}
		defer j.Close()
		if j.Len() != records {
			t.Fatalf("Open has %d records, Scan %d", j.Len(), records)
		}
		if _, start := starts(t, path); len(start) != records+1 {
			t.Fatalf("after Open there are %d records, want %d", len(start)-1, records)
		}
	})
}

// TestWhole: of any beginning of a journal, and of one that is cut anywhere, Whole
// gives what Open keeps, and changes nothing.
func TestWhole(t *testing.T) {
	whole := func(path string, size int64) (int64, error) {
		f, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return Whole(f, size)
	}
	path := write(t, payloads()...)
	raw, start := starts(t, path)
	first := start[0]
	for n := range int64(len(raw)) + 1 {
		want := int64(0)
		for _, at := range append([]int64{first}, start...) {
			if at <= n {
				want = at
			}
		}
		if got, err := whole(path, n); err != nil || got != want {
			t.Errorf("of the first %d bytes %d are whole, %v; want %d", n, got, err, want)
		}
		cut := filepath.Join(t.TempDir(), "cut")
		if err := os.WriteFile(cut, raw[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := whole(cut, int64(len(raw))); err != nil || got != want {
			t.Errorf("cut at %d: %d are whole, %v; want %d", n, got, err, want)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, raw) {
		t.Errorf("the file was changed (%v)", err)
	}
	raw[start[1]+5] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := whole(path, int64(len(raw))); !errors.As(err, new(*DamageError)) {
		t.Errorf("damaged: %v", err)
	}
	if got, err := whole(path, start[1]); err != nil || got != start[1] {
		t.Errorf("damaged behind: %d, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("dear mother\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := whole(path, 12); !errors.As(err, new(*DamageError)) {
		t.Errorf("no journal: %v", err)
	}
}

package alert

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

func numbered(n byte) *Event {
	e := NewEvent(anAlert(), zone.Hash{n}, snapshot(6, "1.2.3.4", "5.6.7.8", 1, 2), ledger.Receipt{})
	return &e
}

func lineOf(tb testing.TB, e *Event) string {
	tb.Helper()
	b, err := e.Line()
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// add opens the file, adds events and closes it.
func add(tb testing.TB, path string, events ...*Event) error {
	tb.Helper()
	a, err := OpenFile(path)
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := a.Add(e); err != nil {
			tb.Fatal(err)
		}
	}
	return a.Close()
}

func content(tb testing.TB, path string) string {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestFileOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.jsonl")
	one, two, three := numbered(1), numbered(2), numbered(3)
	for _, run := range [][]*Event{{one, one, two}, {two, one}, {one, two, three}} {
		if err := add(t, path, run...); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := content(t, path), lineOf(t, one)+lineOf(t, two)+lineOf(t, three); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("mode %v, %v: not for others", info.Mode(), err)
	}
}

// TestFileTorn cuts the last line at many bytes, and fills it with zeros, as a
// crash leaves it.
func TestFileTorn(t *testing.T) {
	dir := t.TempDir()
	one, two := numbered(1), numbered(2)
	first, second := lineOf(t, one), lineOf(t, two)
	for n := range len(second) + 1 {
		if n > 20 && n < len(second)-3 && n%29 != 0 {
			continue
		}
		for _, tail := range []string{"", "\x00\x00\x00"} {
			path := filepath.Join(dir, "torn.jsonl")
			if err := os.WriteFile(path, []byte(first+second[:n]+tail), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := add(t, path, one, two); err != nil {
				t.Fatalf("cut after %d bytes: %v", n, err)
			}
			if got := content(t, path); got != first+second {
				t.Fatalf("cut after %d bytes: the file is\n%s", n, got)
			}
		}
	}
}

func TestFileForeign(t *testing.T) {
	good := lineOf(t, numbered(1))
	for name, text := range map[string]string{
		"text":              "dear diary\n",
		"text, no line end": "dear diary",
		"one letter":        "x",
		"binary":            "\x7fELF\x02\x01\x01\x00\x00",
		"other JSON":        "{\"event_type\":\"flow\"}\n",
		"Suricata's own":    "{\"timestamp\":\"2017-04-07T22:24:37.251547+0100\",\"event_type\":\"alert\"}\n",
		"not ended":         "{\"timestamp\":\"2017-04-07T22:24:37.251547+0100\",\"event_type\":\"alert\"}",
		"array":             "[1,2]\n",
		"empty line":        "\n",
		"second line":       good + "dear diary\n",
		"second, not ended": good + "dear diary",
		"torn in between":   good[:40] + "\n" + good,
		"endless line":      strings.Repeat("x", 3<<20),
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := add(t, path, numbered(2))
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "give another file") {
			t.Errorf("%s: %v", name, err)
		}
		if content(t, path) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestFileElsewhere(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none", "alerts"), "/dev/null"} {
		if _, err := OpenFile(path); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
}

// TestFileAddFails: what could not be written is not taken as written.
func TestFileAddFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.jsonl")
	a, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.f.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Add(numbered(1)); err == nil {
			t.Error("no error for a file that is closed")
		}
	}
}

func FuzzOpenFile(f *testing.F) {
	f.Add([]byte(lineOf(f, numbered(1)) + lineOf(f, numbered(2))[:100]))
	f.Add([]byte("{\"bellwether\":{\"id\":\"a\"}}\n{\"bellwether\":{\"id\":\"b\"}}"))
	f.Add([]byte("\x00\x00"))
	path := filepath.Join(f.TempDir(), "alerts.jsonl")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		err := add(t, path, numbered(1))
		after := []byte(content(t, path))
		if err != nil && !bytes.Equal(after, text) {
			t.Fatal("a refused file was changed")
		}
		if err == nil && (len(after) == 0 || after[len(after)-1] != '\n') {
			t.Fatalf("it ends %q", after)
		}
		if err == nil && add(t, path, numbered(1)) != nil {
			t.Fatal("it is refused the second time")
		}
	})
}

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const kind = "test"

// payloads are the records of the journals that the tests take apart.
func payloads() [][]byte {
	return [][]byte{[]byte("first"), {}, []byte("the third is a little longer"), {0, 0, 0, 0}, []byte(magic)}
}

func write(tb testing.TB, payloads ...[]byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "journal")
	j := open(tb, path)
	if err := j.Append(payloads...); err != nil {
		tb.Fatal(err)
	}
	if err := j.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}

func open(tb testing.TB, path string) *Journal {
	tb.Helper()
	j, err := Open(path, kind, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { j.Close() })
	return j
}

func collect(got *[][]byte) func(int, []byte) error {
	return func(rec int, payload []byte) error {
		if rec != len(*got) {
			return fmt.Errorf("record %d came as number %d", len(*got), rec)
		}
		*got = append(*got, payload)
		return nil
	}
}

func equal(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func TestReopen(t *testing.T) {
	want := payloads()
	path := write(t, want...)
	for range 2 {
		var got [][]byte
		j, err := Open(path, kind, collect(&got))
		if err != nil {
			t.Fatal(err)
		}
		if !equal(got, want) || j.Len() != len(want) || j.Torn() != 0 {
			t.Fatalf("got %q, length %d, torn %d; want %q", got, j.Len(), j.Torn(), want)
		}
		more := []byte(fmt.Sprint("more ", len(want)))
		if err := j.Append(more); err != nil {
			t.Fatal(err)
		}
		want = append(want, more)
		for i := range want {
			if p, err := j.Read(i); err != nil || !bytes.Equal(p, want[i]) {
				t.Errorf("Read(%d) = %q, %v; want %q", i, p, err, want[i])
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadCallbackEndsOpen(t *testing.T) {
	path := write(t, payloads()...)
	stop := errors.New("enough")
	_, err := Open(path, kind, func(rec int, _ []byte) error {
		if rec == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || !strings.Contains(err.Error(), "record 2") {
		t.Errorf("got %v, want %v naming record 2", err, stop)
	}
}

func TestReadOutOfRange(t *testing.T) {
	j := open(t, write(t, payloads()...))
	for _, rec := range []int{-1, j.Len()} {
		if _, err := j.Read(rec); err == nil {
			t.Errorf("Read(%d) gave no error", rec)
		}
	}
}

func TestReadFindsChangeSinceOpen(t *testing.T) {
	path := write(t, payloads()...)
	j := open(t, path)
	raw, start := starts(t, path)
	raw[start[2]+headerBytes] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := j.Read(2)
	if d := (*DamageError)(nil); !errors.As(err, &d) || d.Record != 2 || d.Offset != start[2] {
		t.Errorf("got %v, want damage in record 2 at %d", err, start[2])
	}
	if _, err := j.Read(3); err != nil {
		t.Errorf("record 3: %v", err)
	}
}

func TestAppendRefusesHugePayload(t *testing.T) {
	j := open(t, write(t))
	if err := j.Append(make([]byte, MaxPayload+1)); err == nil {
		t.Error("a payload over the limit was taken")
	}
	if err := j.Append([]byte("small")); err != nil || j.Len() != 1 {
		t.Errorf("after it: %v, length %d", err, j.Len())
	}
}

func TestAppendFailureSticks(t *testing.T) {
	path := write(t, []byte("kept"))
	j := open(t, path)
	j.file.Close()
	first := j.Append([]byte("lost"))
	if first == nil {
		t.Fatal("appended to a closed file")
	}
	if second := j.Append([]byte("lost too")); second != first {
		t.Errorf("the second append gave %v, want the first one's %v", second, first)
	}
	if j.Len() != 1 {
		t.Errorf("length %d after a failed append", j.Len())
	}
}

func TestClosed(t *testing.T) {
	j := open(t, write(t, []byte("x")))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, readErr := j.Read(0)
	if err := j.Append(nil); err != ErrClosed || readErr != ErrClosed {
		t.Errorf("after Close: append %v, read %v", err, readErr)
	}
	if err := j.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestWrongKind(t *testing.T) {
	path := write(t, []byte("x"))
	_, err := Open(path, "other", nil)
	if d := (*DamageError)(nil); !errors.As(err, &d) || d.Record != -1 || d.Offset != int64(len("bellwether journal 1 ")) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			j, err := Open(filepath.Join(b.TempDir(), "journal"), kind, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := j.Append(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

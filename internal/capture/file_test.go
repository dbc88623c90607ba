package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

func gzipped(tb testing.TB, b []byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(b)
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func zstandard(tb testing.TB, b []byte) []byte {
	tb.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(b, nil)
}

func write(tb testing.TB, path string, b []byte) string {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestCompressed(t *testing.T) {
	want := sample(200)
	plain, _ := pcapFile(binary.LittleEndian, 0xa1b23c4d, 1, want)
	ng, _ := ngFile(binary.BigEndian, want)
	for format, b := range map[string][]byte{
		"pcap-ns":      plain,
		"pcap-ns+gzip": gzipped(t, plain),
		"pcap-ns+zstd": zstandard(t, plain),
		"pcapng":       ng,
		"pcapng+gzip":  gzipped(t, ng),
		"pcapng+zstd":  zstandard(t, ng),
		// Two compressed parts one after the other are one stream.
		"pcapng+gzip ": append(gzipped(t, ng[:999]), gzipped(t, ng[999:])...),
		"pcapng+zstd ": append(zstandard(t, ng[:999]), zstandard(t, ng[999:])...),
	} {
		path := write(t, filepath.Join(t.TempDir(), "capture.txt"), b)
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if f.Format() != strings.TrimSpace(format) || f.Size() != int64(len(b)) {
			t.Errorf("%s: format %q, size %d of %d", format, f.Format(), f.Size(), len(b))
		}
		got, err := readAll(t, f)
		if d := differ(got, want); d != "" || err != nil {
			t.Errorf("%s: %s, %v", format, d, err)
		}
		if f.Offset() != f.Size() {
			t.Errorf("%s: offset %d of %d at the end", format, f.Offset(), f.Size())
		}
		if err := f.Close(); err != nil {
			t.Errorf("%s: close: %v", format, err)
		}
	}
}

// TestCompressedTruncated cuts compressed captures at every byte: what comes
// must be a prefix of the frames, then an error.
func TestCompressedTruncated(t *testing.T) {
	want := sample(40)
	plain, _ := pcapFile(binary.LittleEndian, 0xa1b23c4d, 1, want)
	for name, b := range map[string][]byte{"gzip": gzipped(t, plain), "zstd": zstandard(t, plain)} {
		for n := range len(b) {
			f, err := NewReader(bytes.NewReader(b[:n]), "cut")
			if err != nil {
				continue
			}
			got, err := readAll(t, f)
			if d := differ(got, want[:min(len(got), len(want))]); d != "" {
				t.Fatalf("%s cut at %d: %s", name, n, d)
			}
			if err == nil {
				t.Errorf("%s cut at %d of %d: no error after %d frames", name, n, len(b), len(got))
				continue
			}
			if d := damageOf(t, err); !d.Compressed || d.Offset > int64(len(plain)) || !strings.Contains(err.Error(), "uncompressed byte") {
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
			f.Close()
		}
	}
}

func TestCompressedChecksum(t *testing.T) {
	want := sample(5)
	plain, ends := pcapFile(binary.LittleEndian, 0xa1b23c4d, 1, want)
	gz := gzipped(t, plain)
	gz[len(gz)-8] ^= 1 // CRC-32
	f, err := NewReader(bytes.NewReader(gz), "x.gz")
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, f)
	if d := differ(got, want); d != "" {
		t.Error(d)
	}
	if d := damageOf(t, err); d.Offset != int64(ends[5]) || d.Unwrap() != gzip.ErrChecksum {
		t.Errorf("%+v, want %v at %d", d, gzip.ErrChecksum, ends[5])
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	le := binary.LittleEndian
	header, _ := pcapFile(le, 0xa1b2c3d4, 1, nil)
	wifi, _ := pcapFile(le, 0xa1b2c3d4, 127, sample(1))
	oldVersion := bytes.Clone(header)
	oldVersion[4] = 7
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty.pcap", nil, "is empty"},
		{"empty.pcap.gz", gzipped(t, nil), "is empty"},
		{"three", header[:3], "is not a capture: it starts with d4 c3 b2"},
		{"text", []byte("a,b,c\n1,2,3\n"), "is not a capture: it starts with 61 2c 62 2c"},
		{"text.zst", zstandard(t, []byte("a,b,c\n")), "is not a capture"},
		{"header.pcap", header[:20], "damaged at byte 0: the file header is cut off: 20 of its 24"},
		{"version.pcap", oldVersion, "pcap version 7"},
		{"wifi.pcap", wifi, "link type 127, which is not supported: want BSD loopback (0), Ethernet (1)"},
		{"wifi.pcapng", append(section(le), iface(le, 127, 0)...), "link type 127"},
		{"section.pcapng", section(le)[:20], "damaged at byte 0"},
		{"version.pcapng", bytes.Replace(section(le), []byte{1, 0, 0, 0}, []byte{2, 0, 0, 0}, 1), "pcapng version 2"},
		{"gzip.gz", []byte{0x1f, 0x8b, 9, 9, 9, 9}, "starts like gzip"},
	} {
		path := write(t, filepath.Join(dir, c.name), c.b)
		f, err := Open(path)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the path", c.name, err, c.want)
		}
	}
	if _, err := Open(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("directory: %v", err)
	}
}

func TestNextAfterClose(t *testing.T) {
	b, _ := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, sample(2))
	f, err := NewReader(bytes.NewReader(b), "test")
	if err != nil {
		t.Fatal(err)
	}
	var fr Frame
	if err := f.Next(&fr); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Next(&fr); err == nil || err == io.EOF {
		t.Errorf("Next after Close: %v", err)
	}
}

// at is a capture of one frame at a time, in seconds.
func at(tb testing.TB, sec int) []byte {
	tb.Helper()
	fr := Frame{Time: zone.Time(sec) * 1e9, Link: packet.LinkEthernet, Length: 3, Data: []byte("abc")}
	b, _ := pcapFile(binary.BigEndian, 0xa1b2c3d4, 1, []Frame{fr})
	return b
}

func TestPeek(t *testing.T) {
	dir := t.TempDir()
	first, err := Peek(write(t, filepath.Join(dir, "a"), at(t, 77)))
	if err != nil || first != 77e9 {
		t.Errorf("got %v, %v", first, err)
	}
	none := write(t, filepath.Join(dir, "none"), at(t, 1)[:24])
	if _, err := Peek(none); err == nil || !strings.Contains(err.Error(), "holds no frames") {
		t.Errorf("no frames: %v", err)
	}
	cut := write(t, filepath.Join(dir, "cut"), at(t, 1)[:30])
	if _, err := Peek(cut); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("cut: %v", err)
	}
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"late.pcap":        at(t, 300),
		"day/early.pcap":   gzipped(t, at(t, 100)),
		"day/mid.cap":      at(t, 200),
		"day/same.cap":     at(t, 200),
		"day/broken.cap":   at(t, 1)[:30],
		"day/.hidden":      at(t, 1),
		"day/MAC.TXT":      at(t, 1),
		"day/.git/x":       at(t, 1),
		"empty.pcap":       nil,
		"odd[1].pcap":      at(t, 150),
		"void/.only":       nil,
		"day/deep/one.cap": at(t, 50),
	} {
		write(t, filepath.Join(dir, name), b)
	}
	t.Chdir(dir)
	for _, c := range []struct{ patterns, want []string }{
		{[]string{"late.pcap"}, []string{"late.pcap"}},
		{[]string{"odd[1].pcap"}, []string{"odd[1].pcap"}},
		{[]string{"*.pcap"}, []string{"odd[1].pcap", "late.pcap", "empty.pcap"}},
		{[]string{"late.pcap", "day", "./late.pcap", "day/m*"}, []string{
			"day/deep/one.cap", "day/early.pcap", "day/mid.cap", "day/same.cap", "late.pcap", "day/broken.cap"}},
	} {
		got, err := Expand(c.patterns)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Expand(%q) = %q, %v; want %q", c.patterns, got, err, c.want)
		}
	}
	for _, pattern := range []string{"nothing*", "missing.pcap", "void", "[", ""} {
		if got, err := Expand([]string{"late.pcap", pattern}); err == nil || !strings.Contains(err.Error(), `"`+pattern+`"`) {
			t.Errorf("Expand(%q) = %q, %v; want an error that names it", pattern, got, err)
		}
	}
}

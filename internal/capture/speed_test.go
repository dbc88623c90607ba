package capture

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"testing"

	"bellwether/internal/packet"
)

// TestNoAllocations reads and decodes frames of every format.
func TestNoAllocations(t *testing.T) {
	frames := sample(4000)
	plain, _ := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, frames)
	ng, _ := ngFile(binary.BigEndian, frames)
	for name, b := range map[string][]byte{"pcap": plain, "pcapng": ng, "gzip": gzipped(t, plain), "zstd": zstandard(t, ng)} {
		f, err := NewReader(bytes.NewReader(b), name)
		if err != nil {
			t.Fatal(err)
		}
		var fr Frame
		var p packet.Packet
		allocs := testing.AllocsPerRun(3000, func() {
			if err := f.Next(&fr); err != nil {
				t.Fatal(err)
			}
			packet.Decode(fr.Link, fr.Data, &p)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations per frame, want 0", name, allocs)
		}
	}
}

// TestHostileLength gives a block that announces 16 MiB and holds nothing: the
// buffer must not grow for it.
func TestHostileLength(t *testing.T) {
	b := append(section(binary.LittleEndian), words(binary.LittleEndian, 99, maxBlock, 0)...)
	f, err := NewReader(bytes.NewReader(b), "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, f); err == nil {
		t.Error("no error")
	}
	if got := len(f.src.buf); got > 2*readAhead {
		t.Errorf("the buffer has %d bytes", got)
	}
}

func BenchmarkNextDecode(b *testing.B) {
	frames := sample(10_000)
	plain, _ := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, frames)
	ng, _ := ngFile(binary.LittleEndian, frames)
	for _, c := range []struct {
		name string
		b    []byte
	}{{"pcap", plain}, {"pcapng", ng}, {"pcap+gzip", gzipped(b, plain)}, {"pcap+zstd", zstandard(b, plain)}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(plain) / len(frames)))
			benchmarkNext(b, c.b)
		})
	}
}

// BenchmarkMadea reads a real capture, from memory.
func BenchmarkMadea(b *testing.B) {
	data, err := os.ReadFile(needCorpus(b, "madea/training/training_2023-5-25_23_15_41.cap"))
	if err != nil {
		b.Fatal(err)
	}
	benchmarkNext(b, data)
}

// benchmarkNext reads b.N frames, starting again at the end.
func benchmarkNext(b *testing.B, data []byte) {
	b.ReportAllocs()
	var f *File
	var fr Frame
	var p packet.Packet
	err := io.EOF
	for range b.N {
		if err != nil {
			if f, err = NewReader(bytes.NewReader(data), "benchmark"); err != nil {
				b.Fatal(err)
			}
		}
		if err = f.Next(&fr); err == nil {
			packet.Decode(fr.Link, fr.Data, &p)
		}
	}
}

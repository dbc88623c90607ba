package store

import (
	"path/filepath"
	"strconv"
	"testing"

	"bellwether/internal/zone"
)

func BenchmarkAppend(b *testing.B) {
	rows := newHome(1).rows(8192)
	dir := b.TempDir()
	var seg Segment
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		s := mustOpen(b, filepath.Join(dir, strconv.Itoa(i)), testOptions())
		b.StartTimer()
		seg = mustAppend(b, s, rows)
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(seg.Bytes)/8192, "bytes/row")
}

func BenchmarkRows(b *testing.B) {
	s := mustOpen(b, b.TempDir(), testOptions())
	mustAppend(b, s, newHome(1).rows(8192))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range s.Rows(b.Context(), 0, 0, zone.MAC{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 8192 {
			b.Fatal(n)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	s := mustOpen(b, b.TempDir(), testOptions())
	seg := mustAppend(b, s, newHome(1).rows(8192))
	b.SetBytes(seg.Bytes)
	for b.Loop() {
		if found := mustVerify(b, s); len(found) > 0 {
			b.Fatal(found)
		}
	}
}

func BenchmarkProve(b *testing.B) {
	s := mustOpen(b, b.TempDir(), testOptions())
	mustAppend(b, s, newHome(1).rows(8192))
	for b.Loop() {
		if _, err := s.Prove(4000); err != nil {
			b.Fatal(err)
		}
	}
}

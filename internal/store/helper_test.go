package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"bellwether/internal/zone"
)

func testOptions() Options {
	o := Options{Zone: "house"}
	for i := range o.Names {
		o.Names[i] = fmt.Sprintf("feature_%03d", i)
	}
	return o
}

// home makes up packets of six devices whose features are damped statistics of
// their lengths, as a gateway would compute them.
type home struct {
	rng   *rand.Rand
	now   float64
	seq   zone.SeqID
	stats [6]device
}

type device struct {
	last float64
	sums [5][3]float64
}

func newHome(seed uint64) *home { return &home{rng: rand.New(rand.NewPCG(seed, 1))} }

func (h *home) rows(n int) []zone.Snapshot {
	rows := make([]zone.Snapshot, n)
	for i := range rows {
		rows[i] = h.next()
	}
	return rows
}

func (h *home) next() zone.Snapshot {
	lengths := []uint32{60, 66, 74, 90, 342, 590, 1514, 1514}
	h.now += h.rng.ExpFloat64() * 0.2
	h.seq++
	d := h.rng.IntN(len(h.stats))
	s := zone.Snapshot{
		Seq: h.seq, Time: zone.Time(1684974000e9 + h.now*1e9), Packet: uint64(h.seq) * 3,
		Device: zone.MAC{0x64, 0x16, 0x66, 0, 0, byte(d)}, SrcMAC: zone.MAC{0x64, 0x16, 0x66, 0, 0, byte(d)}, DstMAC: zone.MAC{0xb8, 0x27, 0xeb, 1, 2, 3},
		Src: netip.AddrFrom4([4]byte{192, 168, 1, byte(10 + d)}), Dst: netip.AddrFrom4([4]byte{52, 1, 2, byte(h.rng.IntN(9))}),
		Proto: 6, SrcPort: uint16(40000 + h.rng.IntN(20)), DstPort: 443, TCPFlags: 0x18, Length: lengths[h.rng.IntN(len(lengths))],
		Score: 0.01 * h.rng.ExpFloat64(), Label: zone.Normal,
	}
	h.features(&s, &h.stats[d])
	return s
}

func (h *home) features(s *zone.Snapshot, d *device) {
	length := float64(s.Length)
	for i, lambda := range []float64{5, 3, 1, 0.1, 0.01} {
		decay := math.Exp2(-lambda * (h.now - d.last))
		x := &d.sums[i]
		x[0], x[1], x[2] = x[0]*decay+1, x[1]*decay+length, x[2]*decay+length*length
		mean := x[1] / x[0]
		variance := math.Abs(x[2]/x[0] - mean*mean)
		for j := range 23 {
			shift := 1 + float64(j/6)*h.rng.Float64()
			s.Features[23*i+j] = float32([]float64{x[0], mean, variance, math.Sqrt(variance), mean * 1.41, 0}[j%6] * shift)
		}
	}
	d.last = h.now
}

func mustOpen(tb testing.TB, dir string, o Options) *Store {
	tb.Helper()
	s, err := Open(dir, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func mustAppend(tb testing.TB, s *Store, rows []zone.Snapshot) Segment {
	tb.Helper()
	seg, err := s.Append(rows)
	if err != nil {
		tb.Fatal(err)
	}
	return seg
}

func mustVerify(tb testing.TB, s *Store) []Finding {
	tb.Helper()
	found, err := s.Verify(tb.Context(), nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

func wantClean(tb testing.TB, s *Store) {
	tb.Helper()
	for _, f := range mustVerify(tb, s) {
		tb.Errorf("finding in a sound store: %v", f)
	}
}

// collect reads all rows and fails on an error.
func collect(tb testing.TB, s *Store, from, to zone.SeqID, device zone.MAC) []zone.Snapshot {
	tb.Helper()
	var rows []zone.Snapshot
	for r, err := range s.Rows(tb.Context(), from, to, device) {
		if err != nil {
			tb.Fatal(err)
		}
		rows = append(rows, *r)
	}
	return rows
}

// wantSame compares rows bit by bit.
func wantSame(tb testing.TB, got, want []zone.Snapshot) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("got %d rows, want %d", len(got), len(want))
	}
	for i := range want {
		g, w := got[i], want[i]
		for j := range w.Features {
			if a, b := math.Float32bits(g.Features[j]), math.Float32bits(w.Features[j]); a != b {
				tb.Fatalf("SEQ %d: feature %d has the bits %08x, want %08x", w.Seq, j, a, b)
			}
		}
		if a, b := math.Float64bits(g.Score), math.Float64bits(w.Score); a != b && !(math.IsNaN(g.Score) && math.IsNaN(w.Score)) {
			tb.Fatalf("SEQ %d: score has the bits %016x, want %016x", w.Seq, a, b)
		}
		g.Features, w.Features, g.Score, w.Score = [zone.Features]float32{}, [zone.Features]float32{}, 0, 0
		if g != w {
			tb.Fatalf("got %+v, want %+v", g, w)
		}
	}
}

func readFile(tb testing.TB, dir, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func writeFile(tb testing.TB, dir, name string, b []byte) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

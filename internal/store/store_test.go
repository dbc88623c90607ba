package store

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"bellwether/internal/zone"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// oddRows are rows with every value that is awkward to keep.
func oddRows(rng *rand.Rand, first zone.SeqID, n int) []zone.Snapshot {
	addrs := []netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("192.168.1.9"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:10.0.0.1"), netip.IPv6Unspecified(), netip.MustParseAddr("fe80::1%eth0")}
	floats := []uint32{0, 1 << 31, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff, 1, 0x7f7fffff}
	scores := []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64, math.MaxFloat64}
	rows := make([]zone.Snapshot, n)
	for i := range rows {
		s := &rows[i]
		*s = zone.Snapshot{
			Seq: first + zone.SeqID(i), Time: zone.Time(rng.Uint64()), Device: zone.MAC{2, 0, 0, 0, 0, byte(rng.IntN(4))}, Packet: rng.Uint64(),
			Src: addrs[rng.IntN(len(addrs))], Dst: addrs[rng.IntN(len(addrs))],
			Proto: uint16(rng.Uint32()), SrcPort: uint16(rng.Uint32()), DstPort: uint16(rng.Uint32()), TCPFlags: uint8(rng.Uint32()), Length: rng.Uint32(),
			Score: scores[rng.IntN(len(scores))], Label: zone.Label(rng.IntN(3)),
		}
		for j := range s.SrcMAC {
			s.SrcMAC[j], s.DstMAC[j] = byte(rng.Uint32()), byte(rng.Uint32())
		}
		for j := range s.Features {
			s.Features[j] = math.Float32frombits(rng.Uint32())
			if rng.IntN(2) == 0 {
				s.Features[j] = math.Float32frombits(floats[rng.IntN(len(floats))])
			}
		}
	}
	return rows
}

func TestRowsComeBackBitByBit(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, testOptions())
	rng := rand.New(rand.NewPCG(7, 7))
	var want []zone.Snapshot
	for _, n := range []int{1, 2, 3, 8, 9, 100, 1031, 4096} {
		rows := oddRows(rng, s.Last()+1, n)
		mustAppend(t, s, rows)
		want = append(want, rows...)
	}
	wantSame(t, collect(t, s, 0, 0, zone.MAC{}), want)
	s.Close()
	s = mustOpen(t, dir, testOptions())
	wantSame(t, collect(t, s, 0, 0, zone.MAC{}), want)
	wantSame(t, collect(t, s, 3, 200, zone.MAC{}), want[2:200])
	device := zone.MAC{2, 0, 0, 0, 0, 1}
	of := slices.DeleteFunc(slices.Clone(want), func(r zone.Snapshot) bool { return r.Device != device })
	wantSame(t, collect(t, s, 0, 0, device), of)
	wantClean(t, s)
}

func TestBytesDependOnRowsAlone(t *testing.T) {
	rows := newHome(3).rows(3000)
	var files [2][]byte
	for i := range files {
		dir := t.TempDir()
		s := mustOpen(t, dir, testOptions())
		files[i] = readFile(t, dir, mustAppend(t, s, rows).File)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the same rows gave different files")
	}
}

func TestAppendAgain(t *testing.T) {
	s := mustOpen(t, t.TempDir(), testOptions())
	rows := newHome(1).rows(30)
	first := mustAppend(t, s, rows[:10])
	mustAppend(t, s, rows[10:20])
	if again := mustAppend(t, s, rows[:10]); again.SHA256 != first.SHA256 || again.Number != 1 {
		t.Errorf("appending once more gave %+v, want %+v", again, first)
	}
	changed := slices.Clone(rows)
	changed[12].Length++
	for _, c := range []struct {
		name string
		rows []zone.Snapshot
		seq  zone.SeqID
	}{
		{"other content", changed[10:20], 13},
		{"shorter", rows[:9], 10},
		{"longer", rows[10:21], 21},
		{"begins within", rows[12:20], 13},
		{"across", rows[5:15], 6},
	} {
		_, err := s.Append(c.rows)
		var diverged *DivergedError
		if !errors.As(err, &diverged) || diverged.Seq != c.seq {
			t.Errorf("%s: got %v, want a divergence at SEQ %d", c.name, err, c.seq)
		}
	}
	if _, err := s.Append(rows[21:]); err == nil {
		t.Error("a gap was accepted")
	}
	if _, err := s.Append(append(slices.Clone(rows[20:25]), rows[26:]...)); err == nil {
		t.Error("a gap within the rows was accepted")
	}
	if _, err := s.Append(nil); err == nil {
		t.Error("no rows were accepted")
	}
	if _, err := s.Append(make([]zone.Snapshot, MaxRows+1)); err == nil {
		t.Error("too many rows were accepted")
	}
	if s.Last() != 20 || len(s.Segments()) != 2 {
		t.Errorf("the store ends at SEQ %d with %d segments, want 20 and 2", s.Last(), len(s.Segments()))
	}
	wantClean(t, s)
}

func TestProofs(t *testing.T) {
	s := mustOpen(t, t.TempDir(), testOptions())
	h := newHome(5)
	var seqs []zone.SeqID
	for _, n := range []int{1, 2, 7, 64, 333} {
		mustAppend(t, s, h.rows(n))
	}
	for seq := s.Last(); seq > 0; seq-- {
		seqs = append(seqs, seq)
	}
	proofs, err := s.ProveAll(seqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range proofs {
		path := make([][]byte, len(p.Path))
		for j := range path {
			path[j] = p.Path[j][:]
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(p.Snapshot.AppendCanonical(nil))
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, p.Range.Rows, leaf, path, p.Range.Root[:]); err != nil {
			t.Fatalf("SEQ %d: %v", seqs[i], err)
		}
		if p.Snapshot.Seq != seqs[i] || p.Range.Device != p.Snapshot.Device {
			t.Fatalf("asked for SEQ %d, got %d", seqs[i], p.Snapshot.Seq)
		}
	}
	for _, seq := range []zone.SeqID{0, s.Last() + 1} {
		if _, err := s.Prove(seq); err == nil {
			t.Errorf("SEQ %d was proved", seq)
		}
	}
}

func TestSummarise(t *testing.T) {
	rows := newHome(5).rows(500)
	rows[3].Label, rows[4].Label = zone.Malicious, zone.Unjudged
	var total, normal, malicious, unjudged uint64
	ranges := Summarise(rows)
	for i, r := range ranges {
		total, normal, malicious, unjudged = total+r.Rows, normal+r.Normal, malicious+r.Malicious, unjudged+r.Unjudged
		if i > 0 && !ranges[i-1].Device.Less(r.Device) {
			t.Error("ranges are not by address")
		}
	}
	if total != 500 || normal != 498 || malicious != 1 || unjudged != 1 {
		t.Errorf("got %d rows, %d normal, %d malicious, %d unjudged", total, normal, malicious, unjudged)
	}
}

func TestReceipts(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, testOptions())
	h := newHome(2)
	for range 3 {
		mustAppend(t, s, h.rows(100))
	}
	var receipts []Receipt
	for seg, r := range s.Unreceipted {
		receipts = append(receipts, Receipt{seg.Number, r.Device, zone.HID{byte(seg.Number), r.Device[5]}, uint64(len(receipts) / 4), uint32(len(receipts) % 4)})
	}
	if len(receipts) != 18 {
		t.Fatalf("%d ranges without receipt, want 18", len(receipts))
	}
	if err := s.AddReceipts(append(receipts[:10:10], receipts[4])); err != nil {
		t.Fatal(err)
	}
	if err := s.AddReceipts(receipts); err != nil {
		t.Fatal(err)
	}
	bad := receipts[0]
	bad.Block++
	for name, r := range map[string]Receipt{"changed": bad, "other place": {2, receipts[0].Device, receipts[0].ID, 0, 0}, "no segment": {4, receipts[0].Device, zone.HID{9}, 0, 0}, "no device": {1, zone.MAC{9}, zone.HID{9}, 0, 0}} {
		if err := s.AddReceipts([]Receipt{r}); err == nil {
			t.Errorf("%s: receipt was accepted", name)
		}
	}
	s.Close()
	s = mustOpen(t, dir, testOptions())
	if got := s.Receipts(); !slices.Equal(got, receipts) {
		t.Errorf("got %v, want %v", got, receipts)
	}
	for _, want := range receipts {
		seg, r, ok := s.RangeOf(want.ID)
		if !ok || seg.Number != want.Segment || r.Device != want.Device {
			t.Fatalf("RangeOf(%s) = segment %d, %s", want.ID.Short(), seg.Number, r.Device)
		}
		if got, ok := s.ReceiptFor(r.Last, r.Device); !ok || got != want {
			t.Fatalf("ReceiptFor(%d) = %v, want %v", r.Last, got, want)
		}
	}
	wantClean(t, s)
}

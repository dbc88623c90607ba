package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/zone"

	"github.com/parquet-go/parquet-go/format"
)

// smallStore has a few segments, receipts and a removed segment.
func smallStore(tb testing.TB, dir string) []zone.Snapshot {
	tb.Helper()
	o := testOptions()
	o.MaxBytes = 1
	s := mustOpen(tb, dir, o)
	rows := newHome(11).rows(900)
	mustAppend(tb, s, rows[:100])
	mustAppend(tb, s, rows[100:200])
	if _, err := s.Retain(0); err != nil {
		tb.Fatal(err)
	}
	mustAppend(tb, s, rows[200:500])
	mustAppend(tb, s, rows[500:])
	var receipts []Receipt
	for seg, r := range s.Unreceipted {
		receipts = append(receipts, Receipt{Segment: seg.Number, Device: r.Device, ID: zone.HID{byte(seg.Number), r.Device[5]}})
	}
	if err := s.AddReceipts(receipts); err != nil {
		tb.Fatal(err)
	}
	wantClean(tb, s)
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	return rows
}

// TestEveryFlipIsFound changes one byte at a time, anywhere in the store, and
// wants a finding in that file that says where.
func TestEveryFlipIsFound(t *testing.T) {
	dir := t.TempDir()
	smallStore(t, dir)
	names := []string{ManifestFile, segmentFile(2), segmentFile(3), segmentFile(4)}
	rng := rand.New(rand.NewPCG(1, 2))
	o := testOptions()
	o.ReadOnly = true
	for i := range 300 {
		name := names[i%len(names)]
		sound := readFile(t, dir, name)
		at := rng.IntN(len(sound))
		if i < 4*8 {
			at = len(sound) - 1 - i/4 // the footer's length and the magic behind it
		}
		bad := bytes.Clone(sound)
		bad[at] ^= byte(1 + rng.IntN(255))
		writeFile(t, dir, name, bad)
		s, err := Open(dir, o)
		if err != nil {
			t.Fatalf("%s, byte %d: %v", name, at, err)
		}
		found := mustVerify(t, s)
		if !slices.ContainsFunc(found, func(f Finding) bool { return located(f, name, int64(at)) }) {
			t.Errorf("%s, byte %d: not located by %v", name, at, found)
		}
		if name != ManifestFile && slices.ContainsFunc(found, func(f Finding) bool { return f.File != name }) {
			t.Errorf("%s, byte %d: %v", name, at, found)
		}
		s.Close()
		writeFile(t, dir, name, sound)
	}
	wantClean(t, mustOpen(t, dir, o))
}

// located reports that a finding is for the byte: in a segment by its block, in
// the manifest by the record that starts at or before it.
func located(f Finding, name string, at int64) bool {
	if f.File != name || f.Offset < 0 {
		return false
	}
	return name == ManifestFile && f.Offset <= at || f.Offset <= at && at < f.Offset+blockBytes
}

func TestDamagedManifestIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	rows := smallStore(t, dir)
	b := readFile(t, dir, ManifestFile)
	b[len(b)/2] ^= 1
	writeFile(t, dir, ManifestFile, b)
	s := mustOpen(t, dir, testOptions())
	if s.Damage() == nil {
		t.Fatal("the damage was not noticed")
	}
	if _, err := s.Append(newHome(1).rows(1)); !errors.Is(err, s.Damage()) {
		t.Errorf("Append: %v", err)
	}
	if err := s.AddReceipts(nil); !errors.Is(err, s.Damage()) {
		t.Errorf("AddReceipts: %v", err)
	}
	if _, err := s.Retain(0); !errors.Is(err, s.Damage()) {
		t.Errorf("Retain: %v", err)
	}
	if found := mustVerify(t, s); len(found) == 0 {
		t.Error("Verify finds nothing")
	}
	if _, err := os.Stat(filepath.Join(dir, segmentFile(4))); err != nil {
		t.Errorf("a segment is gone: %v", err)
	}
	wantSame(t, collect(t, s, 101, 200, zone.MAC{}), rows[100:200])
}

func TestManifestShortOfRecords(t *testing.T) {
	for name, cut := range map[string]func(b []byte) []byte{
		"missing":      nil,
		"ends earlier": func(b []byte) []byte { return b[:bytes.Index(b, []byte("BJR\x01\x00\x00\x00\x00\x00\x00\x00\x02"))] },
	} {
		dir := t.TempDir()
		smallStore(t, dir)
		if cut == nil {
			os.Remove(filepath.Join(dir, ManifestFile))
		} else {
			writeFile(t, dir, ManifestFile, cut(readFile(t, dir, ManifestFile)))
		}
		s := mustOpen(t, dir, testOptions())
		if _, err := s.Append(newHome(11).rows(10)); err == nil {
			t.Errorf("%s: rows were appended", name)
		}
		if found := mustVerify(t, s); len(found) < 2 {
			t.Errorf("%s: found only %v", name, found)
		}
		for n := uint64(2); n <= 4; n++ {
			if _, err := os.Stat(filepath.Join(dir, segmentFile(n))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestMissingAndStrangeFiles(t *testing.T) {
	dir := t.TempDir()
	smallStore(t, dir)
	os.Remove(filepath.Join(dir, segmentFile(3)))
	b := readFile(t, dir, segmentFile(4))
	writeFile(t, dir, segmentFile(4), b[:len(b)-100])
	writeFile(t, dir, "notes.txt", []byte("hello"))
	writeFile(t, dir, segmentFile(1), []byte("back from a copy"))
	o := testOptions()
	o.ReadOnly = true
	s := mustOpen(t, dir, o)
	found := mustVerify(t, s)
	for _, name := range []string{segmentFile(1), segmentFile(3), segmentFile(4), "notes.txt"} {
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.File == name }) {
			t.Errorf("nothing found on %s: %v", name, found)
		}
	}
	for _, seq := range []zone.SeqID{300, 600} {
		if _, err := s.Prove(seq); err == nil {
			t.Errorf("SEQ %d was read", seq)
		}
	}
}

// rewrite replaces a segment by a whole new Parquet file with changed rows.
func rewrite(t *testing.T, dir string, number uint64, change func([]row)) {
	t.Helper()
	cols := columns(testOptions().Names)
	c, err := decode(readFile(t, dir, segmentFile(number)), cols)
	if err != nil {
		t.Fatal(err)
	}
	change(c.rows)
	b, err := encodeSegment(c.rows, cols, "house")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, segmentFile(number), b)
}

func TestTamperedRowIsNamed(t *testing.T) {
	dir := t.TempDir()
	smallStore(t, dir)
	rewrite(t, dir, 3, func(rows []row) { rows[41].Label = zone.Malicious })
	rewrite(t, dir, 4, func(rows []row) {
		rows[7].Features[3]++
		rows[7].hash = rows[7].LeafHash()
	})
	o := testOptions()
	o.ReadOnly = true
	s := mustOpen(t, dir, o)
	found := mustVerify(t, s)
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Segment == 3 && f.Row == 242 }) {
		t.Errorf("SEQ 242 is not named: %v", found)
	}
	if !slices.ContainsFunc(found, func(f Finding) bool {
		return f.Segment == 4 && strings.Contains(f.Reason, "together with their hashes")
	}) {
		t.Errorf("the forged hash is not reported: %v", found)
	}
	for _, err := range s.Rows(t.Context(), 201, 900, zone.MAC{}) {
		var damage *DamageError
		if !errors.As(err, &damage) {
			t.Errorf("reading a changed segment gave %v", err)
		}
	}
}

func TestLedgerKnowsBetter(t *testing.T) {
	dir := t.TempDir()
	smallStore(t, dir)
	s := mustOpen(t, dir, testOptions())
	target := s.Segments()[0].Ranges[2]
	roots := func(seg Segment, r Range) (zone.Hash, bool) {
		if seg.Number == 1 && r.Device == target.Device {
			return zone.Hash{1}, true
		}
		return r.Root, seg.Number != 2
	}
	calls := 0
	found, err := s.Verify(t.Context(), roots, func(done, total int) { calls++ })
	if err != nil || len(found) != 1 || found[0].Row != target.First {
		t.Errorf("got %v, %v", found, err)
	}
	if calls != 4 {
		t.Errorf("progress was told %d times, want 4", calls)
	}
}

// TestEveryColumnIsCovered makes sure that a flip at the end of any column
// is told with the name of that column.
func TestEveryColumnIsCovered(t *testing.T) {
	cols := columns(testOptions().Names)
	b, err := encodeSegment(hashed(newHome(4).rows(500)), cols, "house")
	if err != nil {
		t.Fatal(err)
	}
	meta, _, err := footer(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(meta.RowGroups[0].Columns); got != len(cols) {
		t.Fatalf("%d columns, want %d", got, len(cols))
	}
	for i := range cols {
		m := &meta.RowGroups[0].Columns[i].MetaData
		checkFlaw(t, b, cols, m)
	}
}

func checkFlaw(t *testing.T, b []byte, cols []column, m *format.ColumnMetaData) {
	t.Helper()
	_, to := chunkSpan(m)
	bad := bytes.Clone(b)
	bad[to-1] ^= 0x10
	name := m.PathInSchema[0]
	c, err := decode(bad, cols)
	if err != nil {
		t.Fatalf("column %s: %v", name, err)
	}
	if len(c.flaws) == 0 || c.flaws[0].column != name {
		t.Errorf("column %s: flaws %v", name, c.flaws)
	}
}

// TestVerifyBesideWriter wants no finding while another store object on the
// same directory appends and removes.
func TestVerifyBesideWriter(t *testing.T) {
	dir := t.TempDir()
	o := testOptions()
	o.MaxBytes = 300_000
	s := mustOpen(t, dir, o)
	mustAppend(t, s, newHome(8).rows(50))
	done := make(chan error)
	go func() {
		h := newHome(8)
		h.rows(50)
		for range 60 {
			_, err := s.Append(h.rows(50))
			if err == nil {
				_, err = s.Retain(0)
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for runs := 0; ; runs++ {
		wantClean(t, s)
		select {
		case err := <-done:
			if err != nil || runs == 0 {
				t.Errorf("after %d runs: %v", runs, err)
			}
			return
		default:
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, testOptions())
	mustAppend(t, s, newHome(1).rows(5))
	s.Close()
	for name, change := range map[string]func(*Options){
		"other zone":    func(o *Options) { o.Zone = "office" },
		"no name":       func(o *Options) { o.Names[4] = "" },
		"name twice":    func(o *Options) { o.Names[4] = o.Names[5] },
		"name of ours":  func(o *Options) { o.Names[4] = "score" },
		"negative age":  func(o *Options) { o.MaxAge = -1 },
		"negative size": func(o *Options) { o.MaxBytes = -1 },
	} {
		o := testOptions()
		change(&o)
		if s, err := Open(dir, o); err == nil {
			s.Close()
			t.Errorf("%s: accepted", name)
		}
	}
	o := testOptions()
	o.ReadOnly = true
	if _, err := Open(filepath.Join(dir, "nowhere"), o); err == nil {
		t.Error("a store that is not there was opened for reading")
	}
	o.Names[4] = "other"
	for _, err := range mustOpen(t, dir, o).Rows(t.Context(), 0, 0, zone.MAC{}) {
		if err == nil || !strings.Contains(err.Error(), "no column other") {
			t.Errorf("other feature names: %v", err)
		}
	}
}

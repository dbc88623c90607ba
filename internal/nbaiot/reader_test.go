package nbaiot

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/feature"
	"bellwether/internal/zone"
)

// column numbers, from 0, in the header.
func at(tb testing.TB, name string) int {
	tb.Helper()
	names := feature.Names()
	c := slices.Index(names[:], name)
	if c < 0 {
		tb.Fatalf("there is no column %s", name)
	}
	return c
}

// TestReaderRefuses: one clear error for everything that is no row, with file,
// row and column.
func TestReaderRefuses(t *testing.T) {
	jitter, weight, pcc, mean := at(t, "HH_jit_L1_mean"), at(t, "MI_dir_L3_weight"), at(t, "HpHp_L0.01_pcc"), at(t, "H_L5_mean")
	swapped := strings.Replace(header(), "H_L5_weight,H_L5_mean", "H_L5_mean,H_L5_weight", 1)
	for _, c := range []struct {
		name, table string
		want        []string
	}{
		{"empty", "", []string{"t.csv", "header", "empty"}},
		{"swapped columns", swapped, []string{"header", "column 16", "H_L5_weight", "115 columns"}},
		{"few columns", "MI_dir_L5_weight,MI_dir_L5_mean\n1,2\n", []string{"header", "2 columns"}},
		{"more columns", strings.TrimSpace(header()) + ",label\n", []string{"header", "116 columns"}},
		{"a capture", "\xd4\xc3\xb2\xa1\x02\x00\n", []string{"header", "column 1"}},
		{"long line", strings.Repeat("x", maxLine+1), []string{"header", "8192 bytes"}},
		{"few fields", header() + "1,2\n", []string{"row 1", "2 fields, want 115"}},
		{"cut", text(2, 1) + "3,3,3", []string{"row 3", "3 fields", "not downloaded to its end"}},
		{"empty line", text(2, 1) + "\n" + text(1, 1), []string{"row 3", "1 fields"}},
		{"NaN", with(pcc, "nan"), []string{"row 1", "column 115 (HpHp_L0.01_pcc)", "not a finite"}},
		{"infinite", with(pcc, "-inf"), []string{"row 1", "column 115", "not a finite"}},
		{"overflow", with(pcc, "1e999"), []string{"row 1", "column 115", "not a number"}},
		{"beyond float32", with(pcc, "-1e39"), []string{"column 115", "out of range"}},
		{"text", with(mean, "benign"), []string{"row 1", "column 17 (H_L5_mean)", `"benign" is not a number`}},
		{"negative weight", with(weight, "-1"), []string{"column 4 (MI_dir_L3_weight)", "negative"}},
		{"milliseconds", with(jitter, "1505661693000"), []string{"column 73 (HH_jit_L1_mean)", "no time in seconds"}},
		{"time elsewhere", with(weight, "1505661693"), []string{"column 4", "Unix time", "shifted"}},
		{"frame too long", with(mean, "300000"), []string{"column 17", "out of range"}},
	} {
		_, err := readAll(c.table)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range append(c.want, "t.csv") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, err, want)
			}
		}
	}
}

// readAll reads a table from memory.
func readAll(table string) ([][zone.Features]float32, error) {
	r, err := NewReader(strings.NewReader(table), "t.csv")
	if err != nil {
		return nil, err
	}
	var rows [][zone.Features]float32
	for {
		var row [zone.Features]float32
		if err := r.Read(&row); err != nil {
			if err == io.EOF {
				err = nil
			}
			return rows, err
		}
		rows = append(rows, row)
	}
}

// TestReaderTakes what is unusual and right: other line ends, a mark at the
// start, a last line without end, genuine correlations beyond 1.
func TestReaderTakes(t *testing.T) {
	for name, table := range map[string]string{
		"CRLF":     strings.ReplaceAll(text(3, 1), "\n", "\r\n"),
		"mark":     "\ufeff" + text(3, 1),
		"no end":   strings.TrimSuffix(text(3, 1), "\n"),
		"blanks":   strings.ReplaceAll(text(3, 1), ",", ", "),
		"exponent": header() + strings.Repeat(strings.Repeat("1e0,", 114)+"-1.59\n", 3),
	} {
		if rows, err := readAll(table); err != nil || len(rows) != 3 || rows[0][0] != 1 {
			t.Errorf("%s: %d rows, %v", name, len(rows), err)
		}
	}
}

func TestRawTimes(t *testing.T) {
	fields := slices.Repeat([]string{"1"}, feature.Count)
	for _, rate := range []string{"5", "3", "1", "0.1", "0.01"} {
		fields[at(t, "HH_jit_L"+rate+"_mean")] = "1505661693.25"
	}
	start := strings.Join(fields, ",") + "\n"
	fields[at(t, "HH_jit_L5_mean")] = "7.3e8"
	mixed := strings.Join(fields, ",") + "\n"
	r, err := NewReader(strings.NewReader(text(1, 1)+start+mixed), "t.csv")
	if err != nil {
		t.Fatal(err)
	}
	var row [zone.Features]float32
	for i, want := range []struct {
		raw   int
		start float64
	}{{0, 0}, {1, 1505661693.25}, {2, 0}} {
		if err := r.Read(&row); err != nil {
			t.Fatal(err)
		}
		if s, ok := r.Start(); r.RawTimes() != want.raw || s != want.start || ok != (want.start > 0) {
			t.Errorf("row %d: %d raw times, start %v %v; want %+v", i+1, r.RawTimes(), s, ok, want)
		}
	}
	if row[at(t, "HH_jit_L5_mean")] != 7.3e8 {
		t.Errorf("a published value came out as %v", row[at(t, "HH_jit_L5_mean")])
	}
}

func TestIgnoreJitter(t *testing.T) {
	r, err := NewReader(strings.NewReader(text(1, 4)), "t.csv")
	if err != nil {
		t.Fatal(err)
	}
	r.IgnoreJitter()
	var row [zone.Features]float32
	if err := r.Read(&row); err != nil {
		t.Fatal(err)
	}
	for c, name := range feature.Names() {
		want := float32(4)
		if strings.HasPrefix(name, "HH_jit") {
			want = 0
		}
		if row[c] != want {
			t.Errorf("%s is %v, want %v", name, row[c], want)
		}
	}
}

func TestLoadLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	writeFile(t, path, []byte(strings.TrimSuffix(text(9, 1), "\n")))
	rows, err := Table{Path: path}.Load(t.Context(), 4, false)
	if err != nil || len(rows.Values) != 4 || rows.Cut {
		t.Errorf("4 rows asked for: %d, cut %v, %v", len(rows.Values), rows.Cut, err)
	}
	if rows, err = (Table{Path: path}).Load(t.Context(), 0, false); err != nil || len(rows.Values) != 9 || !rows.Cut {
		t.Errorf("all asked for: %d, cut %v, %v", len(rows.Values), rows.Cut, err)
	}
	writeFile(t, path, []byte(header()))
	if _, err = (Table{Path: path}).Load(t.Context(), 0, false); err == nil || !strings.Contains(err.Error(), "behind its header") {
		t.Errorf("a table without rows: %v", err)
	}
}

func TestClock(t *testing.T) {
	var c Clock
	for _, row := range []struct {
		at    float64
		known bool
	}{{1000, true}, {0, false}, {0, false}, {1003, true}, {900, true}, {1013, true}} {
		c.Add(row.at, row.known)
	}
	want := []zone.Time{1000e9, 1001e9, 1002e9, 1003e9, 1008e9, 1013e9}
	if got := c.Times(); !slices.Equal(got, want) {
		t.Errorf("times %v, want %v", got, want)
	}
	for range 100 {
		c.Add(0, false)
	}
	if got := c.Times(); got != nil {
		t.Errorf("100 rows behind the last time have times, up to %v", got[len(got)-1])
	}
	if got := new(Clock).Times(); got != nil {
		t.Errorf("no rows have times %v", got)
	}
}

// genuine gives a file of published rows that is at hand.
func genuine(t *testing.T, name string) Table {
	t.Helper()
	path := filepath.Join("../../../shared/data/nbaiot/genuine_rows", name)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s", path)
		}
		t.Skipf("no %s", path)
	}
	return Table{Path: path}
}

// TestGenuine reads published rows. The doorbell contacts no new host after the
// 58th of its benign rows: there, only the first ones have times.
func TestGenuine(t *testing.T) {
	for _, c := range []struct {
		file     string
		limit    int
		raw      int
		first    float32
		timed    bool
		from, to float64
	}{
		{"danmini_doorbell.benign.first299.csv", 0, 62, 60, false, 0, 0},
		{"danmini_doorbell.benign.first299.csv", 58, 52, 60, true, 1505661693, 1505661900},
		{"danmini_doorbell.gafgyt_scan.first299.csv", 0, 298, 98, true, 1505912776, 1505912796},
	} {
		rows, err := genuine(t, c.file).Load(t.Context(), c.limit, false)
		if err != nil {
			t.Fatal(err)
		}
		n := len(rows.Values)
		if (c.limit == 0 && n != 299) || rows.Values[0][1] != c.first || rows.RawTimes != c.raw {
			t.Errorf("%s: %d rows, first mean %v, %d raw times; want %v, %d", c.file, n, rows.Values[0][1], rows.RawTimes, c.first, c.raw)
		}
		if (rows.Times != nil) != c.timed || !slices.IsSorted(rows.Times) {
			t.Errorf("%s: %d times", c.file, len(rows.Times))
		}
		if !c.timed || rows.Times == nil {
			continue
		}
		if from, to := rows.Times[0].Seconds(), rows.Times[n-1].Seconds(); math.Abs(from-c.from) > 1 || to > c.to {
			t.Errorf("%s: times from %.1f to %.1f, want from %.0f to at most %.0f", c.file, from, to, c.from, c.to)
		}
	}
}

// FuzzReader: no text makes the reader panic, or give a row that its own
// columns refuse.
func FuzzReader(f *testing.F) {
	f.Add(text(2, 1))
	f.Add(with(3, "-1"))
	f.Add(with(72, "1505661693"))
	f.Add(strings.TrimSuffix(text(1, 1e3), "\n"))
	f.Add(header() + strings.Repeat("0x1p-2,", 114) + "1_0\n")
	f.Add("\ufeff" + header() + "\n\n,,,")
	f.Fuzz(func(t *testing.T, table string) {
		rows, _ := readAll(table)
		known := columns()
		for i := range rows {
			for c, v := range rows[i] {
				if what := known[c].refuse(float64(v)); what != "" {
					t.Fatalf("row %d, column %d: %v was read and %s", i+1, c+1, v, what)
				}
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	table := text(1000, 1234.56789)
	b.SetBytes(int64(len(table)))
	for b.Loop() {
		if _, err := readAll(table); err != nil {
			b.Fatal(err)
		}
	}
}

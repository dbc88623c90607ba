package store

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bellwether/internal/zone"

	"github.com/parquet-go/parquet-go"
)

func each(rows []zone.Snapshot, last error) iter.Seq2[*zone.Snapshot, error] {
	return func(yield func(*zone.Snapshot, error) bool) {
		for i := range rows {
			if !yield(&rows[i], nil) {
				return
			}
		}
		if last != nil {
			yield(nil, last)
		}
	}
}

func mustExport(t *testing.T, rows []zone.Snapshot, format string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	n, err := Export(&b, each(rows, nil), testOptions().Names, format)
	if err != nil || n != len(rows) {
		t.Fatalf("%s: %d rows, %v", format, n, err)
	}
	return &b
}

func TestExportParquet(t *testing.T) {
	rows := oddRows(rand.New(rand.NewPCG(1, 1)), 1, tableRows+77)
	c, err := decode(mustExport(t, rows, "parquet").Bytes(), columns(testOptions().Names))
	if err != nil || len(c.flaws) > 0 {
		t.Fatal(err, c)
	}
	got := make([]zone.Snapshot, len(c.rows))
	for i := range c.rows {
		got[i] = c.rows[i].Snapshot
	}
	wantSame(t, got, rows)
}

func TestExportCSV(t *testing.T) {
	rows := oddRows(rand.New(rand.NewPCG(1, 1)), 1, 300)
	records, err := csv.NewReader(mustExport(t, rows, "csv")).ReadAll()
	if err != nil || len(records) != len(rows)+1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	at := func(i int, name string) string { return records[i+1][slices.Index(records[0], name)] }
	for i, r := range rows {
		x, err := strconv.ParseFloat(at(i, "feature_007"), 32)
		if want := r.Features[7]; err != nil || float32(x) != want && want == want {
			t.Fatalf("row %d: feature %v, want %v, %v", i, x, want, err)
		}
		if got := at(i, "packet"); got != strconv.FormatUint(r.Packet, 10) {
			t.Fatalf("row %d: packet %s, want %d", i, got, r.Packet)
		}
		if got, want := at(i, "score") == "", math.IsNaN(r.Score); got != want {
			t.Fatalf("row %d: score %q for %v", i, at(i, "score"), r.Score)
		}
		if at(i, "hash") != r.LeafHash().String() || at(i, "time") != r.Time.String() || at(i, "device") != r.Device.String() {
			t.Fatalf("row %d: %v", i, records[i+1])
		}
	}
}

func TestExportJSONL(t *testing.T) {
	rows := oddRows(rand.New(rand.NewPCG(1, 1)), 1, 300)
	lines := strings.Split(strings.TrimSuffix(mustExport(t, rows, "jsonl").String(), "\n"), "\n")
	if len(lines) != len(rows) {
		t.Fatalf("%d lines, want %d", len(lines), len(rows))
	}
	for i, line := range lines {
		var got struct {
			Seq    zone.SeqID `json:"seq"`
			Label  string     `json:"label"`
			SrcIP  *string    `json:"src_ip"`
			Score  any        `json:"score"`
			Length uint32     `json:"length"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("line %d: %v in %s", i, err, line)
		}
		r := rows[i]
		if got.Seq != r.Seq || got.Label != r.Label.String() || got.Length != r.Length || (got.SrcIP == nil) == r.Src.IsValid() || (got.Score == nil) != math.IsNaN(r.Score) {
			t.Fatalf("line %d: %+v for %+v", i, got, r)
		}
	}
}

func TestExportFails(t *testing.T) {
	var b bytes.Buffer
	if _, err := Export(&b, each(nil, nil), testOptions().Names, "xml"); err == nil {
		t.Error("an unknown format was accepted")
	}
	broken := errors.New("broken")
	if n, err := Export(&b, each(newHome(1).rows(3), broken), testOptions().Names, "csv"); !errors.Is(err, broken) {
		t.Errorf("%d rows, %v", n, err)
	}
	for _, format := range []string{"csv", "jsonl", "parquet"} {
		if _, err := Export(full{}, each(newHome(1).rows(3000), nil), testOptions().Names, format); !errors.Is(err, errFull) {
			t.Errorf("%s on a full disk: %v", format, err)
		}
	}
}

var errFull = errors.New("disk full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	rows := make([][]float64, 2*tableRows+11)
	for i := range rows {
		rows[i] = []float64{math.Float64frombits(rng.Uint64()), rng.NormFloat64(), float64(i)}
	}
	for format, read := range map[string]func(*testing.T, []byte) [][]float64{"csv": readCSV, "parquet": readParquet} {
		var b bytes.Buffer
		table, err := NewTable(&b, []string{"a", "b,c", "d"}, format)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if err := table.Write(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.Write(rows[0][:2]); err == nil {
			t.Errorf("%s: a short row was accepted", format)
		}
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
		got := read(t, b.Bytes())
		if len(got) != len(rows) {
			t.Fatalf("%s: %d rows, want %d", format, len(got), len(rows))
		}
		for i := range rows {
			for j, want := range rows[i] {
				if got[i][j] != want && want == want {
					t.Fatalf("%s: row %d, column %d: %v, want %v", format, i, j, got[i][j], want)
				}
			}
		}
	}
}

func readCSV(t *testing.T, b []byte) (rows [][]float64) {
	records, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || records[0][1] != "b,c" {
		t.Fatal(records[0], err)
	}
	for _, r := range records[1:] {
		var row []float64
		for _, cell := range r {
			x, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, x)
		}
		rows = append(rows, row)
	}
	return rows
}

func readParquet(t *testing.T, b []byte) (rows [][]float64) {
	r := parquet.NewGenericReader[any](bytes.NewReader(b))
	buf := make([]parquet.Row, 100)
	for {
		n, err := r.ReadRows(buf)
		for _, row := range buf[:n] {
			rows = append(rows, []float64{row[0].Double(), row[1].Double(), row[2].Double()})
		}
		if err != nil {
			return rows
		}
	}
}

func TestTableRefuses(t *testing.T) {
	for _, names := range [][]string{nil, {"a", "a"}, {""}} {
		if _, err := NewTable(&bytes.Buffer{}, names, "csv"); err == nil {
			t.Errorf("columns %q were accepted", names)
		}
	}
	if _, err := NewTable(&bytes.Buffer{}, []string{"a"}, "xlsx"); err == nil {
		t.Error("an unknown format was accepted")
	}
}

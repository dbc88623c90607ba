package store

import (
	"bufio"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"

	"bellwether/internal/zone"

	"github.com/parquet-go/parquet-go"
)

// Export writes rows in the format "csv", "jsonl" or "parquet", with the
// columns of a segment named by names, and gives how many it wrote. Rows may
// come from any store and in any order; at most 4096 are held at a time.
//
// Times are RFC 3339 with nanoseconds, hashes hexadecimal, floats in the
// shortest form that reads back as the same value. What is null in a segment is
// empty in CSV and null in JSON; JSON has NaN and infinities as strings.
func Export(w io.Writer, rows iter.Seq2[*zone.Snapshot, error], names [zone.Features]string, format string) (int, error) {
	cols, err := checkOptions(Options{Names: names})
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	var out exporter
	switch format {
	case "csv":
		out = newCSV(w, cols)
	case "jsonl":
		out = &jsonRows{out: bufio.NewWriterSize(w, 1<<16), cols: cols}
	case "parquet":
		out = newEncoder(w, cols, nil)
	default:
		return 0, fmt.Errorf("export: there is no format %q, use csv, jsonl or parquet", format)
	}
	n, err := export(out, rows)
	if err != nil {
		return n, fmt.Errorf("export: after %d rows: %w", n, err)
	}
	return n, nil
}

// exporter takes rows in batches.
type exporter interface {
	write([]row) error
	close() error
}

func export(out exporter, rows iter.Seq2[*zone.Snapshot, error]) (n int, err error) {
	batch := make([]row, 0, tableRows)
	for r, err := range rows {
		if err != nil {
			return n, err
		}
		batch = append(batch, row{Snapshot: *r, hash: r.LeafHash()})
		if len(batch) < tableRows {
			continue
		}
		if err := out.write(batch); err != nil {
			return n, err
		}
		n, batch = n+len(batch), batch[:0]
	}
	if len(batch) > 0 {
		if err := out.write(batch); err != nil {
			return n, err
		}
	}
	return n + len(batch), out.close()
}

// csvRows writes rows as CSV (RFC 4180) with a header.
type csvRows struct {
	out   *csv.Writer
	cols  []column
	cells []string
}

func newCSV(w io.Writer, cols []column) *csvRows {
	c := &csvRows{out: csv.NewWriter(w), cols: cols, cells: make([]string, len(cols))}
	for i := range cols {
		c.cells[i] = cols[i].name
	}
	c.out.Write(c.cells) // an error stays with the writer and shows at close
	return c
}

func (c *csvRows) write(rows []row) error {
	for i := range rows {
		for j := range c.cols {
			c.cells[j], _ = c.cols[j].text(&rows[i])
		}
		if err := c.out.Write(c.cells); err != nil {
			return err
		}
	}
	return nil
}

func (c *csvRows) close() error {
	c.out.Flush()
	return c.out.Error()
}

// jsonRows writes each row as one line of JSON, an object.
type jsonRows struct {
	out  *bufio.Writer
	cols []column
	line []byte
}

func (j *jsonRows) write(rows []row) error {
	for i := range rows {
		j.line = j.line[:0]
		for k := range j.cols {
			j.line = append(j.line, "{,"[min(k, 1)])
			j.line = appendJSON(j.line, j.cols[k].name)
			j.line = append(j.line, ':')
			switch text, kind := j.cols[k].text(&rows[i]); kind {
			case absent:
				j.line = append(j.line, "null"...)
			case number:
				j.line = append(j.line, text...)
			default:
				j.line = appendJSON(j.line, text)
			}
		}
		if _, err := j.out.Write(append(j.line, "}\n"...)); err != nil {
			return err
		}
	}
	return nil
}

func (j *jsonRows) close() error { return j.out.Flush() }

func appendJSON(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string has no way to fail
	return append(b, quoted...)
}

// form is what the text of a cell is.
type form int

const (
	absent form = iota
	number
	word
)

// text gives a row's cell as text.
func (c *column) text(r *row) (string, form) {
	v := c.value(r)
	if v.IsNull() {
		return "", absent
	}
	if l := c.node.Type().LogicalType(); l != nil && l.Timestamp != nil {
		return zone.Time(v.Int64()).String(), word
	}
	switch v.Kind() {
	case parquet.Int32:
		return strconv.FormatUint(uint64(v.Uint32()), 10), number
	case parquet.Int64:
		return strconv.FormatUint(v.Uint64(), 10), number
	case parquet.Float:
		return float(float64(v.Float()), 32)
	case parquet.Double:
		return float(v.Double(), 64)
	case parquet.FixedLenByteArray:
		return hex.EncodeToString(v.ByteArray()), word
	}
	return string(v.ByteArray()), word
}

// float gives the shortest text that reads back as the same value.
func float(x float64, bits int) (string, form) {
	s := strconv.FormatFloat(x, 'g', -1, bits)
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return s, word
	}
	return s, number
}

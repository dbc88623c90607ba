package nbaiot

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"bellwether/internal/feature"
	"bellwether/internal/zone"
)

// maxLine is the longest line that is read, in bytes; 115 numbers of 25 digits
// are not half of it.
const maxLine = 8192

// Reader streams the rows of one table. Make one with Table.Open or NewReader.
type Reader struct {
	name    string
	lines   *bufio.Scanner
	columns [feature.Count]column
	jitter  []int // the columns that IgnoreJitter empties
	closer  io.Closer
	row     int
	raw     int
	start   float64
	ignore  bool
	cut     bool // the last line had no end
}

// NewReader reads the header of a table; name is what errors call it. Every
// column must be that of the data set, in its order.
func NewReader(text io.Reader, name string) (*Reader, error) {
	r := &Reader{name: name, columns: columns()}
	for c := range r.columns {
		if r.columns[c].jitter {
			r.jitter = append(r.jitter, c)
		}
	}
	r.lines = bufio.NewScanner(text)
	r.lines.Buffer(make([]byte, 4096), maxLine)
	r.lines.Split(r.split)
	if !r.lines.Scan() {
		return nil, r.ended("header", "it is empty")
	}
	return r, r.header(strings.TrimPrefix(r.lines.Text(), "\ufeff"))
}

// split is bufio.ScanLines, and notes a last line without an end.
func (r *Reader) split(data []byte, atEOF bool) (int, []byte, error) {
	advance, token, err := bufio.ScanLines(data, atEOF)
	if advance > 0 && data[advance-1] != '\n' {
		r.cut = true
	}
	return advance, token, err
}

// header holds the first line against the names.
func (r *Reader) header(line string) error {
	names := strings.Split(line, ",")
	for c, want := range feature.Names() {
		if c >= len(names) {
			break
		}
		if got := strings.TrimSpace(names[c]); got != want {
			return fmt.Errorf("%s, header, column %d: it is %.40q, want %q: these are not the 115 columns of N-BaIoT",
				r.name, c+1, got, want)
		}
	}
	if len(names) != feature.Count {
		return fmt.Errorf("%s, header: %d columns, want the %d of N-BaIoT", r.name, len(names), feature.Count)
	}
	return nil
}

// IgnoreJitter makes every HH_jit value 0 from the next row on.
func (r *Reader) IgnoreJitter() { r.ignore = true }

// RawTimes counts the rows read so far in which an HH_jit mean was a raw Unix
// time or mixed with one: longer than any gap can be.
func (r *Reader) RawTimes() int { return r.raw }

// Rows counts the rows read so far.
func (r *Reader) Rows() int { return r.row }

// Start gives the Unix time in seconds of the last row, when that row is the
// first packet of its channel and so holds its own time; ok is false otherwise.
func (r *Reader) Start() (seconds float64, ok bool) { return r.start, r.start > 0 }

// Read fills row with the next row's features, and gives io.EOF behind the last.
// After any other error reading cannot go on.
func (r *Reader) Read(row *[zone.Features]float32) error {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return r.ended(fmt.Sprintf("row %d", r.row+1), "")
		}
		return io.EOF
	}
	r.row++
	if err := r.parse(r.lines.Text(), row); err != nil {
		return err
	}
	if r.ignore {
		for _, c := range r.jitter {
			row[c] = 0
		}
	}
	return nil
}

// parse reads one line.
func (r *Reader) parse(line string, row *[zone.Features]float32) error {
	r.start = 0
	fields := strings.Count(line, ",") + 1
	if fields != len(row) {
		return r.fields(fields)
	}
	var values [feature.Count]float64
	for c := range values {
		text, rest, _ := strings.Cut(line, ",")
		line = rest
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return r.wrong(c, fmt.Sprintf("%.40q is not a number", text))
		}
		if what := r.columns[c].refuse(v); what != "" {
			return r.wrong(c, fmt.Sprintf("%.40s %s", strings.TrimSpace(text), what))
		}
		values[c], row[c] = v, float32(v)
	}
	r.times(&values)
	return nil
}

// fields says why a row of another length is refused.
func (r *Reader) fields(n int) error {
	err := fmt.Errorf("%s, row %d: %d fields, want %d", r.name, r.row, n, feature.Count)
	if r.cut {
		err = fmt.Errorf("%w: the file ends in the middle of a row, it was not downloaded to its end", err)
	}
	return err
}

func (r *Reader) wrong(c int, what string) error {
	return fmt.Errorf("%s, row %d, column %d (%s): %s", r.name, r.row, c+1, r.columns[c].name, what)
}

// ended says why there is no next line.
func (r *Reader) ended(where, otherwise string) error {
	err := r.lines.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%s, %s: longer than %d bytes: this is not a table of N-BaIoT", r.name, where, maxLine)
	case err != nil:
		return fmt.Errorf("%s, %s: %w", r.name, where, err)
	}
	return fmt.Errorf("%s, %s: %s", r.name, where, otherwise)
}

// Close closes what Open opened.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

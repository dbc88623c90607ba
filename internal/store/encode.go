package store

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

const (
	// MaxRows is the largest number of rows of one segment.
	MaxRows = 16384

	createdBy = "bellwether"
	// pageBytes is over what a column of MaxRows rows needs, so that a segment
	// has one page for each column.
	pageBytes = 1 << 20
)

// encoder writes rows as one Parquet file, one row group for each call of
// write. The bytes depend on the rows and the metadata alone.
type encoder struct {
	cols   []column
	file   *parquet.GenericWriter[any]
	values []parquet.Value
}

func newEncoder(w io.Writer, cols []column, metadata map[string]string) *encoder {
	return &encoder{cols: cols, file: parquet.NewGenericWriter[any](w, writerConfig("snapshot", cols, metadata))}
}

// write adds a row group.
func (e *encoder) write(rows []row) error {
	for i, w := range e.file.ColumnWriters() {
		e.values = e.values[:0]
		optional := e.cols[i].node.Optional()
		for j := range rows {
			v := e.cols[i].value(&rows[j])
			if optional && !v.IsNull() {
				v = v.Level(0, 1, i)
			}
			e.values = append(e.values, v)
		}
		if _, err := w.WriteRowValues(e.values); err != nil {
			return fmt.Errorf("encode column %s: %w", e.cols[i].name, err)
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("encode column %s: %w", e.cols[i].name, err)
		}
	}
	return e.file.Flush()
}

func (e *encoder) close() error { return e.file.Close() }

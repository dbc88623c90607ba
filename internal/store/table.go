package store

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// tableRows is how many rows a Table holds before it writes them: a row group.
const tableRows = 4096

// Table writes rows of numbers under named columns, one by one, as CSV or as
// Parquet with DOUBLE columns. It holds a bounded number of them.
type Table struct {
	columns int
	write   func(row []float64) error
	close   func() error
}

// NewTable begins a table in the format "csv" or "parquet". CSV has a header
// and numbers in the shortest form that reads back as the same float64.
func NewTable(w io.Writer, names []string, format string) (*Table, error) {
	seen := map[string]bool{"": true}
	for _, name := range names {
		if seen[name] {
			return nil, fmt.Errorf("table: the column name %q is empty or taken twice", name)
		}
		seen[name] = true
	}
	if len(names) == 0 {
		return nil, errors.New("table: there are no columns")
	}
	switch format {
	case "csv":
		return csvTable(w, names)
	case "parquet":
		return parquetTable(w, names), nil
	}
	return nil, fmt.Errorf("table: there is no format %q, use csv or parquet", format)
}

// Write adds a row: as many numbers as there are columns.
func (t *Table) Write(row []float64) error {
	if len(row) != t.columns {
		return fmt.Errorf("table: a row of %d numbers for %d columns", len(row), t.columns)
	}
	if err := t.write(row); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	return nil
}

// Close writes what is still held; the io.Writer stays open.
func (t *Table) Close() error {
	if err := t.close(); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	return nil
}

func csvTable(w io.Writer, names []string) (*Table, error) {
	head := csv.NewWriter(w)
	if err := head.Write(names); err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	if head.Flush(); head.Error() != nil {
		return nil, fmt.Errorf("table: %w", head.Error())
	}
	out := bufio.NewWriterSize(w, 1<<16)
	var line []byte
	write := func(row []float64) error {
		line = line[:0]
		for i, x := range row {
			if i > 0 {
				line = append(line, ',')
			}
			line = strconv.AppendFloat(line, x, 'g', -1, 64)
		}
		_, err := out.Write(append(line, '\n'))
		return err
	}
	return &Table{columns: len(names), write: write, close: out.Flush}, nil
}

// parquetRows gathers rows, column by column, for the next row group.
type parquetRows struct {
	file    *parquet.GenericWriter[any]
	columns [][]parquet.Value
}

func parquetTable(w io.Writer, names []string) *Table {
	cols := make([]column, len(names))
	p := &parquetRows{columns: make([][]parquet.Value, len(names))}
	for i, name := range names {
		cols[i] = column{name: name, node: plain(parquet.Leaf(parquet.DoubleType))}
		p.columns[i] = make([]parquet.Value, 0, tableRows)
	}
	p.file = parquet.NewGenericWriter[any](w, writerConfig("features", cols, nil))
	return &Table{columns: len(names), write: p.write, close: p.close}
}

func (p *parquetRows) write(row []float64) error {
	for i, x := range row {
		p.columns[i] = append(p.columns[i], parquet.DoubleValue(x))
	}
	if len(p.columns[0]) < tableRows {
		return nil
	}
	return p.flush()
}

// flush writes what is gathered as a row group.
func (p *parquetRows) flush() error {
	for i, w := range p.file.ColumnWriters() {
		if _, err := w.WriteRowValues(p.columns[i]); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		p.columns[i] = p.columns[i][:0]
	}
	return p.file.Flush()
}

func (p *parquetRows) close() error {
	if len(p.columns[0]) > 0 {
		if err := p.flush(); err != nil {
			return err
		}
	}
	return p.file.Close()
}

// writerConfig is how every Parquet file here is written.
func writerConfig(name string, cols []column, metadata map[string]string) *parquet.WriterConfig {
	return &parquet.WriterConfig{
		Schema:           newSchema(name, cols),
		CreatedBy:        createdBy,
		KeyValueMetadata: metadata,
		Compression:      &zstd.Codec{Level: zstd.SpeedDefault},
		PageBufferSize:   pageBytes,
		DataPageVersion:  1,
	}
}

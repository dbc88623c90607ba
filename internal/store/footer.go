package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/parquet-go/parquet-go/format"
)

const (
	parquetMagic = "PAR1"
	// tailBytes is the footer's length and the magic behind it.
	tailBytes = 8
	// maxFooter bounds the metadata of a file: ours takes about 50 KiB.
	maxFooter = 1 << 19
)

// footer finds the metadata of a Parquet file: at is where it begins.
func footer(b []byte) (meta *format.FileMetaData, at int, err error) {
	if len(b) < len(parquetMagic)+tailBytes || string(b[:4]) != parquetMagic || string(b[len(b)-4:]) != parquetMagic {
		return nil, 0, errors.New("this is no Parquet file: it does not begin and end with " + parquetMagic)
	}
	size := int64(binary.LittleEndian.Uint32(b[len(b)-tailBytes:]))
	if size > maxFooter || size > int64(len(b)-tailBytes-len(parquetMagic)) {
		return nil, 0, fmt.Errorf("the footer's length of %d bytes is impossible", size)
	}
	at = len(b) - tailBytes - int(size)
	meta = new(format.FileMetaData)
	n, err := unmarshal(b[at:len(b)-tailBytes], meta)
	if err != nil {
		return nil, 0, fmt.Errorf("footer: %w", err)
	}
	if n != int(size) {
		return nil, 0, fmt.Errorf("footer: %d bytes too many", int(size)-n)
	}
	return meta, at, checkRowCounts(meta)
}

func checkRowCounts(meta *format.FileMetaData) error {
	var total int64
	for _, g := range meta.RowGroups {
		if g.NumRows < 0 || g.NumRows > MaxRows || total > MaxRows {
			return fmt.Errorf("footer: a row group of %d rows, the limit is %d", g.NumRows, MaxRows)
		}
		if len(g.Columns) != len(meta.Schema)-1 {
			return fmt.Errorf("footer: a row group has %d columns, the schema %d", len(g.Columns), len(meta.Schema)-1)
		}
		total += g.NumRows
	}
	if total != meta.NumRows || total > MaxRows {
		return fmt.Errorf("footer: the file says %d rows, its row groups %d; the limit is %d", meta.NumRows, total, MaxRows)
	}
	return nil
}

// findColumn gives the place of a column among the file's columns.
func findColumn(meta *format.FileMetaData, c *column) (int, *format.SchemaElement, error) {
	for i := 1; i < len(meta.Schema); i++ {
		e := &meta.Schema[i]
		if e.Name != c.name {
			continue
		}
		if reason := mismatch(e, c); reason != "" {
			return 0, nil, fmt.Errorf("column %s is %s", c.name, reason)
		}
		return i - 1, e, nil
	}
	return 0, nil, fmt.Errorf("there is no column %s", c.name)
}

// mismatch says how a column's type differs from the one written. Required or
// optional is the file's choice, and so is a length that it does not declare,
// as other programs write tables.
func mismatch(e *format.SchemaElement, c *column) string {
	want := c.node.Type()
	kind := *want.PhysicalType()
	switch {
	case !e.Type.Valid || e.NumChildren.V > 0 || e.RepetitionType.V == format.Repeated:
		return "no plain column"
	case kind == format.FixedLenByteArray && e.Type.V == format.ByteArray:
		return ""
	case e.Type.V != kind:
		return fmt.Sprintf("of type %s, want %s", e.Type.V, kind)
	case kind == format.FixedLenByteArray && int(e.TypeLength.V) != want.Length():
		return fmt.Sprintf("of %d bytes, want %d", e.TypeLength.V, want.Length())
	}
	if l := want.LogicalType(); l != nil && (!e.LogicalType.Valid || !reflect.DeepEqual(e.LogicalType.V, *l)) {
		return fmt.Sprintf("not a %s", l)
	}
	return ""
}

package store

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// flaw is a part of a segment's bytes that cannot be read.
type flaw struct {
	offset     int64 // of the page's header in the file
	column     string
	first, end int // the rows that it hides, counted from 0
	reason     string
}

func (f *flaw) String() string {
	return fmt.Sprintf("column %s, page at byte %d, rows %d to %d: %s", f.column, f.offset, f.first, f.end-1, f.reason)
}

// maxFlaws bounds how many are listed of one file; further rows are only marked.
const maxFlaws = 200

// content is what a file's bytes hold.
type content struct {
	rows  []row
	flaws []flaw
	// whole tells for each row whether every column of it could be read.
	whole []bool
}

// decode reads the rows of a Parquet file that has at least the columns given,
// in any order. A page that cannot be read is a flaw; the error is for a file
// of which nothing can. Nothing that b says is believed unchecked: no input
// makes it panic or hold more than a small multiple of maxPage and MaxRows.
func decode(b []byte, cols []column) (*content, error) {
	meta, end, err := footer(b)
	if err != nil {
		return nil, err
	}
	d := &decoder{file: b[:end], meta: meta, values: make([]parquet.Value, 0, meta.NumRows)}
	if d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage)); err != nil {
		return nil, err
	}
	defer d.zstd.Close()
	d.out = &content{rows: make([]row, meta.NumRows), whole: make([]bool, meta.NumRows)}
	for i := range d.out.whole {
		d.out.whole[i] = true
	}
	for i := range cols {
		if err := d.column(&cols[i]); err != nil {
			return nil, err
		}
	}
	return d.out, nil
}

// decoder reads one file.
type decoder struct {
	file   []byte // up to the footer
	meta   *format.FileMetaData
	zstd   *zstd.Decoder
	out    *content
	values []parquet.Value
}

// column reads one column in all row groups.
func (d *decoder) column(c *column) error {
	i, e, err := findColumn(d.meta, c)
	if err != nil {
		return err
	}
	at := 0
	for _, g := range d.meta.RowGroups {
		ch := &chunk{meta: &g.Columns[i].MetaData, width: int(e.TypeLength.V), optional: e.RepetitionType.V == format.Optional, zstd: d.zstd}
		if ch.meta.Type != e.Type.V {
			return fmt.Errorf("column %s is of type %s in its chunk, %s in the schema", c.name, ch.meta.Type, e.Type.V)
		}
		d.chunk(c, ch, at, at+int(g.NumRows))
		at += int(g.NumRows)
	}
	return nil
}

// chunk reads the pages of one column chunk into rows first to end-1.
func (d *decoder) chunk(c *column, ch *chunk, first, end int) {
	from, _ := chunkSpan(ch.meta)
	size := ch.meta.TotalCompressedSize
	if from < 0 || size < 0 || from > int64(len(d.file)) || size > int64(len(d.file))-from {
		d.flaw(c, from, first, end, fmt.Errorf("%d bytes from byte %d on are not within the file", size, from))
		return
	}
	left := d.file[from : from+size]
	for at := first; at < end; {
		p, n, err := readPage(left, from)
		if err == nil && (p.count() < 0 || p.count() > end-at) {
			err = fmt.Errorf("a page of %d rows where %d are left", p.count(), end-at)
		}
		if err != nil {
			d.flaw(c, from, at, end, err)
			return
		}
		if err := d.page(c, ch, p, at); err != nil && p.Type == format.DictionaryPage {
			d.flaw(c, from, at, end, err)
			return
		} else if err != nil {
			d.flaw(c, from, at, at+p.count(), err)
		}
		left, from, at = left[n:], from+int64(n), at+p.count()
	}
}

// page reads one page into the rows from first on.
func (d *decoder) page(c *column, ch *chunk, p *page, first int) error {
	values, err := ch.values(d.values[:0], p)
	if err != nil {
		return err
	}
	d.values = values
	optional := c.node.Optional()
	for i, v := range values {
		err := error(nil)
		if v.IsNull() && !optional {
			err = fmt.Errorf("no value")
		} else {
			err = c.set(&d.out.rows[first+i], v)
		}
		if err != nil {
			d.flaw(c, p.offset, first+i, first+i+1, err)
		}
	}
	return nil
}

// flaw notes that rows first to end-1 cannot be read in one column.
func (d *decoder) flaw(c *column, offset int64, first, end int, err error) {
	if len(d.out.flaws) < maxFlaws {
		d.out.flaws = append(d.out.flaws, flaw{offset, c.name, first, end, err.Error()})
	}
	for i := first; i < end; i++ {
		d.out.whole[i] = false
	}
}

package store

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	codec "github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/format"
)

// TestDecodeAgainstLibrary reads the same file with an independent reader.
func TestDecodeAgainstLibrary(t *testing.T) {
	cols := columns(testOptions().Names)
	b, err := encodeSegment(hashed(oddRows(rand.New(rand.NewPCG(2, 2)), 1, 2000)), cols, "house")
	if err != nil {
		t.Fatal(err)
	}
	c, err := decode(b, cols)
	if err != nil || len(c.flaws) > 0 {
		t.Fatal(err, c)
	}
	file, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(file.RowGroups()); got != 1 {
		t.Fatalf("%d row groups, want 1", got)
	}
	rows := file.RowGroups()[0].Rows()
	defer rows.Close()
	buf := make([]parquet.Row, len(c.rows))
	if n, _ := rows.ReadRows(buf); n != len(c.rows) {
		t.Fatalf("%d rows, want %d", n, len(c.rows))
	}
	for i, r := range buf {
		for j, v := range r {
			if want := cols[j].value(&c.rows[i]); !parquet.Equal(v, want) && v.String() != want.String() {
				t.Fatalf("row %d, column %s: the library reads %v, want %v", i, cols[j].name, v, want)
			}
		}
	}
}

// TestDecodeOtherWriters reads what other programs make of the same table:
// other compression, pages of the second kind, many small pages.
func TestDecodeOtherWriters(t *testing.T) {
	cols := columns(testOptions().Names)
	rows := hashed(oddRows(rand.New(rand.NewPCG(2, 2)), 1, 2000))
	for name, config := range map[string]parquet.WriterConfig{
		"snappy":       {Compression: &parquet.Snappy, DataPageVersion: 1},
		"uncompressed": {Compression: &parquet.Uncompressed, DataPageVersion: 1},
		"second kind":  {Compression: codec.Codec(&parquet.Zstd), DataPageVersion: 2},
		"small pages":  {Compression: &parquet.Snappy, DataPageVersion: 2, PageBufferSize: 500},
	} {
		var b bytes.Buffer
		config.Schema = newSchema("other", cols)
		e := &encoder{cols: cols, file: parquet.NewGenericWriter[any](&b, &config)}
		for at := 0; at < len(rows); at += 500 {
			if err := e.write(rows[at : at+500]); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.close(); err != nil {
			t.Fatal(err)
		}
		c, err := decode(b.Bytes(), cols)
		if err != nil || len(c.flaws) > 0 {
			t.Fatal(name, err, c)
		}
		for i := range rows {
			if c.rows[i].hash != rows[i].hash || c.rows[i].LeafHash() != rows[i].hash {
				t.Fatalf("%s: row %d differs", name, i)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	cols := columns(testOptions().Names)
	few := append(cols[:9:9], cols[len(cols)-3:]...)
	for _, n := range []int{1, 20} {
		rows := hashed(oddRows(rand.New(rand.NewPCG(2, 2)), 1, n))
		for _, cols := range [][]column{few, cols} {
			b, err := encodeSegment(rows, cols, "house")
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(b, few)
		if (c == nil) != (err != nil) {
			t.Fatalf("content %v with error %v", c, err)
		}
		if err == nil && (len(c.rows) > MaxRows || len(c.whole) != len(c.rows) || len(c.flaws) > maxFlaws) {
			t.Fatalf("%d rows, %d marks, %d flaws", len(c.rows), len(c.whole), len(c.flaws))
		}
	})
}

// FuzzPage goes deeper: the page's header and checksum are made to fit.
func FuzzPage(f *testing.F) {
	cols := columns(testOptions().Names)
	b, err := encodeSegment(hashed(oddRows(rand.New(rand.NewPCG(2, 2)), 1, 50)), cols, "house")
	if err != nil {
		f.Fatal(err)
	}
	meta, _, err := footer(b)
	if err != nil {
		f.Fatal(err)
	}
	for _, g := range meta.RowGroups[0].Columns {
		m := &g.MetaData
		from, to := chunkSpan(m)
		f.Add(b[from:to], uint8(m.Type), uint8(m.Codec), uint8(50), m.NumValues > 0)
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, kind, compression, count uint8, optional bool) {
		ch := &chunk{meta: &format.ColumnMetaData{Type: format.Type(kind % 8), Codec: format.CompressionCodec(compression % 8)}, width: 32, optional: optional, zstd: z}
		for len(b) > 0 {
			p, n, err := readPage(b, 0)
			if err != nil || p.count() < 0 || p.count() > MaxRows {
				return
			}
			p.CRC = 0
			values, err := ch.values(nil, p)
			if err == nil && len(values) != p.count() && p.Type != format.DictionaryPage {
				t.Fatalf("%d values in a page of %d", len(values), p.count())
			}
			b = b[n:]
		}
	})
}

func FuzzRecord(f *testing.F) {
	rows := newHome(1).rows(30)
	for _, r := range []*record{
		{Head: &head{1, "house"}},
		{Filed: &filed{Number: 1, First: 1, Last: 30, Bytes: 5, Ranges: Summarise(rows), Blocks: []byte{1, 2, 3, 4}}},
		{Receipts: []Receipt{{Segment: 1, Device: rows[0].Device, Block: 3}}},
		{Removal: &removal{1, 7}},
	} {
		b, err := r.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		x := newIndex()
		if err := x.apply(&record{Head: &head{1, "house"}}); err != nil {
			t.Fatal(err)
		}
		if x.apply(r) != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeRecord(again); err != nil {
			t.Fatalf("%x does not come back: %v", again, err)
		}
	})
}

package store

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// maxPage bounds one decompressed page: MaxRows addresses as text take 1 MiB.
const maxPage = 4 << 20

// plainDictionary is the former name of format.RLEDictionary in data pages,
// which other programs still write.
const plainDictionary = format.Encoding(2)

// page is one page of a column chunk as it lies in the file.
type page struct {
	format.PageHeader
	offset int64 // of its header in the file
	body   []byte
}

// readPage reads the page that b begins with; offset is where that is. The
// length is that of header and body, also when only the body is damaged.
func readPage(b []byte, offset int64) (p *page, length int, err error) {
	p = &page{offset: offset}
	n, err := unmarshal(b, &p.PageHeader)
	if err != nil {
		return nil, 0, fmt.Errorf("page header: %w", err)
	}
	size := int64(p.CompressedPageSize)
	if size < 0 || size > int64(len(b)-n) || p.UncompressedPageSize < 0 || p.UncompressedPageSize > maxPage {
		return nil, 0, fmt.Errorf("page header: lengths of %d and %d bytes are impossible", size, p.UncompressedPageSize)
	}
	p.body = b[n : n+int(size)]
	return p, n + int(size), nil
}

// sound checks the page's CRC-32, which is not mandatory.
func (p *page) sound() error {
	if p.CRC != 0 && uint32(p.CRC) != crc32.ChecksumIEEE(p.body) {
		return errors.New("the page does not match its CRC-32")
	}
	return nil
}

// count gives the number of rows of a data page, 0 of any other.
func (p *page) count() int {
	switch p.Type {
	case format.DataPage:
		return int(p.DataPageHeader.V.NumValues)
	case format.DataPageV2:
		return int(p.DataPageHeaderV2.V.NumValues)
	}
	return 0
}

// encoding gives the encoding of the page's values.
func (p *page) encoding() format.Encoding {
	switch p.Type {
	case format.DataPage:
		return p.DataPageHeader.V.Encoding
	case format.DataPageV2:
		return p.DataPageHeaderV2.V.Encoding
	}
	return p.DictionaryPageHeader.V.Encoding
}

// chunk decodes the pages of one column within one row group.
type chunk struct {
	meta     *format.ColumnMetaData
	width    int // of a fixed-length value
	optional bool
	zstd     *zstd.Decoder
	dict     []parquet.Value
	indices  []uint32
}

// values appends the values of a page to dst: a dictionary page has none.
func (c *chunk) values(dst []parquet.Value, p *page) ([]parquet.Value, error) {
	if err := p.sound(); err != nil {
		return dst, err
	}
	if p.Type == format.DictionaryPage {
		return dst, c.dictionary(p)
	}
	levels, b, err := c.levels(p)
	if err != nil {
		return dst, err
	}
	if levels == nil {
		return c.decode(dst, b, p.encoding(), p.count())
	}
	present := 0
	for _, l := range levels {
		present += int(l)
	}
	got, err := c.decode(make([]parquet.Value, 0, present), b, p.encoding(), present)
	if err != nil {
		return dst, err
	}
	return withNulls(dst, got, levels), nil
}

// withNulls appends values to dst, with a null wherever the level is 0.
func withNulls(dst, values []parquet.Value, levels []uint32) []parquet.Value {
	for _, l := range levels {
		if l == 0 {
			dst = append(dst, parquet.NullValue())
			continue
		}
		dst, values = append(dst, values[0]), values[1:]
	}
	return dst
}

func (c *chunk) dictionary(p *page) error {
	b, err := c.decompress(p.body, int(p.UncompressedPageSize))
	if err != nil {
		return err
	}
	n := int(p.DictionaryPageHeader.V.NumValues)
	if n < 0 || n > MaxRows || c.dict != nil {
		return fmt.Errorf("a dictionary of %d values is not expected here", n)
	}
	c.dict, err = plainValues(make([]parquet.Value, 0, n), b, c.meta.Type, c.width, n)
	return err
}

// levels gives the definition levels of a page, nil for a column without
// nulls, and the bytes of its values.
func (c *chunk) levels(p *page) (levels []uint32, b []byte, err error) {
	if p.Type == format.DataPageV2 {
		return c.levelsV2(p)
	}
	if b, err = c.decompress(p.body, int(p.UncompressedPageSize)); err != nil || !c.optional {
		return nil, b, err
	}
	if len(b) < 4 {
		return nil, nil, errShort
	}
	size := uint64(littleEndian(b[:4]))
	if b = b[4:]; size > uint64(len(b)) {
		return nil, nil, errShort
	}
	levels, err = hybrid(make([]uint32, 0, p.count()), b[:size], 1, p.count())
	return levels, b[size:], err
}

// levelsV2 is levels for a page of the second kind, whose levels lie before the
// compressed bytes.
func (c *chunk) levelsV2(p *page) (levels []uint32, b []byte, err error) {
	h := &p.DataPageHeaderV2.V
	size := int(h.DefinitionLevelsByteLength)
	if h.RepetitionLevelsByteLength != 0 || size < 0 || size > len(p.body) || size > int(p.UncompressedPageSize) {
		return nil, nil, errShort
	}
	b = p.body[size:]
	if !h.IsCompressed.Valid || h.IsCompressed.V {
		if b, err = c.decompress(b, int(p.UncompressedPageSize)-size); err != nil {
			return nil, nil, err
		}
	}
	if c.optional {
		levels, err = hybrid(make([]uint32, 0, p.count()), p.body[:size], 1, p.count())
	}
	return levels, b, err
}

func (c *chunk) decompress(b []byte, size int) (out []byte, err error) {
	switch c.meta.Codec {
	case format.Uncompressed:
		out = b
	case format.Zstd:
		out, err = c.zstd.DecodeAll(b, make([]byte, 0, size))
	case format.Snappy:
		n, sizeErr := snappy.DecodedLen(b)
		if sizeErr != nil || n != size {
			return nil, fmt.Errorf("snappy: %d bytes for a page of %d", n, size)
		}
		out, err = snappy.Decode(nil, b)
	default:
		return nil, fmt.Errorf("compression %s is not read here", c.meta.Codec)
	}
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(out) != size {
		return nil, fmt.Errorf("the page has %d bytes, its header says %d", len(out), size)
	}
	return out, nil
}

func (c *chunk) decode(dst []parquet.Value, b []byte, e format.Encoding, n int) ([]parquet.Value, error) {
	switch e {
	case format.Plain:
		return plainValues(dst, b, c.meta.Type, c.width, n)
	case format.RLEDictionary, plainDictionary:
		return c.lookup(dst, b, n)
	}
	return nil, fmt.Errorf("encoding %s is not read here", e)
}

// lookup decodes n values that are indices into the dictionary.
func (c *chunk) lookup(dst []parquet.Value, b []byte, n int) (_ []parquet.Value, err error) {
	if n == 0 {
		return dst, nil
	}
	if len(b) == 0 {
		return nil, errShort
	}
	if c.indices, err = hybrid(c.indices[:0], b[1:], int(b[0]), n); err != nil {
		return nil, err
	}
	for _, i := range c.indices {
		if uint64(i) >= uint64(len(c.dict)) {
			return nil, fmt.Errorf("index %d into a dictionary of %d", i, len(c.dict))
		}
		dst = append(dst, c.dict[i])
	}
	return dst, nil
}

package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// errShort says that a page ends before its last value.
var errShort = errors.New("the page ends within its values")

// plainValues decodes n values of the PLAIN encoding. Byte slices alias b.
func plainValues(dst []parquet.Value, b []byte, kind format.Type, width, n int) ([]parquet.Value, error) {
	if kind == format.ByteArray {
		return plainStrings(dst, b, n)
	}
	if width = fixedWidth(kind, width); width <= 0 {
		return nil, fmt.Errorf("values of type %s are not read here", kind)
	}
	if len(b)/width < n {
		return nil, errShort
	}
	for i := range n {
		dst = append(dst, fixedValue(kind, b[i*width:(i+1)*width]))
	}
	return dst, nil
}

func plainStrings(dst []parquet.Value, b []byte, n int) ([]parquet.Value, error) {
	for range n {
		if len(b) < 4 {
			return nil, errShort
		}
		size := binary.LittleEndian.Uint32(b)
		if b = b[4:]; uint64(size) > uint64(len(b)) {
			return nil, errShort
		}
		dst, b = append(dst, parquet.ByteArrayValue(b[:size])), b[size:]
	}
	return dst, nil
}

func fixedWidth(kind format.Type, width int) int {
	switch kind {
	case format.Int32, format.Float:
		return 4
	case format.Int64, format.Double:
		return 8
	case format.FixedLenByteArray:
		return width
	}
	return 0
}

func fixedValue(kind format.Type, b []byte) parquet.Value {
	le := binary.LittleEndian
	switch kind {
	case format.Int32:
		return parquet.Int32Value(int32(le.Uint32(b)))
	case format.Float:
		return parquet.FloatValue(math.Float32frombits(le.Uint32(b)))
	case format.Int64:
		return parquet.Int64Value(int64(le.Uint64(b)))
	case format.Double:
		return parquet.DoubleValue(math.Float64frombits(le.Uint64(b)))
	}
	return parquet.FixedLenByteArrayValue(b)
}

// hybrid decodes n small integers of the RLE/bit-packing hybrid encoding
// (Encodings.md of the Parquet format, "RLE").
func hybrid(dst []uint32, b []byte, bits, n int) ([]uint32, error) {
	if bits < 0 || bits > 32 {
		return nil, fmt.Errorf("integers of %d bits", bits)
	}
	width := (bits + 7) / 8
	for len(dst) < n {
		h, k := binary.Uvarint(b)
		if k <= 0 {
			return nil, errShort
		}
		b = b[k:]
		left := uint64(n - len(dst))
		if h&1 == 0 { // a run of h>>1 times the same value
			if len(b) < width {
				return nil, errShort
			}
			v := littleEndian(b[:width])
			for range min(h>>1, left) {
				dst = append(dst, v)
			}
			b = b[width:]
			continue
		}
		var err error
		if dst, b, err = unpack(dst, b, bits, h>>1, left); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// unpack decodes groups of eight bit-packed values, left values at most.
func unpack(dst []uint32, b []byte, bits int, groups, left uint64) ([]uint32, []byte, error) {
	if bits > 0 && groups > uint64(len(b)/bits) {
		return nil, nil, errShort
	}
	if groups == 0 {
		return dst, b, nil
	}
	var acc uint64
	have, used := 0, 0
	for range min(groups, left/8+1) * 8 {
		for have < bits {
			acc |= uint64(b[used]) << have
			used, have = used+1, have+8
		}
		if left > 0 {
			dst, left = append(dst, uint32(acc&(1<<bits-1))), left-1
		}
		acc, have = acc>>bits, have-bits
	}
	if left == 0 {
		return dst, nil, nil
	}
	return dst, b[groups*uint64(bits):], nil
}

func littleEndian(b []byte) (v uint32) {
	for i, c := range b {
		v |= uint32(c) << (8 * i)
	}
	return v
}

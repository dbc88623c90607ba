package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

// errThrift is why metadata cannot be read.
var errThrift = errors.New("the metadata is not well-formed Thrift")

// maxDepth is over the nesting of any Parquet metadata.
const maxDepth = 12

// unmarshal decodes the Thrift compact struct that b begins with and gives its
// length. A general decoder believes the lengths it finds and allocates as much,
// so they are all checked against what is really there beforehand.
func unmarshal(b []byte, v any) (n int, err error) {
	s := skimmer{b: b}
	if !s.structure(0) {
		return 0, errThrift
	}
	n = len(b) - len(s.b)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errThrift, p)
		}
	}()
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), b[:n], v); err != nil {
		return 0, fmt.Errorf("%w: %w", errThrift, err)
	}
	return n, nil
}

// skimmer walks over one value of the Thrift compact protocol
// (thrift/doc/specs/thrift-compact-protocol.md); false means malformed.
type skimmer struct{ b []byte }

// The element types of the compact protocol.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftStruct = 12
)

// structure skips a struct: fields until a stop byte. A header's upper half is
// the field number's increase; 0 means that the number follows.
func (s *skimmer) structure(depth int) bool {
	for depth < maxDepth {
		h, ok := s.byte()
		if !ok || h == thriftStop {
			return ok
		}
		if h>>4 == 0 {
			if _, ok := s.varint(); !ok {
				return false
			}
		}
		if t := h & 15; t != thriftTrue && t != thriftFalse && !s.value(t, depth) {
			return false
		}
	}
	return false
}

// value skips one value that is no field of type bool.
func (s *skimmer) value(typ byte, depth int) bool {
	switch {
	case typ >= thriftTrue && typ <= thriftByte:
		return s.skip(1)
	case typ >= thriftI16 && typ <= thriftI64:
		_, ok := s.varint()
		return ok
	case typ == thriftDouble:
		return s.skip(8)
	case typ == thriftBinary:
		n, ok := s.varint()
		return ok && s.skip(n)
	case typ == thriftList || typ == thriftSet:
		return s.list(depth + 1)
	case typ == thriftStruct:
		return s.structure(depth + 1)
	}
	return false
}

// list skips a list. Each element takes a byte at least.
func (s *skimmer) list(depth int) bool {
	h, ok := s.byte()
	if !ok || depth >= maxDepth {
		return false
	}
	n := uint64(h >> 4)
	if n == 15 {
		if n, ok = s.varint(); !ok {
			return false
		}
	}
	if n > uint64(len(s.b)) {
		return false
	}
	for range n {
		if !s.value(h&15, depth) {
			return false
		}
	}
	return true
}

func (s *skimmer) byte() (byte, bool) {
	if len(s.b) == 0 {
		return 0, false
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c, true
}

func (s *skimmer) varint() (uint64, bool) {
	v, n := binary.Uvarint(s.b)
	if n <= 0 {
		return 0, false
	}
	s.b = s.b[n:]
	return v, true
}

func (s *skimmer) skip(n uint64) bool {
	if n > uint64(len(s.b)) {
		return false
	}
	s.b = s.b[n:]
	return true
}

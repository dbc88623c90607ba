// Package canonical encodes and decodes CBOR in core deterministic form (RFC 8949,
// section 4.2.1), in which every value has one encoding.
//
// Decoding is strict: no unknown or repeated keys, no indefinite lengths, no tags,
// the names of keys in their case. What decodes may still have been written in
// another form; [Decoder.Parse] takes the canonical bytes alone.
package canonical

import (
	"bytes"
	"errors"

	"github.com/fxamacker/cbor/v2"
)

// Raw is an encoded item within another.
type Raw = cbor.RawMessage

var (
	empty     = encoder(cbor.NilContainerAsEmpty)
	null      = encoder(cbor.NilContainerAsNull)
	unbounded = Bounds{}.Decoder()
)

func encoder(nils cbor.NilContainersMode) cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.NilContainers = nils
	m, err := o.EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}

// Marshal gives the encoding of v. A nil slice or map is an empty one, so that a
// null is never canonical.
func Marshal(v any) ([]byte, error) { return empty.Marshal(v) }

// MustMarshal is Marshal for what always has an encoding: numbers, texts, byte
// strings, and arrays and structs of these.
func MustMarshal(v any) []byte {
	raw, err := Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// MarshalNull is Marshal with null for a nil slice or map.
func MarshalNull(v any) ([]byte, error) { return null.Marshal(v) }

// Bounds limit what a decoder takes, before it makes room for it.
type Bounds struct {
	Nesting  int // levels of arrays and maps, from 4; 0: 32
	Pairs    int // of one map, from 16; 0: 131,072
	Elements int // of one array, from 16; 0: 131,072
}

// Decoder decodes within bounds.
type Decoder struct{ mode cbor.DecMode }

// Decoder gives the decoder within these bounds. Bounds are constants of the
// program: it panics if they are out of range.
func (b Bounds) Decoder() Decoder {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   b.Nesting,
		MaxMapPairs:       b.Pairs,
		MaxArrayElements:  b.Elements,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return Decoder{m}
}

// Parse reads exactly the bytes that Marshal gives of v, and nothing else. The
// result shares no memory with raw.
func (d Decoder) Parse(raw []byte, v any) error {
	if err := d.Unmarshal(raw, v); err != nil {
		return err
	}
	again, err := Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, raw) {
		return errors.New("not in canonical form")
	}
	return nil
}

// Unmarshal is Parse without a look at the form: for bytes that were held against
// it once, or that a checksum vouches for.
func (d Decoder) Unmarshal(raw []byte, v any) error { return d.mode.Unmarshal(raw, v) }

// Unmarshal is that of a decoder without narrower bounds, for files of one's own.
func Unmarshal(raw []byte, v any) error { return unbounded.Unmarshal(raw, v) }

package store

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"bellwether/internal/zone"

	"github.com/parquet-go/parquet-go"
)

// row is a snapshot with the leaf hash that is stored beside it.
type row struct {
	zone.Snapshot
	hash zone.Hash
}

// column is one column of the tables that hold snapshots: its place in the
// schema, and how a row's field becomes a value and comes back from one.
// A set function gets a null only where the column is optional.
type column struct {
	name  string
	node  parquet.Node
	value func(*row) parquet.Value
	set   func(*row, parquet.Value) error
}

// columns gives the columns in the order of the file; the features stand
// between length and score.
func columns(names [zone.Features]string) []column {
	cols := slices.Concat(whenColumns(), whoColumns(), whatColumns())
	for i, name := range names {
		cols = append(cols, featureColumn(name, i))
	}
	return append(cols, verdictColumns()...)
}

func whenColumns() []column {
	return []column{
		{"seq", plain(parquet.Uint(64)),
			func(r *row) parquet.Value { return parquet.Int64Value(int64(r.Seq)) },
			func(r *row, v parquet.Value) error { r.Seq = zone.SeqID(v.Uint64()); return nil }},
		{"time", plain(parquet.Timestamp(parquet.Nanosecond)),
			func(r *row) parquet.Value { return parquet.Int64Value(int64(r.Time)) },
			func(r *row, v parquet.Value) error { r.Time = zone.Time(v.Int64()); return nil }},
	}
}

func whoColumns() []column {
	return []column{
		macColumn("device", func(r *row) *zone.MAC { return &r.Device }),
		{"packet", plain(parquet.Uint(64)),
			func(r *row) parquet.Value { return parquet.Int64Value(int64(r.Packet)) },
			func(r *row, v parquet.Value) error { r.Packet = v.Uint64(); return nil }},
		macColumn("src_mac", func(r *row) *zone.MAC { return &r.SrcMAC }),
		macColumn("dst_mac", func(r *row) *zone.MAC { return &r.DstMAC }),
		addrColumn("src_ip", func(r *row) *netip.Addr { return &r.Src }),
		addrColumn("dst_ip", func(r *row) *netip.Addr { return &r.Dst }),
	}
}

func whatColumns() []column {
	return []column{
		uintColumn("proto", 16, func(r *row) *uint16 { return &r.Proto }),
		uintColumn("src_port", 16, func(r *row) *uint16 { return &r.SrcPort }),
		uintColumn("dst_port", 16, func(r *row) *uint16 { return &r.DstPort }),
		uintColumn("tcp_flags", 8, func(r *row) *uint8 { return &r.TCPFlags }),
		uintColumn("length", 32, func(r *row) *uint32 { return &r.Length }),
	}
}

func verdictColumns() []column {
	return []column{
		{"score", parquet.Optional(plain(parquet.Leaf(parquet.DoubleType))), scoreValue, setScore},
		{"label", dictionary(parquet.String()),
			func(r *row) parquet.Value { return parquet.ByteArrayValue([]byte(r.Label.String())) },
			setLabel},
		{"hash", parquet.Compressed(plain(parquet.Leaf(parquet.FixedLenByteArrayType(32))), &parquet.Uncompressed),
			func(r *row) parquet.Value { return parquet.FixedLenByteArrayValue(r.hash[:]) },
			setHash},
	}
}

func featureColumn(name string, i int) column {
	return column{name, plain(parquet.Leaf(parquet.FloatType)),
		func(r *row) parquet.Value { return parquet.FloatValue(r.Features[i]) },
		func(r *row, v parquet.Value) error { r.Features[i] = v.Float(); return nil }}
}

func macColumn(name string, field func(*row) *zone.MAC) column {
	return column{name, dictionary(parquet.String()),
		func(r *row) parquet.Value { return parquet.ByteArrayValue([]byte(field(r).String())) },
		func(r *row, v parquet.Value) error { return field(r).UnmarshalText(v.ByteArray()) }}
}

func addrColumn(name string, field func(*row) *netip.Addr) column {
	return column{name, parquet.Optional(dictionary(parquet.String())),
		func(r *row) parquet.Value {
			if a := field(r); a.IsValid() {
				return parquet.ByteArrayValue([]byte(a.String()))
			}
			return parquet.NullValue()
		},
		func(r *row, v parquet.Value) error {
			if v.IsNull() {
				*field(r) = netip.Addr{}
				return nil
			}
			a, err := netip.ParseAddr(string(v.ByteArray()))
			*field(r) = a
			return err
		}}
}

func uintColumn[T uint8 | uint16 | uint32](name string, bits int, field func(*row) *T) column {
	return column{name, plain(parquet.Uint(bits)),
		func(r *row) parquet.Value { return parquet.Int32Value(int32(*field(r))) },
		func(r *row, v parquet.Value) error {
			*field(r) = T(v.Uint32())
			if uint32(*field(r)) != v.Uint32() {
				return fmt.Errorf("%d does not fit %d bits", v.Uint32(), bits)
			}
			return nil
		}}
}

func scoreValue(r *row) parquet.Value {
	if math.IsNaN(r.Score) {
		return parquet.NullValue()
	}
	return parquet.DoubleValue(r.Score)
}

func setScore(r *row, v parquet.Value) error {
	r.Score = math.NaN()
	if !v.IsNull() {
		r.Score = v.Double()
	}
	return nil
}

func setLabel(r *row, v parquet.Value) error {
	for l := zone.Unjudged; l <= zone.Malicious; l++ {
		if l.String() == string(v.ByteArray()) {
			r.Label = l
			return nil
		}
	}
	return fmt.Errorf("%q is not a label", v.ByteArray())
}

func setHash(r *row, v parquet.Value) error {
	if len(v.ByteArray()) != len(r.hash) {
		return fmt.Errorf("a hash of %d bytes, want %d", len(v.ByteArray()), len(r.hash))
	}
	r.hash = zone.Hash(v.ByteArray())
	return nil
}

func plain(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.Plain) }

func dictionary(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.RLEDictionary) }

// root is a schema's root that keeps its columns in the order given, where
// parquet.Group sorts them by name.
type root struct {
	parquet.Group
	fields []parquet.Field
}

func (r *root) Fields() []parquet.Field { return r.fields }

func newSchema(name string, cols []column) *parquet.Schema {
	r := &root{Group: parquet.Group{}}
	for _, c := range cols {
		r.Group[c.name] = c.node
	}
	byName := map[string]parquet.Field{}
	for _, f := range r.Group.Fields() {
		byName[f.Name()] = f
	}
	for _, c := range cols {
		r.fields = append(r.fields, byName[c.name])
	}
	return parquet.NewSchema(name, r)
}

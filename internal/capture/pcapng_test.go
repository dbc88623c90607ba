package capture

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// ngFile builds a pcapng file of one Ethernet interface with nanoseconds.
func ngFile(order both, frames []Frame) (b []byte, ends []int) {
	b = append(section(order), iface(order, 1, 0, option(order, optionResolution, 9))...)
	ends = []int{len(b)}
	for _, fr := range frames {
		b = append(b, enhanced(order, 0, uint64(fr.Time), uint32(fr.Length), fr.Data)...)
		ends = append(ends, len(b))
	}
	return b, ends
}

func TestPcapngBothOrders(t *testing.T) {
	want := sample(5)
	for _, order := range []both{binary.LittleEndian, binary.BigEndian} {
		b, _ := ngFile(order, want)
		if d := differ(mustRead(t, b), want); d != "" {
			t.Errorf("%v: %s", order, d)
		}
	}
}

// TestPcapngSections reads two sections of different byte order, with several
// interfaces, all kinds of packet blocks, blocks in between, and an interface
// whose link type is not supported.
func TestPcapngSections(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	eth, ip := []byte("an Ethernet frame"), []byte("IP")
	const sec = 1_700_000_000
	b := bytes.Join([][]byte{
		section(le),
		iface(le, 1, 6),
		block(le, 4, words(le, 0)), // name resolution
		iface(le, 101, 0, option(le, 1, []byte("a comment")...), option(le, optionResolution, 0x80|20), option(le, optionEnd)),
		iface(le, 147, 0),
		enhanced(le, 0, sec*1e6+7, 20, eth),
		enhanced(le, 1, sec<<20+1<<19, 2, ip),
		enhanced(le, 2, 1, 9, []byte("something")),
		block(le, blockSimple, words(le, 17), eth[:6]),
		block(le, 0xbad, []byte("of a vendor's own")),
		section(be),
		iface(be, 1, 0, option(be, optionResolution, 0), option(be, optionOffset, be.AppendUint64(nil, 100)...)),
		block(be, blockPacket, be.AppendUint16(be.AppendUint16(nil, 0), 5), words(be, 0, sec, uint32(len(eth)), 60), eth),
		block(be, 5, words(be, 0, 0, 0)), // interface statistics
	}, nil)
	f, err := NewReader(bytes.NewReader(b), "test")
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, f)
	if err != nil {
		t.Fatal(err)
	}
	want := []Frame{
		{zone.Time(sec*1e9 + 7000), packet.LinkEthernet, 20, eth},
		{zone.Time(sec*1e9 + 5e8), packet.LinkRaw, 2, ip},
		{zone.Time(1000), packet.LinkEthernet, 17, eth[:6]},
		{zone.Time((sec + 100) * 1e9), packet.LinkEthernet, 60, eth},
	}
	if d := differ(got, want); d != "" {
		t.Error(d)
	}
	if f.Skipped() != 1 || f.Format() != "pcapng" {
		t.Errorf("skipped %d, want 1; format %q", f.Skipped(), f.Format())
	}
}

func TestPcapngTruncated(t *testing.T) {
	want := sample(3)
	order := binary.BigEndian
	b, ends := ngFile(order, want)
	head := len(section(order))
	// A capture cut after the section header is whole, with no frames in it.
	f, err := NewReader(bytes.NewReader(b[:head]), "test")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, f); len(got) != 0 || err != nil {
		t.Errorf("section header alone: %d frames, %v", len(got), err)
	}
	for n := head + 1; n < ends[0]; n++ {
		f, err := NewReader(bytes.NewReader(b[:n]), "test")
		if err != nil {
			t.Fatal(err)
		}
		_, err = readAll(t, f)
		if d := damageOf(t, err); d.Offset != int64(head) {
			t.Errorf("cut at %d: damage at %d, want %d", n, d.Offset, head)
		}
	}
	for n := range len(b) - ends[0] {
		n += ends[0]
		testTruncatedAt(t, b[:n], ends, want)
	}
}

func testTruncatedAt(t *testing.T, b []byte, ends []int, want []Frame) {
	t.Helper()
	whole := 0
	for whole+1 < len(ends) && ends[whole+1] <= len(b) {
		whole++
	}
	f, err := NewReader(bytes.NewReader(b), "test")
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, f)
	if d := differ(got, want[:whole]); d != "" {
		t.Errorf("%d bytes: %s", len(b), d)
	}
	if len(b) == ends[whole] && err == nil {
		return
	}
	if d := damageOf(t, err); d.Offset != int64(ends[whole]) {
		t.Errorf("cut at %d: damage at %d, want %d", len(b), d.Offset, ends[whole])
	}
}

func TestPcapngDamage(t *testing.T) {
	le := binary.LittleEndian
	good, ends := ngFile(le, sample(1))
	at := int64(ends[1])
	wrongEnd := enhanced(le, 0, 0, 4, []byte("data"))
	wrongEnd[len(wrongEnd)-4]++
	oldVersion := section(le)
	oldVersion[12] = 9
	for _, c := range []struct {
		name  string
		block []byte
		want  string
	}{
		{"length of 8", words(le, 77, 8, 8), "a block of 8 bytes"},
		{"odd length", append(words(le, 77, 13), make([]byte, 9)...), "a block of 13 bytes"},
		{"huge length", words(le, 77, maxBlock+4, 0), "a block of"},
		{"lengths differ", wrongEnd, "at its end"},
		{"byte order", words(le, blockSection, 28, 0x11223344, 0, 0, 0, 28), "byte order"},
		{"version", oldVersion, "pcapng version 9"},
		{"short section", words(le, blockSection, 16, 0x1a2b3c4d, 16), "section header of 16"},
		{"short interface", block(le, blockInterface, words(le, 1)), "interface description with 4"},
		{"long option", iface(le, 1, 0, []byte{1, 0, 200, 0}), "beyond its block"},
		{"resolution size", iface(le, 1, 0, option(le, optionResolution, 6, 6)), "has 2 bytes"},
		{"resolution 10^-20", iface(le, 1, 0, option(le, optionResolution, 20)), "resolution 0x14"},
		{"resolution 2^-64", iface(le, 1, 0, option(le, optionResolution, 0x80|64)), "resolution 0xc0"},
		{"no such interface", enhanced(le, 1, 0, 4, []byte("data")), "interface 1, where 1 are"},
		{"short packet", block(le, blockEnhanced, words(le, 0)), "with 4 bytes of content"},
		{"short old packet", block(le, blockPacket, words(le, 0)), "with 4 bytes of content"},
		{"empty simple packet", block(le, blockSimple), "with 0 bytes of content"},
		{"time", enhanced(le, 0, math.MaxUint64, 4, []byte("data")), "time stamp"},
		{"captured length", block(le, blockEnhanced, words(le, 0, 0, 0, 5, 5), []byte("data")), "room for 4"},
		{"hostile length", block(le, blockEnhanced, words(le, 0, 0, 0, 1<<31, 5), []byte("data")), "captured bytes"},
		{"no interface", append(section(le), block(le, blockSimple, words(le, 4), []byte("data"))...), "before any interface"},
	} {
		f, err := NewReader(bytes.NewReader(append(bytes.Clone(good), c.block...)), "test")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := readAll(t, f)
		want := at
		if c.name == "no interface" {
			want += int64(len(section(le)))
		}
		if d := damageOf(t, err); len(got) != 1 || d.Offset != want || !strings.Contains(d.Reason, c.want) {
			t.Errorf("%s: %d frames, then %v; want 1, then %q at %d", c.name, len(got), err, c.want, want)
		}
	}
}

func TestTimeStamps(t *testing.T) {
	for _, c := range []struct {
		resolution byte
		offset     int64
		stamp      uint64
		want       zone.Time
		ok         bool
	}{
		{6, 0, 1_500_000, 1_500_000_000, true},
		{9, 0, 1<<63 - 1, 0, false},
		{9, 0, 9_000_000_000_123_456_789, 9_000_000_000_123_456_789, true},
		{12, 0, 1_999_999_999_999, 1_999_999_999, true},
		{19, 0, math.MaxUint64, 1_844_674_407, true},
		{0, -5, 3, -2_000_000_000, true},
		{0x80, 0, 3, 3_000_000_000, true},
		{0x80 | 1, 0, 3, 1_500_000_000, true},
		{0x80 | 63, 0, 1<<63 | 1<<62, 1_500_000_000, true},
		{6, math.MaxInt64, 0, 0, false},
		{6, math.MinInt64, 0, 0, false},
		{0, 0, math.MaxUint64, 0, false},
		{3, 9_223_372_000, 40_000_000, 0, false},
	} {
		perSec, ok := resolution(c.resolution)
		if !ok {
			t.Fatalf("resolution %#x refused", c.resolution)
		}
		in := ngInterface{perSec: perSec, offset: c.offset}
		if got, ok := in.time(c.stamp); got != c.want || ok != c.ok {
			t.Errorf("resolution %#x, offset %d, stamp %d: %d, %v; want %d, %v", c.resolution, c.offset, c.stamp, got, ok, c.want, c.ok)
		}
	}
}

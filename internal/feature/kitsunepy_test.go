package feature

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"strconv"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

func TestKitsunePyVectors(t *testing.T) {
	f := readVectors(t)
	names := KitsuneNames()
	k := NewKitsunePy()
	for i, vp := range f.Packets {
		var out [KitsuneCount]float64
		k.Update(vp.packet(t), &out)
		if len(f.Kitsune[i]) != KitsuneCount {
			t.Fatalf("row %d has %d columns", i, len(f.Kitsune[i]))
		}
		for c, want := range f.Kitsune[i] {
			if f.KitsuneNames[c] != names[c] {
				t.Fatalf("column %d is %s, the vectors say %s", c, names[c], f.KitsuneNames[c])
			}
			if !near(out[c], want) {
				t.Errorf("packet %d (%s): %s is %v, want %v", i, vp.Note, names[c], out[c], want)
			}
		}
	}
}

// pcapPackets decodes an Ethernet capture in little-endian pcap format with
// microseconds.
func pcapPackets(t testing.TB, b []byte) []packet.Packet {
	t.Helper()
	le := binary.LittleEndian
	if len(b) < 24 || le.Uint32(b) != 0xa1b2c3d4 || le.Uint32(b[20:]) != 1 {
		t.Fatal("not a little-endian Ethernet pcap file with microseconds")
	}
	var packets []packet.Packet
	for b = b[24:]; len(b) > 0; {
		p := packet.Packet{
			Time:   zone.Time(le.Uint32(b))*1e9 + zone.Time(le.Uint32(b[4:]))*1e3,
			Length: int(le.Uint32(b[12:])),
		}
		n := 16 + int(le.Uint32(b[8:]))
		packet.Decode(packet.LinkEthernet, b[16:n], &p)
		packets, b = append(packets, p), b[n:]
	}
	return packets
}

// goldenRows reads what the public program gave for the first 2,000 packets.
func goldenRows(t testing.TB) [][KitsuneCount]float64 {
	t.Helper()
	lines, err := csv.NewReader(bytes.NewReader(dataFile(t, "kitsune/golden_kitsune-py_100features_first2000.csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := [KitsuneCount]string(lines[0]), KitsuneNames(); got != want {
		t.Fatalf("the header is %v, want %v", got, want)
	}
	rows := make([][KitsuneCount]float64, len(lines)-1)
	for i, line := range lines[1:] {
		for c, text := range line {
			if rows[i][c], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	return rows
}

// TestKitsunePyGolden holds all 200,000 values against the public program's, bit
// for bit.
func TestKitsunePyGolden(t *testing.T) {
	packets := pcapPackets(t, dataFile(t, "kitsune/mirai_first2000.pcap"))
	rows := goldenRows(t)
	if len(packets) != 2000 || len(rows) != 2000 {
		t.Fatalf("got %d packets and %d rows, want 2000 of each", len(packets), len(rows))
	}
	names := KitsuneNames()
	k := NewKitsunePy()
	for i := range rows {
		var out [KitsuneCount]float64
		k.Update(&packets[i], &out)
		for c, want := range rows[i] {
			if out[c] != want {
				t.Errorf("packet %d: %s is %v, want %v", i, names[c], out[c], want)
			}
		}
	}
}

package feature

import (
	"encoding/json"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// dataFile reads a file of the shared test data. Where CI is "true" the data
// must be there.
func dataFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", name))
	switch {
	case err == nil:
		return b
	case os.Getenv("CI") == "true":
		t.Fatalf("test data is missing: %v", err)
	}
	t.Skipf("test data is not here: %v", err)
	return nil
}

// vectorFile is the layout of feature_vectors_35_packets.json.
type vectorFile struct {
	Packets      []vectorPacket `json:"packets"`
	KitsuneNames []string       `json:"names_kitsune100"`
	Kitsune      [][]float64    `json:"kitsune100"`
	ChannelNames []string       `json:"names_nbaiot115"`
	Channel      [][]float64    `json:"nbaiot115_channel"`
}

type vectorPacket struct {
	Note           string
	T              float64
	Len            int
	SrcMAC, DstMAC string
	SrcIP, DstIP   string
	SrcProto       string
	DstProto       string
	IPType         *int
}

func readVectors(t testing.TB) *vectorFile {
	t.Helper()
	var f vectorFile
	if err := json.Unmarshal(dataFile(t, "kitsune/feature_vectors_35_packets.json"), &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Packets) != 35 || len(f.Channel) != 35 || len(f.Kitsune) != 35 {
		t.Fatalf("got %d packets, %d and %d rows, want 35 of each", len(f.Packets), len(f.Channel), len(f.Kitsune))
	}
	return &f
}

// packet gives the vector's packet as the decoder would have.
func (v *vectorPacket) packet(t testing.TB) *packet.Packet {
	t.Helper()
	p := &packet.Packet{
		Time: zone.Time(math.Round(v.T*1e6)) * 1000, Length: v.Len, HasMAC: true,
		SrcMAC: parseMAC(t, v.SrcMAC), DstMAC: parseMAC(t, v.DstMAC),
	}
	if v.IPType == nil {
		p.EtherType = 0x88cc
		return p
	}
	p.Src, p.Dst = netip.MustParseAddr(v.SrcIP), netip.MustParseAddr(v.DstIP)
	p.Kind = packet.KindIPv4
	if p.Src.Is6() {
		p.Kind = packet.KindIPv6
	}
	switch v.SrcProto {
	case "":
		p.Proto = 2 // IGMP
	case "arp":
		p.Kind, p.EtherType = packet.KindARP, 0x0806
	case "icmp":
		p.Proto = 1
	default:
		p.Proto, p.HasPorts = 6, true
		p.SrcPort, p.DstPort = parsePort(t, v.SrcProto), parsePort(t, v.DstProto)
	}
	return p
}

func parseMAC(t testing.TB, s string) zone.MAC {
	t.Helper()
	m, err := zone.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func parsePort(t testing.TB, s string) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

// near is the tolerance of the definition: 5e-5, or a millionth of the value.
func near(got, want float64) bool {
	return math.Abs(got-want) <= max(5e-5, 1e-6*math.Abs(want))
}

func TestVectors(t *testing.T) {
	f := readVectors(t)
	names := Names()
	e := NewExtractor(Limits{})
	for i, vp := range f.Packets {
		var v Vector
		e.Update(vp.packet(t), &v)
		if len(f.Channel[i]) != Count {
			t.Fatalf("row %d has %d columns", i, len(f.Channel[i]))
		}
		for c, want := range f.Channel[i] {
			if f.ChannelNames[c] != names[c] {
				t.Fatalf("column %d is %s, the vectors say %s", c, names[c], f.ChannelNames[c])
			}
			if !near(v[c], want) {
				t.Errorf("packet %d (%s): %s is %v, want %v", i, vp.Note, names[c], v[c], want)
			}
		}
	}
}

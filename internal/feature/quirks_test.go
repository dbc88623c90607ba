package feature

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// between gives a TCP packet between two IPv4 sockets, at seconds after the
// start.
func between(src, dst string, length int, at float64) *packet.Packet {
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	return &packet.Packet{
		Time: referenceStart + zone.Time(at*1e9), Length: length, HasMAC: true,
		Kind: packet.KindIPv4, EtherType: packet.EtherTypeIPv4, Proto: packet.ProtoTCP, HasPorts: true,
		Src: a.Addr(), Dst: b.Addr(), SrcPort: a.Port(), DstPort: b.Port(),
	}
}

const (
	endA = "192.168.1.10:40000"
	endB = "192.168.1.20:80"
	endC = "192.168.1.30:80"
)

// kitsuneAfter gives the program after the packets, and its last row.
func kitsuneAfter(packets ...*packet.Packet) (*KitsunePy, map[string]float64) {
	k := NewKitsunePy()
	var out [KitsuneCount]float64
	for _, p := range packets {
		k.Update(p, &out)
	}
	row := map[string]float64{}
	for i, n := range KitsuneNames() {
		row[n] = out[i]
	}
	return k, row
}

func wantValue(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !near(got, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestQuirkLinkUpdatedTwice(t *testing.T) {
	k, _ := kitsuneAfter(between(endA, endB, 60, 0), between(endB, endA, 90, 0), between(endA, endB, 70, 0))
	wantValue(t, "the link's weight after three packets", k.hosts["192.168.1.10"].links[0].w[0], 5)
}

func TestQuirkEveryPeerUpdated(t *testing.T) {
	k, _ := kitsuneAfter(between(endA, endB, 60, 0), between(endA, endC, 60, 0), between(endA, endC, 60, 0))
	wantValue(t, "the weight of the link to the peer that got one packet", k.hosts["192.168.1.10"].links[0].w[0], 3)
}

func TestQuirkResidualNeverDecays(t *testing.T) {
	k, _ := kitsuneAfter(between(endB, endA, 100, 0), between(endB, endA, 200, 0), between(endA, endB, 60, 3600))
	wantValue(t, "the residual an hour later", k.hosts["192.168.1.20"].links[0].residuals[0][0], 50)
}

func TestQuirkCorrelationAboveOne(t *testing.T) {
	var packets []*packet.Packet
	for range 9 {
		packets = append(packets, between(endB, endA, 60, 0))
	}
	packets = append(packets, between(endB, endA, 1500, 0),
		between(endA, endB, 60, 3600), between(endA, endB, 1500, 3600))
	_, row := kitsuneAfter(packets...)
	wantValue(t, "HH_L5_pcc", row["HH_L5_pcc"], 1.5)
}

func TestQuirkKeysCollide(t *testing.T) {
	_, row := kitsuneAfter(between("192.168.1.1:2345", endB, 60, 0), between("192.168.1.12:345", endB, 60, 0))
	wantValue(t, "the weight of two sockets whose texts are one", row["HpHp_L5_weight"], 2)
	udp := between(endA, endB, 60, 0)
	udp.Proto = packet.ProtoUDP
	_, row = kitsuneAfter(between(endA, endB, 60, 0), udp)
	wantValue(t, "the weight of a TCP and a UDP socket", row["HpHp_L5_weight"], 2)

	e := NewExtractor(Limits{})
	e.Update(between("192.168.1.1:2345", endB, 60, 0), nil)
	e.Update(between("192.168.1.12:345", endB, 60, 0), nil)
	e.Update(between(endA, endB, 60, 0), nil)
	e.Update(udp, nil)
	if got := e.Stats().Sockets.Live; got != 4 {
		t.Errorf("the extractor keeps %d sockets, want 4: its keys must not collide", got)
	}
}

func TestQuirkSelfTalkTakesWrongLink(t *testing.T) {
	_, row := kitsuneAfter(between(endB, endA, 1000, 0), between(endA, endB, 60, 0),
		between(endA, "192.168.1.10:1", 60, 0))
	wantValue(t, "the magnitude with the wrong peer", row["HH_L5_magnitude"], math.Hypot(60, 1000))
	_, row = kitsuneAfter(between(endA, "192.168.1.10:1", 60, 0))
	wantValue(t, "the magnitude with itself", row["HH_L5_magnitude"], math.Hypot(60, 60))
}

func TestQuirkNothingEvicted(t *testing.T) {
	k := NewKitsunePy()
	for i := range 3000 {
		k.Update(between(fmt.Sprintf("10.0.%d.%d:1", i/256, i%256), endB, 60, float64(i)*1e4), nil)
	}
	if got := len(k.hosts); got != 3001 {
		t.Errorf("%d hosts are kept, want 3001", got)
	}
}

func TestQuirkVarianceNoise(t *testing.T) {
	k := NewKitsunePy()
	worst := 0.0
	for i := range 500 {
		var out [KitsuneCount]float64
		k.Update(between(endA, endB, 1373, float64(i*i)*0.0137), &out)
		for r := range rates {
			worst = max(worst, out[3*r+2])
		}
	}
	if worst == 0 || worst > 5e-9 {
		t.Errorf("the variance of a constant size reaches %v, want noise of at most 5e-9", worst)
	}
}

// TestKitsuneFields holds the fields of every packet against tshark's, picked
// as the public program picks them.
func TestKitsuneFields(t *testing.T) {
	packets := pcapPackets(t, dataFile(t, "kitsune/mirai_first2000.pcap"))
	lines := bytes.SplitAfterN(dataFile(t, "kitsune/mirai_first38363_benign.tshark.tsv"), []byte("\n"), len(packets)+2)
	r := csv.NewReader(bytes.NewReader(bytes.Join(lines[:len(packets)+1], nil)))
	r.Comma = '\t'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows[1:] {
		want := fieldsOfRow(row)
		if got := kitsuneFieldsOf(&packets[i]); got != want {
			t.Fatalf("packet %d: got %+v, tshark says %+v", i, got, want)
		}
	}
}

// fieldsOfRow picks from the columns of mirai_first38363_benign.tshark.tsv.
func fieldsOfRow(row []string) kitsuneFields {
	f := kitsuneFields{
		srcMAC: row[2], dstMAC: row[3], srcIP: row[4] + row[17], dstIP: row[5] + row[18],
		srcPort: row[6] + row[8], dstPort: row[7] + row[9],
	}
	switch {
	case f.srcPort != "":
	case row[12] != "":
		f.srcIP, f.dstIP, f.srcPort, f.dstPort = row[14], row[16], "arp", "arp"
	case row[10] != "":
		f.srcPort, f.dstPort = "icmp", "icmp"
	case f.srcIP+f.dstIP == "":
		f.srcIP, f.dstIP = row[2], row[3]
	}
	return f
}

func TestKitsuneFieldsOddPackets(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for _, c := range []struct {
		name string
		p    packet.Packet
		want string // addresses, then ports
	}{
		{"ICMPv6 has no port", packet.Packet{Kind: packet.KindIPv6, Src: a, Dst: b, Proto: packet.ProtoICMPv6}, "2001:db8::1 2001:db8::2  "},
		{"SCTP has no port", packet.Packet{Kind: packet.KindIPv6, Src: a, Dst: b, Proto: packet.ProtoSCTP, HasPorts: true, SrcPort: 5}, "2001:db8::1 2001:db8::2  "},
		{"a later fragment of ICMP", packet.Packet{Kind: packet.KindIPv4, Src: netip.IPv4Unspecified(), Dst: netip.IPv4Unspecified(), Proto: packet.ProtoICMP, Fragment: true}, "0.0.0.0 0.0.0.0  "},
		{"neither MAC nor IP", packet.Packet{}, "   "},
	} {
		f := kitsuneFieldsOf(&c.p)
		if got := strings.Join([]string{f.srcIP, f.dstIP, f.srcPort, f.dstPort}, " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

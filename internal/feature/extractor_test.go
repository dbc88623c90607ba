package feature

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/netip"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// small is tight enough for random traffic to evict from every table.
var small = Limits{Hosts: 5, Channels: 7, Sockets: 11}

func TestUpdateWithoutVector(t *testing.T) {
	packets := randomPackets(1, 5000)
	with, without := NewExtractor(small), NewExtractor(small)
	for i := range packets {
		var a, b Vector
		with.Update(&packets[i], &a)
		if i%10 != 9 {
			without.Update(&packets[i], nil)
			continue
		}
		if without.Update(&packets[i], &b); a != b {
			t.Fatalf("packet %d: a vector after silent updates differs", i)
		}
	}
}

func TestEvictionIsDeterministic(t *testing.T) {
	packets := randomPackets(2, 5000)
	a, b := NewExtractor(small), NewExtractor(small) // their indexes hash differently
	for i := range packets {
		var va, vb Vector
		a.Update(&packets[i], &va)
		if b.Update(&packets[i], &vb); va != vb {
			t.Fatalf("packet %d: two extractors differ", i)
		}
	}
	s := a.Stats()
	if s != b.Stats() {
		t.Errorf("the statistics differ: %+v and %+v", s, b.Stats())
	}
	for name, table := range map[string]TableStats{
		"sources": s.Sources, "hosts": s.Hosts, "channels": s.Channels, "sockets": s.Sockets,
	} {
		if table.Live != table.Limit || table.Evicted == 0 {
			t.Errorf("%s: %+v, want a full table that evicted", name, table)
		}
	}
}

func TestLeastRecentlyUpdatedGoes(t *testing.T) {
	e := NewExtractor(Limits{Hosts: 2})
	weight := func(src string) float64 {
		var v Vector
		e.Update(between(src, endC, 60, 0), &v)
		return v[atHost]
	}
	for i, step := range []struct {
		src  string
		want float64
	}{
		{endA, 1}, {endB, 1}, {endA, 2}, {endC, 1}, // C takes B's place, not A's
		{endA, 3}, {endB, 1}, // B takes C's place
		{endA, 4}, {endC, 1}, {endB, 1}, {endA, 1},
	} {
		if got := weight(step.src); got != step.want {
			t.Fatalf("step %d: %s weighs %v, want %v", i, step.src, got, step.want)
		}
	}
}

func TestReset(t *testing.T) {
	packets := randomPackets(3, 3000)
	used, fresh := NewExtractor(small), NewExtractor(small)
	for i := range packets {
		used.Update(&packets[i], nil)
	}
	used.Reset()
	if used.Stats() != fresh.Stats() {
		t.Errorf("after Reset the statistics are %+v, want %+v", used.Stats(), fresh.Stats())
	}
	for i := range packets {
		var a, b Vector
		used.Update(&packets[i], &a)
		if fresh.Update(&packets[i], &b); a != b {
			t.Fatalf("packet %d: an extractor after Reset differs from a new one", i)
		}
	}
}

func TestTimeBackwards(t *testing.T) {
	e := NewExtractor(Limits{})
	var v Vector
	e.Update(between(endA, endB, 60, 100), &v)
	e.Update(between(endA, endB, 60, 40), &v)
	e.Update(between(endA, endB, 60, 101), &v)
	half := math.Exp2(-0.01) // one second at the slowest rate, counted from the latest time
	wantValue(t, "the weight", v[atHost+lenSingle-3], 2*half+1)
	wantValue(t, "the mean gap", v[atJitter+lenSingle-2], 1/(2*half+1))
}

// TestKeys says which packets share which of the extractor's entries.
func TestKeys(t *testing.T) {
	tcp := *between(endA, endB, 60, 0)
	change := func(f func(*packet.Packet)) packet.Packet {
		p := tcp
		f(&p)
		return p
	}
	for _, c := range []struct {
		name                              string
		p                                 packet.Packet
		sources, hosts, channels, sockets int // entries after tcp and this packet
	}{
		{"the same", tcp, 1, 1, 1, 1},
		{"the reply", *between(endB, endA, 60, 0), 2, 2, 1, 1},
		{"another port", *between(endA, "192.168.1.20:81", 60, 0), 1, 1, 1, 2},
		{"ports swapped", change(func(p *packet.Packet) { p.SrcPort, p.DstPort = p.DstPort, p.SrcPort }), 1, 1, 1, 2},
		{"another protocol", change(func(p *packet.Packet) { p.Proto = packet.ProtoUDP }), 1, 1, 1, 2},
		{"a later fragment", change(func(p *packet.Packet) { p.HasPorts, p.Fragment = false, true }), 1, 1, 1, 2},
		{"another MAC", change(func(p *packet.Packet) { p.SrcMAC[5] = 1 }), 2, 1, 1, 1},
		{"IPv6 of the same bytes", change(func(p *packet.Packet) {
			p.Kind = packet.KindIPv6
			p.Src, p.Dst = netip.AddrFrom16(p.Src.As16()), netip.AddrFrom16(p.Dst.As16())
		}), 2, 2, 2, 2},
		{"ARP between the same hosts", change(func(p *packet.Packet) {
			p.Kind, p.EtherType, p.Proto, p.HasPorts = packet.KindARP, packet.EtherTypeARP, 0, false
		}), 1, 1, 1, 2},
		{"no addresses at all", packet.Packet{}, 2, 2, 2, 2},
	} {
		e := NewExtractor(Limits{})
		e.Update(&tcp, nil)
		e.Update(&c.p, nil)
		s := e.Stats()
		got := [4]int{s.Sources.Live, s.Hosts.Live, s.Channels.Live, s.Sockets.Live}
		if want := [4]int{c.sources, c.hosts, c.channels, c.sockets}; got != want {
			t.Errorf("%s: %v entries of sources, hosts, channels and sockets, want %v", c.name, got, want)
		}
	}
}

// TestSameBitsEverywhere holds a digest of every bit of 4,000 vectors: it must
// be the same on every architecture.
func TestSameBitsEverywhere(t *testing.T) {
	const want = "8943402cfefbab7bf9eaa37791b1860cfd8ea1cad364bcdd625fa27fde74b73f"
	e := NewExtractor(Limits{Hosts: 8, Channels: 20, Sockets: 60})
	h := sha256.New()
	packets := randomPackets(6, 4000)
	for i := range packets {
		var v Vector
		e.Update(&packets[i], &v)
		for _, f := range v {
			h.Write(binary.BigEndian.AppendUint64(nil, math.Float64bits(f)))
		}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("the digest of the vectors is %s, want %s", got, want)
	}
}

// FuzzUpdate feeds packets with any times, lengths and fields: whatever comes,
// no value is a NaN or an infinity, weights and variances have their ranges, and
// no table outgrows its limit.
func FuzzUpdate(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef0123456789abcdef"))
	extremes := binary.BigEndian.AppendUint64(nil, math.MaxInt64)
	extremes = append(extremes, "\xff\xff\xff\xff\x01\x06ab"...)
	extremes = binary.BigEndian.AppendUint64(extremes, 1<<63)
	f.Add(append(extremes, "\x00\x00\x00\x00\x02\x11ba"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, k := NewExtractor(Limits{Hosts: 2, Channels: 2, Sockets: 2}), NewKitsunePy()
		for ; len(b) >= 16; b = b[16:] {
			p := fuzzPacket([16]byte(b))
			var v Vector
			var out [KitsuneCount]float64
			e.Update(&p, &v)
			k.Update(&p, &out)
			checkFinite(t, v[:])
			checkFinite(t, out[:])
			if s := e.Stats(); s.Sockets.Live > 2 || v[atSocket] < 1 {
				t.Fatalf("%+v with a socket's weight of %v", s, v[atSocket])
			}
		}
	})
}

// fuzzPacket makes a packet of eight bytes of time, four of length, and kind,
// protocol and hosts in one each.
func fuzzPacket(b [16]byte) packet.Packet {
	p := packet.Packet{
		Time: zone.Time(binary.BigEndian.Uint64(b[:])), Length: int(binary.BigEndian.Uint32(b[8:])),
		Kind: packet.Kind(b[12] % 4), Proto: b[13], HasPorts: b[12]&16 != 0, Fragment: b[12]&32 != 0,
		SrcPort: uint16(b[14]), DstPort: uint16(b[15]), ICMPType: b[12], Payload: b[:],
		SrcMAC: zone.MAC{b[14]}, DstMAC: zone.MAC{b[15]}, HasMAC: b[12]&64 == 0,
	}
	if p.Kind != packet.KindOther {
		p.Src, p.Dst = netip.AddrFrom4([4]byte{b[14] % 4}), netip.AddrFrom4([4]byte{b[15] % 4})
	}
	return p
}

func checkFinite(t *testing.T, values []float64) {
	t.Helper()
	for i, f := range values {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			t.Fatalf("column %d is %v", i, f)
		}
	}
}

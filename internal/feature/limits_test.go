package feature

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

func TestNoAllocations(t *testing.T) {
	packets := randomPackets(4, 1000)
	for name, l := range map[string]Limits{"room": {}, "evicting": small} {
		e := NewExtractor(l)
		var v Vector
		pass := func() {
			for i := range packets {
				e.Update(&packets[i], &v)
			}
		}
		pass()
		if n := testing.AllocsPerRun(5, pass); n != 0 {
			t.Errorf("%s: %v allocations per 1,000 packets, want 0", name, n)
		}
	}
}

// TestFloodIsBounded sends a million packets, each from an address of its own.
func TestFloodIsBounded(t *testing.T) {
	l := Limits{Hosts: 4000, Channels: 8000, Sockets: 16000}
	r := rand.New(rand.NewPCG(5, 6))
	before := heap()
	e := NewExtractor(l)
	for i := range 1_000_000 {
		p := packet.Packet{
			Time: referenceStart + zone.Time(i)*1000, Length: 60, HasMAC: true,
			SrcMAC: zone.MAC{2, 1: byte(r.Uint32()), 2: byte(r.Uint32())},
			Kind:   packet.KindIPv4, Proto: packet.ProtoTCP, HasPorts: true,
			Src: netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, r.Uint32()))), SrcPort: uint16(r.Uint32()),
			Dst: netip.AddrFrom4([4]byte{192, 0, 2, 1}), DstPort: 80,
		}
		e.Update(&p, nil)
	}
	grown, bound := heap()-before, l.Bytes()
	if s := e.Stats(); s.Sockets.Evicted == 0 || s.Bound != bound {
		t.Errorf("the flood left %+v, want evictions and the bound %d", s, bound)
	}
	if slack := int64(256 << 10); grown > bound+slack || grown < bound/2 {
		t.Errorf("the heap grew by %d bytes, want at most %d and not far from it", grown, bound)
	}
}

// heap gives the bytes in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestIdleIsSmall(t *testing.T) {
	before := heap()
	e := NewExtractor(Limits{})
	e.Update(between(endA, endB, 60, 0), nil)
	if grown := heap() - before; grown > 256<<10 {
		t.Errorf("an extractor with one packet holds %d bytes, want at most 256 KiB", grown)
	}
	runtime.KeepAlive(e)
}

func TestLimits(t *testing.T) {
	s := NewExtractor(Limits{Sockets: -1, Channels: 100}).Stats()
	if s.Hosts.Limit != 16384 || s.Sources.Limit != 16384 || s.Channels.Limit != 100 || s.Sockets.Limit != 65536 {
		t.Errorf("the limits are %+v", s)
	}
	bound := Limits{}.Bytes()
	if bound < 50<<20 || bound > 80<<20 {
		t.Errorf("the default bound is %d bytes, want 50 to 80 MiB", bound)
	}
	if more := (Limits{Channels: 1 << 20}).Bytes(); more <= bound {
		t.Errorf("more channels are bounded by %d bytes, no more than %d", more, bound)
	}
}

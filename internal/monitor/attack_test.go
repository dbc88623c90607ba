package monitor

import (
	"errors"
	"iter"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// scans gives Telnet SYNs by the device at 100, 50, 25 and 12.5 a second.
func scans(mac zone.MAC, ip netip.Addr) [][]Attack {
	var kind []Attack
	for rate := 100.0; rate > 10; rate /= 2 {
		kind = append(kind, Attack{"scan", rate, synsAt(mac, ip, rate)})
	}
	return [][]Attack{kind}
}

func synsAt(mac zone.MAC, ip netip.Addr, rate float64) iter.Seq[*packet.Packet] {
	return func(yield func(*packet.Packet) bool) {
		for i := range 1000 {
			p := &packet.Packet{Time: zone.Time(float64(i) * 1e9 / rate), Length: 60, Kind: packet.KindIPv4, HasMAC: true, SrcMAC: mac, DstMAC: router,
				EtherType: 0x0800, Src: ip, Dst: netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), Proto: 6,
				SrcPort: 40000, DstPort: 23, HasPorts: true, TCPFlags: tcpSYN}
			if !yield(p) {
				return
			}
		}
	}
}

// A shadow that finds what its anchor finds passes, one that has gone blind does not.
func TestShadowIsTriedOnAttacks(t *testing.T) {
	b := learned(t, Options{Attacks: scans})
	anchor := b.m.devices[camera].model
	same := *anchor
	tried, err := b.m.try(t.Context(), anchor, &same)
	if err != nil || tried != (Tried{1, 1, 1}) {
		t.Fatalf("the anchor itself: %+v, %v", tried, err)
	}
	blind := *anchor
	blind.Threshold = 1e9
	var bound *BoundError
	tried, err = b.m.try(t.Context(), anchor, &blind)
	if !errors.As(err, &bound) || tried != (Tried{1, 1, 0}) || !strings.Contains(err.Error(), "would not find scan at ") {
		t.Errorf("one that finds nothing: %+v, %v", tried, err)
	}
	if tried, err = b.m.try(t.Context(), &blind, anchor); err != nil || tried != (Tried{1, 0, 0}) {
		t.Errorf("an anchor that finds nothing asks for nothing: %+v, %v", tried, err)
	}
}

// An attack may have to be twice as strong to be found, and no stronger.
func TestRateShift(t *testing.T) {
	b := learned(t, Options{})
	m := b.m.devices[camera].model
	kind := []Attack{{"scan", 4, nil}, {"scan", 2, nil}, {"scan", 1, nil}}
	loud := make([]zone.Snapshot, 100)
	for i := range loud {
		loud[i].Time = zone.Time(i) * zone.Time(10*time.Millisecond)
		for c := range loud[i].Features {
			loud[i].Features[c] = 1e9
		}
	}
	snapshots := [][]zone.Snapshot{loud, loud, loud[:5]}
	if rate := missed(m, kind, snapshots, 2); rate != 0 {
		t.Errorf("from 2 on %v is missed", rate)
	}
	if rate := missed(m, kind, snapshots, 1); rate != 1 {
		t.Errorf("from 1 on %v is missed, want 1", rate)
	}
}

package monitor

import (
	"net/netip"
	"testing"
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// pester lets the camera send 40 datagrams to a host within a tenth of a second.
func (b *bench) pester(to netip.Addr) {
	b.Helper()
	for range 40 {
		p := b.udp(camera, cameraA)
		p.Dst = to
		b.send(2*time.Millisecond, p)
	}
	b.flush()
}

// TestSilentHost: a host that sends nothing back is not pestered without an alarm,
// unless it has called from within the zone, or the gateway has just begun to see.
func TestSilentHost(t *testing.T) {
	stranger := zone.MAC{0, 0, 0x5e, 0, 0x53, 0x77}
	call := func(b *bench, from netip.Addr) {
		p := b.udp(stranger, from)
		p.Dst, p.DstMAC = netip.MustParseAddr("255.255.255.255"), zone.MAC{255, 255, 255, 255, 255, 255}
		b.send(time.Second, p)
	}
	outside, inside := netip.MustParseAddr("203.0.113.66"), netip.MustParseAddr("192.168.1.77")
	for name, c := range map[string]struct {
		before func(b *bench)
		to     netip.Addr
		want   int
	}{
		"a flood":                        {func(*bench) {}, outside, 1},
		"who called from the zone":       {func(b *bench) { call(b, inside) }, inside, 0},
		"a call forged from the outside": {func(b *bench) { call(b, outside) }, outside, 1},
		"after a quiet while":            {func(b *bench) { b.now = b.now.Add(9 * time.Minute) }, outside, 1},
		"after a gap":                    {func(b *bench) { b.now = b.now.Add(11 * time.Minute) }, outside, 0},
		"an answer": {func(b *bench) {
			b.send(time.Second, &packet.Packet{Length: 90, Kind: packet.KindIPv4, HasMAC: true, SrcMAC: router, DstMAC: camera,
				EtherType: 0x0800, Src: outside, Dst: cameraA, Proto: 17, SrcPort: 5000, DstPort: 40000, HasPorts: true})
		}, outside, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := learned(t, Options{Without: []string{zone.ReasonScore}})
			b.benign(200)
			c.before(b)
			b.pester(c.to)
			if len(b.alerts) != c.want || c.want > 0 && b.alerts[0].Reason != zone.ReasonSilent {
				t.Errorf("alerts %+v, want %d", b.alerts, c.want)
			}
		})
	}
}

package feature

import (
	"fmt"
	"net/netip"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// conversation gives packet number n of a traffic of so many channels between
// a home's hosts and the world, one socket each, every third packet a reply.
func conversation(n, channels int) packet.Packet {
	c := n * 7919 % channels
	p := packet.Packet{
		Time: zone.Time(1_700_000_000_000_000_000 + int64(n)*50_000), Length: 60 + n*31%1400,
		Kind: packet.KindIPv4, Proto: 6, HasPorts: true, HasMAC: true,
		SrcMAC: zone.MAC{2, 0, 0, 0, 0, byte(c % 200)}, DstMAC: zone.MAC{2, 1},
		Src: netip.AddrFrom4([4]byte{192, 168, 1, byte(c % 200)}), SrcPort: 40000,
		Dst: netip.AddrFrom4([4]byte{198, byte(c >> 16), byte(c >> 8), byte(c)}), DstPort: 443,
	}
	if n%3 == 0 {
		p.Src, p.Dst, p.SrcMAC, p.DstMAC = p.Dst, p.Src, p.DstMAC, p.SrcMAC
		p.SrcPort, p.DstPort = p.DstPort, p.SrcPort
	}
	return p
}

func BenchmarkUpdate(b *testing.B) {
	for _, channels := range []int{20, 2_000, 100_000} {
		packets := make([]packet.Packet, 4*channels)
		for i := range packets {
			packets[i] = conversation(i, channels)
		}
		limits := Limits{Hosts: 1 << 18, Channels: 1 << 18, Sockets: 1 << 18}
		for _, fill := range []bool{true, false} {
			b.Run(fmt.Sprintf("channels=%d/fill=%t", channels, fill), func(b *testing.B) {
				benchmarkUpdate(b, limits, packets, fill)
			})
		}
	}
}

func benchmarkUpdate(b *testing.B, limits Limits, packets []packet.Packet, fill bool) {
	e := NewExtractor(limits)
	var v *Vector
	if fill {
		v = new(Vector)
	}
	step := packets[len(packets)-1].Time.Sub(packets[0].Time)
	next := 0
	update := func() {
		e.Update(&packets[next], v)
		packets[next].Time = packets[next].Time.Add(step)
		if next++; next == len(packets) {
			next = 0
		}
	}
	for range packets {
		update()
	}
	b.ReportAllocs()
	for b.Loop() {
		update()
	}
}

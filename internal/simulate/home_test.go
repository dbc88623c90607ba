package simulate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"testing"
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

func testStart() zone.Time { return zone.TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) }

// digest hashes what a home sends up to a moment, without attacks.
func digest(h *Home, until zone.Time) string {
	sum := sha256.New()
	for f := range h.Frames(until) {
		if f.Attack == "" {
			sum.Write([]byte(f.Time.String()))
			sum.Write(f.Data)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func TestHomeFramesAreValid(t *testing.T) {
	h := NewHome(HomeOptions{Seed: 1, Start: testStart()})
	known := map[zone.MAC]bool{}
	for _, d := range h.Devices() {
		known[d.MAC] = true
		if d.MAC.IsGroup() || d.MAC.IsLocal() || !h.Subnet().Contains(d.IP) {
			t.Errorf("%s: addresses %v %v", d.Name, d.MAC, d.IP)
		}
	}
	gateway, _ := h.Gateway()
	var p packet.Packet
	last, n := testStart(), 0
	for f := range h.Frames(testStart().Add(30 * time.Minute)) {
		n++
		if f.Time < last {
			t.Fatalf("frame %d: %v is before %v", n, f.Time, last)
		}
		last = f.Time
		if err := checkFrame(f.Data); err != nil {
			t.Fatalf("frame %d at %v: %v: %x", n, f.Time, err, f.Data)
		}
		p.Time, p.Length = f.Time, len(f.Data)
		packet.Decode(packet.LinkEthernet, f.Data, &p)
		if p.Truncated || !p.HasMAC {
			t.Fatalf("frame %d does not decode: %+v", n, p)
		}
		if !known[f.Device] || p.SrcMAC != f.Device && p.SrcMAC != gateway || p.DstMAC != f.Device && p.SrcMAC == gateway {
			t.Fatalf("frame %d: %v to %v belongs to %v", n, p.SrcMAC, p.DstMAC, f.Device)
		}
	}
	if n < 10000 {
		t.Errorf("only %d frames", n)
	}
}

func TestHomeIsAFunctionOfItsSeed(t *testing.T) {
	until := testStart().Add(10 * time.Minute)
	once := digest(NewHome(HomeOptions{Seed: 5, Start: testStart()}), until)
	if again := digest(NewHome(HomeOptions{Seed: 5, Start: testStart()}), until); again != once {
		t.Error("same seed, other frames")
	}
	if other := digest(NewHome(HomeOptions{Seed: 6, Start: testStart()}), until); other == once {
		t.Error("other seed, same frames")
	}
	// Frozen, so that another machine or version that differs is noticed.
	const want = "d5b21814076012b5fdcee014d96baaa269f17591c36f48a0f9d479411caeebea"
	if once != want {
		t.Errorf("digest %s, want %s", once, want)
	}
}

func TestFramesGoesOn(t *testing.T) {
	whole, parts := NewHome(HomeOptions{Start: testStart()}), NewHome(HomeOptions{Start: testStart()})
	until := testStart().Add(3 * time.Minute)
	var want, got [][]byte
	for f := range whole.Frames(until) {
		want = append(want, bytes.Clone(f.Data))
	}
	for minute := range 4 {
		n := 0
		for f := range parts.Frames(testStart().Add(time.Duration(minute) * time.Minute)) {
			got = append(got, bytes.Clone(f.Data))
			if n++; minute == 1 && n == 50 {
				break // the rest comes with the next call
			}
		}
	}
	if len(got) != len(want) || len(want) < 500 {
		t.Fatalf("%d frames in parts, %d at once", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("frame %d differs", i)
		}
	}
}

// TestRates holds every device against what it is for: how much it sends in an
// hour of the default activity.
func TestRates(t *testing.T) {
	type count struct{ up, down, bytes int }
	counts := map[zone.MAC]*count{}
	h := NewHome(HomeOptions{Seed: 2, Start: testStart()})
	for _, d := range h.Devices() {
		counts[d.MAC] = new(count)
	}
	total := 0
	for f := range h.Frames(testStart().Add(time.Hour)) {
		total++
		c := counts[f.Device]
		if zone.MAC(f.Data[6:12]) == f.Device {
			c.up++
			c.bytes += len(f.Data)
		} else {
			c.down++
		}
	}
	learnt := 0
	for _, d := range h.Devices() {
		c := counts[d.MAC]
		t.Logf("%-22s %-16s sent %6d (%8d bytes)  received %6d", d.Name, d.Kind, c.up, c.bytes, c.down)
		switch d.Kind {
		case "smoke detector", "door lock":
			if c.up < 20 || c.up > 1200 {
				t.Errorf("%s sent %d packets: it is meant to be rare", d.Name, c.up)
			}
		default:
			if c.up < 2700 || c.up > 15000 {
				t.Errorf("%s sent %d packets", d.Name, c.up)
			}
			learnt++
		}
	}
	t.Logf("%d frames in all", total)
	if learnt < 8 || total < 45000 || total > 110000 {
		t.Errorf("%d frames, %d busy devices", total, learnt)
	}
}

// TestNothingDrifts compares the second hour with the third.
func TestNothingDrifts(t *testing.T) {
	h := NewHome(HomeOptions{Seed: 3, Start: testStart()})
	for range h.Frames(testStart().Add(time.Hour)) {
	}
	hour := func(end int) map[zone.MAC]float64 {
		m := map[zone.MAC]float64{}
		for f := range h.Frames(testStart().Add(time.Duration(end) * time.Hour)) {
			m[f.Device]++
		}
		return m
	}
	second, third := hour(2), hour(3)
	for _, d := range h.Devices() {
		a, b := second[d.MAC], third[d.MAC]
		if a+b > 2000 && (a > 1.35*b || b > 1.35*a) {
			t.Errorf("%s: %v frames in the second hour, %v in the third", d.Name, a, b)
		}
	}
}

func TestActivity(t *testing.T) {
	frames := func(activity float64) (n int) {
		for range NewHome(HomeOptions{Start: testStart(), Activity: activity}).Frames(testStart().Add(time.Hour)) {
			n++
		}
		return n
	}
	quiet, busy := frames(1), frames(5)
	if busy < 4*quiet || busy > 6*quiet {
		t.Errorf("%d frames at activity 1, %d at 5", quiet, busy)
	}
	if frames(0) != busy || frames(-3) != frames(0.05) {
		t.Error("default or limit of the activity is not what is promised")
	}
}

func TestEveryProtocolIsThere(t *testing.T) {
	seen := map[uint16]int{}
	var p packet.Packet
	for f := range NewHome(HomeOptions{Start: testStart()}).Frames(testStart().Add(20 * time.Minute)) {
		p.Time, p.Length = f.Time, len(f.Data)
		packet.Decode(packet.LinkEthernet, f.Data, &p)
		switch p.Kind {
		case packet.KindARP:
			seen[packet.EtherTypeARP]++
		case packet.KindIPv6:
			seen[packet.EtherTypeIPv6]++
			fallthrough
		default:
			seen[uint16(p.Proto)]++
		}
	}
	for _, proto := range []uint16{packet.EtherTypeARP, packet.EtherTypeIPv6, protoICMP, protoIGMP, protoTCP, protoUDP, protoICMPv6} {
		if seen[proto] < 4 {
			t.Errorf("protocol %#x: %d frames", proto, seen[proto])
		}
	}
}

// TestJoin holds a device's first frames: nothing but DHCP before it has an
// address.
func TestJoin(t *testing.T) {
	leased := map[zone.MAC]int{}
	var p packet.Packet
	for f := range NewHome(HomeOptions{Seed: 8, Start: testStart()}).Frames(testStart().Add(2 * time.Minute)) {
		p.Time, p.Length = f.Time, len(f.Data)
		packet.Decode(packet.LinkEthernet, f.Data, &p)
		if leased[f.Device] >= 4 {
			continue
		}
		leased[f.Device]++
		if p.DstPort != 67 && p.DstPort != 68 {
			t.Fatalf("%v: frame %d is %+v", f.Device, leased[f.Device], p)
		}
		if leased[f.Device] == 1 && (!p.Src.IsUnspecified() || !p.DstMAC.IsGroup()) {
			t.Errorf("%v does not begin by a broadcast from 0.0.0.0: %+v", f.Device, p)
		}
	}
	if len(leased) != 12 {
		t.Errorf("%d devices joined", len(leased))
	}
}

func TestFramesAreMadeInPlace(t *testing.T) {
	h := NewHome(HomeOptions{Start: testStart()})
	until := testStart().Add(30 * time.Minute)
	frames := 0
	for range h.Frames(until) {
		frames++
	}
	perRun := testing.AllocsPerRun(5, func() {
		until = until.Add(10 * time.Minute)
		for range h.Frames(until) {
		}
	})
	if limit := float64(frames) / 3; perRun > limit {
		t.Errorf("%.0f allocations in ten minutes, of about %d frames", perRun, frames/3)
	}
	next, stop := iter.Pull(testOverlay(MiraiUDP).Frames())
	defer stop()
	if n := testing.AllocsPerRun(2000, func() { next() }); n != 0 {
		t.Errorf("%v allocations for one frame of a flood", n)
	}
}

func BenchmarkHome(b *testing.B) {
	h := NewHome(HomeOptions{Start: testStart()})
	b.ReportAllocs()
	n := 0
	b.ResetTimer()
	for range h.Frames(1 << 62) {
		if n++; n >= b.N {
			break
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

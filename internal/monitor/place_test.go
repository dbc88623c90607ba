package monitor

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"bellwether/internal/roster"
	"bellwether/internal/zone"
)

// forged lets n addresses that nobody has send one packet each.
func (b *bench) forged(n int) {
	b.Helper()
	for i := range n {
		mac := zone.MAC{0x00, 0x00, 0x5e, 0x10}
		binary.BigEndian.PutUint16(mac[4:], uint16(i))
		b.send(time.Millisecond, b.udp(mac, netip.AddrFrom4([4]byte{192, 168, 78, byte(i)})))
	}
}

func (b *bench) has(mac zone.MAC) bool {
	return slices.ContainsFunc(b.m.Devices(), func(d DeviceReport) bool { return d.MAC == mac })
}

// A flood of forged addresses fills the table. A device that comes afterwards
// gets a phantom's place, one that was there keeps its own, and what is forged
// after that gets none.
func TestPhantomsGiveWay(t *testing.T) {
	b := newBench(t, Options{MaxDevices: 8})
	for range MinSnapshots {
		b.send(time.Second, b.udp(plug, plugA))
	}
	b.forged(100)
	for range MinSnapshots - 1 {
		b.send(time.Second, b.udp(camera, cameraA))
	}
	if b.has(camera) || b.m.Drops().EvictedDevices != 0 {
		t.Errorf("the camera took somebody's place with %d packets", MinSnapshots-1)
	}
	b.send(time.Second, b.udp(camera, cameraA))
	b.forged(100)
	b.flush()
	if !b.has(camera) || !b.has(plug) || len(b.m.Devices()) != 8 || b.m.Drops().EvictedDevices != 1 {
		t.Errorf("camera %v, plug %v among %d devices, %d gave way", b.has(camera), b.has(plug), len(b.m.Devices()), b.m.Drops().EvictedDevices)
	}
	if seen := len(b.ledgerSays()); seen > 2*(8+2)+1 {
		t.Errorf("%d transactions for 200 forged addresses", seen)
	}
}

// The phantom that was silent for longest goes, and goes on where it was when
// it comes back for good.
func TestPhantomComesBack(t *testing.T) {
	b := newBench(t, Options{MaxDevices: 2})
	b.send(time.Second, b.udp(stranger, strangerA))
	b.send(time.Second, b.udp(plug, plugA))
	for range MinSnapshots {
		b.send(time.Second, b.udp(camera, cameraA))
	}
	b.flush()
	if b.has(stranger) || !b.has(plug) || !b.has(camera) {
		t.Fatalf("%d devices, the stranger is there: %v", len(b.m.Devices()), b.has(stranger))
	}
	for range 2*MinSnapshots - 1 {
		b.send(time.Second, b.udp(stranger, strangerA))
	}
	b.flush()
	if !b.has(stranger) || b.has(plug) {
		t.Fatal("the stranger did not get the plug's place")
	}
	if d := b.device(stranger); d.LearnedSnapshots != 1+MinSnapshots {
		t.Errorf("the stranger learned from %d snapshots, want %d", d.LearnedSnapshots, 1+MinSnapshots)
	}
}

// Devices that the operator knows get a place at once, and keep it.
func TestKnownDevicesHaveAPlace(t *testing.T) {
	b := newBench(t, Options{MaxDevices: 2})
	b.p.Roster = roster.New(roster.Options{Gateways: []zone.MAC{router}, Devices: []zone.MAC{camera}, Names: map[zone.MAC]string{plug: "plug"}})
	b.start()
	b.send(time.Second, b.udp(camera, cameraA))
	b.forged(10)
	b.send(time.Second, b.udp(plug, plugA))
	for range MinSnapshots {
		b.send(time.Second, b.udp(stranger, strangerA))
	}
	b.flush()
	if !b.has(camera) || !b.has(plug) || !b.has(stranger) || len(b.m.Devices()) != 3 {
		t.Errorf("camera %v, plug %v, stranger %v among %d", b.has(camera), b.has(plug), b.has(stranger), len(b.m.Devices()))
	}
}

// Who gives way does not depend on the batch, and after a restart no more have a
// place than may.
func TestEvictionIsTheSame(t *testing.T) {
	var first []string
	for _, batch := range []int{1, 7, 512} {
		b := newBench(t, Options{MaxDevices: 8, Batch: batch})
		b.forged(50)
		for range 3 * MinSnapshots {
			b.benign(1)
			b.send(time.Millisecond, b.udp(stranger, strangerA))
		}
		b.flush()
		says := b.ledgerSays()
		if first == nil {
			first = says
		}
		if !slices.Equal(says, first) || b.m.Drops().EvictedDevices != 3 {
			t.Errorf("batch %d: %d transactions that differ from the first run's %d, %d gave way", batch, len(says), len(first), b.m.Drops().EvictedDevices)
		}
		b.start()
		b.benign(1)
		b.flush()
		if n := len(b.m.Devices()); n != 8 || !b.has(camera) || !b.has(plug) || !b.has(stranger) {
			t.Errorf("batch %d: after the restart there are %d devices", batch, n)
		}
	}
}

// Senders without a place are forgotten in the order they came.
func TestWaitingIsBounded(t *testing.T) {
	w := newWaiting(3)
	for i, c := range []struct {
		mac  byte
		want int
	}{{1, 1}, {2, 1}, {1, 2}, {3, 1}, {4, 1}, {1, 1}, {3, 2}, {2, 1}, {3, 1}} {
		if got := w.count(zone.MAC{5: c.mac}); got != c.want {
			t.Errorf("step %d: packet %d of %d, want %d", i, got, c.mac, c.want)
		}
	}
	if len(w.at) != 3 {
		t.Errorf("%d are remembered, want 3", len(w.at))
	}
	w.forget(zone.MAC{5: 3})
	if got := w.count(zone.MAC{5: 3}); got != 1 {
		t.Errorf("after it got a place it has %d packets", got)
	}
}

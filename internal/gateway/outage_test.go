package gateway

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/networktest"
	"bellwether/internal/zone"
)

// While the ledger's peer is away for ten seconds, four times what the kernel's
// ring holds arrives, with new devices and whole segments to record: each packet
// is stored, and all is on the ledger in the end.
func testLiveOutage(t *testing.T) {
	o := network.Options{Dir: t.TempDir()}
	n := networktest.Up(t, o)
	c, err := ParseConfig([]byte(n.Gateway(0).Config()))
	if err != nil {
		t.Fatal(err)
	}
	p := &patient{TB: t, dir: keyedDir(t), config: c, router: zone.MAC{0, 0, 0x5e, 0, 0x53, 1}}
	l := p.begin(t)
	const frames, away = 20_000, 10 * time.Second
	first, second := zone.MAC{0, 0, 0x5e, 0, 0x53, 0x20}, zone.MAC{0, 0, 0x5e, 0, 0x53, 0x21}
	l.floods(first, 100, time.Second)
	l.until("the first device is on the ledger", func() bool { return l.stateOf(first).State == zone.StateLearning })
	if err := n.Kill("peer-org1"); err != nil {
		t.Fatal(err)
	}
	l.floods(second, frames, away)
	if got := l.stateOf(second).State; got != zone.StateUnseen {
		t.Errorf("without a peer the second device is %s on the ledger", got)
	}
	networktest.Up(t, o)
	l.until("the second device is on the ledger", func() bool { return l.stateOf(second).State == zone.StateLearning })
	l.stop()
	verifies(t, p.dir)
	s := mustOpen(t, p.dir, StateOptions{ReadOnly: true})
	defer s.Close()
	for mac, want := range map[zone.MAC]int{first: 100, second: frames} {
		rows := 0
		for _, err := range s.Store.Rows(t.Context(), 1, s.Store.Last(), mac) {
			if err != nil {
				t.Fatal(err)
			}
			rows++
		}
		if rows != want {
			t.Errorf("%s sent %d packets, %d are stored", mac, want, rows)
		}
	}
	for seg := range s.Store.Unreceipted {
		t.Errorf("segment %d is not on the ledger", seg.Number)
	}
}

// floods sends n large frames of a device, evenly over a time.
func (l *livePatient) floods(mac zone.MAC, n int, lasts time.Duration) {
	l.Helper()
	frame := udpFrame(mac, netip.AddrFrom4([4]byte{192, 168, 77, mac[5]}), netip.MustParseAddr("198.18.0.1"), 1400)
	for i, began := 0, time.Now(); i < n; i++ {
		time.Sleep(time.Until(began.Add(lasts * time.Duration(i) / time.Duration(n))))
		if _, err := unix.Write(l.far, frame); err != nil {
			l.Fatal(fmt.Errorf("frame %d: %w", i, err))
		}
	}
}

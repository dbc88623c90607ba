package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"
	"slices"
	"testing"
	"time"

	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// ackFrame is a DHCP server's acknowledgement that gives an address away.
func ackFrame(server, client zone.MAC, gives netip.Addr) []byte {
	b := udpFrame(server, netip.MustParseAddr("192.168.77.1"), gives, 244)
	copy(b[34:], []byte{0, 67, 0, 68})
	m := b[42:]
	copy(m, []byte{2, 1, 6})
	given := gives.As4()
	copy(m[16:], given[:])
	copy(m[28:], client[:])
	binary.BigEndian.PutUint32(m[236:], 0x63825363)
	copy(m[240:], []byte{53, 1, 5, 255})
	return b
}

// A lease that a run had taken note of when it was stopped is no lease yet when
// it is given again: the device that took its address too early did so again.
func TestStoppedAfterALease(t *testing.T) {
	c := homeCaptures(t)
	fresh := netip.MustParseAddr("192.168.78.201")
	_, learned := finished(t)
	mover := learned.Devices[slices.IndexFunc(learned.Devices, func(d DeviceReport) bool { return d.State == "watching" })].MAC
	early := udpFrame(mover, fresh, netip.MustParseAddr("198.18.0.1"), 40)
	at := homeStart.Add(time.Hour)
	watch := saveCapture(t, frameSeq(at, early, ackFrame(c.router, mover, fresh), early))
	whole := func() Replay {
		dir, _ := finished(t)
		r := Replay{StateDir: dir, Watch: []string{watch}, Config: quickly()}
		r.Config.Gateways = []MAC{MAC(c.router)}
		return r
	}
	once := whole()
	report := mustRun(t, once)
	want := resultOf(t, once.StateDir, report)
	if got := deviceIn(t, report, mover).Alerts; len(got) != 1 || got[0].FirstPacket != 0 {
		t.Fatalf("%d alerts, want one, at the packet before the lease", len(got))
	}
	r := whole()
	before := leasesIn(t, r.StateDir)
	ctx, stop := context.WithCancel(t.Context())
	r.Events.Alert = func(Raised) error { stop(); return nil }
	if _, err := r.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("the run was not stopped: %v", err)
	}
	if n := leasesIn(t, r.StateDir); n != before+1 {
		t.Fatalf("%d leases were kept, want one more than %d", n, before)
	}
	r.Events.Alert = nil
	same(t, resultOf(t, r.StateDir, mustRun(t, r)), want)
	verifies(t, r.StateDir)
}

func leasesIn(t testing.TB, dir string) int {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{Existing: true})
	defer s.Close()
	return s.Leases.Len()
}

// frameSeq gives frames a second apart.
func frameSeq(start zone.Time, data ...[]byte) iter.Seq[*simulate.Frame] {
	var out []*simulate.Frame
	for i, d := range data {
		out = append(out, &simulate.Frame{Time: start.Add(time.Duration(i) * time.Second), Data: d})
	}
	return slices.Values(out)
}

package monitor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/feature"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/packet"
	"bellwether/internal/roster"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// Who is who in these tests.
var (
	camera  = zone.MAC{0, 0, 0x5e, 0, 0x53, 0x10}
	plug    = zone.MAC{0, 0, 0x5e, 0, 0x53, 0x11}
	router  = zone.MAC{0, 0, 0x5e, 0, 0x53, 0x01}
	cameraA = netip.MustParseAddr("192.168.77.20")
	plugA   = netip.MustParseAddr("192.168.77.21")
	cloud   = netip.MustParseAddr("198.18.0.1")
)

// bench is a monitor with everything it needs, fed by hand-made packets.
type bench struct {
	testing.TB
	o      Options
	p      Parts
	ledger *ledgertest.Fake
	m      *Monitor
	now    zone.Time
	noise  *rand.Rand
	alerts []zone.Alert // as they were sent
}

func newBench(t testing.TB, o Options) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{TB: t, o: o, ledger: ledgertest.NewFake(ledgertest.Master()), now: ledgertest.Created, noise: rand.New(rand.NewPCG(1, 2))}
	b.o.ModelDir = dir
	if b.o.Learn.Snapshots == 0 {
		b.o.Learn.Snapshots = 300
	}
	b.o.Detect.Epochs = 4
	s, err := store.Open(filepath.Join(dir, "store"), store.Options{Zone: "test", Names: feature.Names()})
	b.must(err)
	t.Cleanup(func() { s.Close() })
	alerts, err := OpenAlerts(filepath.Join(dir, "alerts.log"))
	b.must(err)
	t.Cleanup(func() { alerts.Close() })
	leases, err := OpenLeases(filepath.Join(dir, "leases.log"))
	b.must(err)
	t.Cleanup(func() { leases.Close() })
	trials, err := OpenTrials(filepath.Join(dir, "trials.log"))
	b.must(err)
	t.Cleanup(func() { trials.Close() })
	b.p = Parts{Leases: leases, Roster: roster.New(roster.Options{Gateways: []zone.MAC{router}}), Store: s, Alerts: alerts,
		Trials: trials, Ledger: b.ledger, Signer: ledgertest.Master(),
		OnAlert: func(a zone.Alert, _ ledger.Receipt) error { b.alerts = append(b.alerts, a); return nil }}
	b.must(b.ledger.Submit(t.Context(), ledgertest.Genesis(t)))
	b.must(b.ledger.Commit(t.Context()))
	b.start()
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// start makes a monitor that goes on from what the ledger and the store have.
func (b *bench) start(watched ...SeqRange) {
	b.Helper()
	devices, err := contract.Devices(b.ledger.State())
	b.must(err)
	genesis, err := contract.Parse(ledgertest.Genesis(b))
	b.must(err)
	z, _, err := contract.ReadZone(b.ledger.State())
	b.must(err)
	b.m, err = New(b.Context(), b.o, b.p, Past{Zone: genesis.Tx.Zone, LastSeq: b.p.Store.Last(), Height: b.ledger.Height(), Devices: devices, ZoneN: z.N,
		SilencedFrom: z.SilencedFrom, SilencedUntil: z.SilencedUntil, Leases: b.p.Leases.First(b.p.Leases.Len()), Watched: watched})
	b.must(err)
}

// udp is a benign datagram to the cloud.
func (b *bench) udp(from zone.MAC, src netip.Addr) *packet.Packet {
	return &packet.Packet{Length: 90 + b.noise.IntN(80), Kind: packet.KindIPv4, HasMAC: true, SrcMAC: from, DstMAC: router,
		EtherType: 0x0800, Src: src, Dst: cloud, Proto: 17, SrcPort: 40000, DstPort: 8883, HasPorts: true}
}

// send observes the packet after a pause.
func (b *bench) send(pause time.Duration, p *packet.Packet) {
	b.Helper()
	b.now = b.now.Add(pause)
	p.Time = b.now
	b.must(b.m.Observe(b.Context(), p))
}

// benign lets both devices behave as always, n packets each.
func (b *bench) benign(n int) {
	b.Helper()
	for range n {
		b.send(b.pause(), b.udp(camera, cameraA))
		b.send(b.pause(), b.udp(plug, plugA))
	}
}

// pause is a second on average, so that what is learned covers many half-lives
// of the slowest statistics.
func (b *bench) pause() time.Duration { return time.Duration(b.noise.Int64N(int64(2 * time.Second))) }

// scan lets the camera look for Telnet servers, n packets. The plug goes on as always.
func (b *bench) scan(n int) {
	b.Helper()
	for i := range n {
		if i%80 == 40 {
			b.send(time.Millisecond, b.udp(plug, plugA))
		}
		b.send(20*time.Millisecond, &packet.Packet{Length: 60, Kind: packet.KindIPv4, HasMAC: true, SrcMAC: camera, DstMAC: router,
			EtherType: 0x0800, Src: cameraA, Dst: netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), Proto: 6,
			SrcPort: uint16(1024 + i%60000), DstPort: 23, HasPorts: true, TCPFlags: tcpSYN})
	}
}

// learned is a bench whose two devices have been learned.
func learned(t testing.TB, o Options) *bench {
	t.Helper()
	b := newBench(t, o)
	b.benign(400)
	b.finish()
	for _, d := range b.m.Devices() {
		if d.State != zone.StateWatching {
			t.Fatalf("%s is %s after %d snapshots, want it learned", d.MAC, d.State, d.LearnedSnapshots)
		}
	}
	return b
}

func (b *bench) finish() {
	b.Helper()
	b.must(b.m.FinishLearning(b.Context(), nil))
	b.m.Restart()
	b.now = b.now.Add(time.Hour)
	b.benign(30) // the statistics warm up
}

func (b *bench) flush() {
	b.Helper()
	b.must(b.m.Flush(b.Context()))
}

func (b *bench) device(mac zone.MAC) DeviceReport {
	b.Helper()
	for _, d := range b.m.Devices() {
		if d.MAC == mac {
			return d
		}
	}
	b.Fatalf("%s is not a device", mac)
	return DeviceReport{}
}

// decide puts an operator's action on the ledger, as a command beside the monitor does.
func (b *bench) decide(mac zone.MAC, body contract.Body) {
	b.Helper()
	d, ok, err := contract.ReadDevice(b.ledger.State(), mac)
	if err != nil || !ok {
		b.Fatalf("device %s: %v, %v", mac, ok, err)
	}
	genesis, err := contract.Parse(ledgertest.Genesis(b))
	b.must(err)
	tx := contract.Tx{Zone: genesis.Tx.Zone, Time: b.now, Device: mac, N: d.N + 1, Body: body}
	raw, err := tx.Sign(ledgertest.Master())
	b.must(err)
	b.must(b.ledger.Submit(b.Context(), raw))
	b.must(b.ledger.Commit(b.Context()))
}

// ledgerSays lists the ledger's transactions, one line each.
func (b *bench) ledgerSays() []string {
	b.Helper()
	var out []string
	for n := range b.ledger.Height() {
		block, err := b.ledger.Block(context.Background(), n)
		b.must(err)
		for _, raw := range block.Txs {
			out = append(out, fmt.Sprintf("%x", raw))
		}
	}
	return out
}

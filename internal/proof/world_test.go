package proof

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/embedded"
	"bellwether/internal/monitor"
	"bellwether/internal/mud"
	"bellwether/internal/packet"
	"bellwether/internal/roster"
	"bellwether/internal/simulate"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// key is a master's, the same in every run, so that the bundles are too.
func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func publicKey(n byte) ed25519.PublicKey { return key(n).Public().(ed25519.PublicKey) }

func master() ed25519.PublicKey { return publicKey(1) }

const (
	began  = zone.Time(1_700_000_000_000_000_000)
	window = 11
)

// world is a simulated home that was learned and attacked: the bundles of its
// alerts, one of each kind of evidence, and all rows of the device that the first is
// about.
type world struct {
	score, source, hosts, scan, peer, silent *Bundle
	rows                                     []zone.Snapshot
}

func (w *world) bundles() []*Bundle {
	return []*Bundle{w.score, w.source, w.hosts, w.scan, w.peer, w.silent}
}

var theWorld = sync.OnceValues(func() (w world, err error) {
	dir, err := os.MkdirTemp("", "proof")
	if err != nil {
		return w, err
	}
	defer os.RemoveAll(dir)
	return makeWorld(context.Background(), dir)
})

func testWorld(tb testing.TB) world {
	tb.Helper()
	w, err := theWorld()
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

// copyOf gives a bundle that the test may change.
func copyOf(tb testing.TB, b *Bundle) *Bundle {
	tb.Helper()
	again, err := Parse(marshal(tb, b))
	if err != nil {
		tb.Fatal(err)
	}
	return again
}

func marshal(tb testing.TB, b *Bundle) []byte {
	tb.Helper()
	raw, err := b.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func makeWorld(ctx context.Context, dir string) (w world, err error) {
	created := contract.ZoneCreated{Name: "home", UseCase: "smart-home", Master: [32]byte(master())}
	group := contract.GroupID(master(), began, created.Name)
	l, err := embedded.Open(filepath.Join(dir, "ledger"), key(1), embedded.Options{})
	if err != nil {
		return w, err
	}
	defer l.Close()
	raw, err := (&contract.Tx{Zone: group, Time: began, N: 1, Body: &created}).Sign(key(1))
	if err != nil {
		return w, err
	}
	if err := l.Submit(ctx, raw); err != nil {
		return w, err
	}
	s, err := store.Open(filepath.Join(dir, "store"), store.Options{Zone: group.String(), Names: feature.Names()})
	if err != nil {
		return w, err
	}
	defer s.Close()
	alerts, err := monitor.OpenAlerts(filepath.Join(dir, "alerts"))
	if err != nil {
		return w, err
	}
	defer alerts.Close()
	gateway, _ := newHome().Gateway()
	var raised []zone.Alert
	m, err := monitor.New(ctx, monitor.Options{
		Learn:  monitor.Learn{Snapshots: 200},
		Detect: detect.Options{Epochs: 2, MinWindow: window, MaxWindow: window}, ModelDir: dir,
	}, monitor.Parts{
		Roster: roster.New(roster.Options{Gateways: []zone.MAC{gateway}}), Store: s, Alerts: alerts, Ledger: l, Signer: key(1),
		OnAlert: func(a zone.Alert, _ ledger.Receipt) error { raised = append(raised, a); return nil },
		Network: func(mac zone.MAC, evidence []zone.Snapshot) (*zone.AlertNetwork, error) {
			if mac != newHome().Devices()[0].MAC {
				return nil, nil
			}
			f, err := mud.Parse([]byte(policyFile))
			if err != nil {
				return nil, err
			}
			return f.Profile.OfAlert(sha256.Sum256([]byte(policyFile)), policyNames(), evidence)
		},
	}, monitor.Past{Zone: group})
	if err != nil {
		return w, err
	}
	if err := live(ctx, m); err != nil {
		return w, err
	}
	anchor, err := identity.Anchor(ledger.Origin(group), master())
	if err != nil {
		return w, err
	}
	from := Source{Anchor: anchor, Ledger: l, Store: s, Model: func(d zone.Hash) ([]byte, error) {
		return os.ReadFile(filepath.Join(dir, d.String()+".model"))
	}, Policy: func(zone.MAC, zone.Hash, zone.Hash) ([]byte, map[string][]netip.Addr, error) {
		return []byte(policyFile), policyNames(), nil
	}}
	return collect(ctx, from, raised)
}

// policyFile is the network policy of the device that scans.
const policyFile = `{"ietf-mud:mud": {"mud-version": 1, "mud-url": "https://x.example/x.json", "last-update": "2026-01-31T12:00:00Z", "is-supported": true,
 "from-device-policy": {"access-lists": {"access-list": [{"name": "a"}]}}},
 "ietf-access-control-list:acls": {"acl": [{"name": "a", "type": "ipv4-acl-type", "aces": {"ace": [
  {"name": "web", "matches": {"ipv4": {"ietf-acldns:dst-dnsname": "x.example"}, "tcp": {"destination-port": {"port": 443}}}, "actions": {"forwarding": "accept"}},
  {"name": "time", "matches": {"ipv4": {"ietf-acldns:dst-dnsname": "time.example"}, "udp": {"destination-port": {"port": 123}}}, "actions": {"forwarding": "accept"}}]}}]}}`

func policyNames() map[string][]netip.Addr {
	return map[string][]netip.Addr{"x.example": {netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")}, "time.example": {netip.MustParseAddr("203.0.113.9")}}
}

func newHome() *simulate.Home { return simulate.NewHome(simulate.HomeOptions{Seed: 1, Start: began}) }

// live lets six devices of the home be learned, one of which tries many time
// servers; then one scans for victims, one forges its source address, two scan a
// host a minute, one connects to a victim once a second, and one sends it datagrams.
func live(ctx context.Context, m *monitor.Monitor) error {
	d := newHome().Devices()
	bad, forger, sly, late, caller, pest := d[0], d[1], d[2], d[3], d[4], d[9]
	gateway, _ := newHome().Gateway()
	learned := began.Add(40 * time.Minute)
	for _, mac := range []zone.MAC{bad.MAC, forger.MAC, sly.MAC, late.MAC, caller.MAC, pest.MAC} {
		if err := observe(ctx, m, newHome().Frames(learned), mac, 250, 1000); err != nil {
			return err
		}
	}
	if err := askTime(ctx, m, late, learned); err != nil {
		return err
	}
	if err := m.FinishLearning(ctx, nil); err != nil {
		return err
	}
	if _, err := m.Decide(ctx, bad.MAC, learned, &contract.NetworkPolicySet{Digest: sha256.Sum256([]byte(policyFile))}); err != nil {
		return err
	}
	for _, o := range []simulate.Overlay{
		{MAC: bad.MAC, IP: bad.IP, Kind: simulate.MiraiScan, Start: learned.Add(time.Minute)},
		{MAC: forger.MAC, IP: forger.IP, Kind: simulate.SpoofedFlood, Start: learned.Add(2 * time.Minute)},
	} {
		o.GatewayMAC, o.Duration, o.Rate, o.Seed = gateway, time.Second, 20, 1
		if err := observe(ctx, m, o.Frames(), o.MAC, 12, 3); err != nil {
			return err
		}
	}
	for _, d := range []simulate.Device{sly, late} {
		slow := simulate.Overlay{MAC: d.MAC, IP: d.IP, GatewayMAC: gateway, Kind: simulate.SlowScan,
			Start: learned.Add(time.Hour), Duration: 15 * time.Minute, Seed: 1}
		if err := observe(ctx, m, slow.Frames(), d.MAC, 26, 5); err != nil {
			return err
		}
	}
	if err := call(ctx, m, caller, learned.Add(2*time.Hour)); err != nil {
		return err
	}
	return pester(ctx, m, pest, learned.Add(2*time.Hour))
}

// victim is a host that nobody knows.
func victim() netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, 66}) }

// call lets a device open fourteen connections to the victim.
func call(ctx context.Context, m *monitor.Monitor, d simulate.Device, from zone.Time) error {
	for i := range 14 {
		p := packet.Packet{Time: from.Add(time.Duration(i) * 700 * time.Millisecond), Length: 74, Kind: packet.KindIPv4, EtherType: 0x0800, HasMAC: true,
			SrcMAC: d.MAC, Src: d.IP, Dst: victim(), Proto: 6, SrcPort: uint16(40000 + i), DstPort: 80, HasPorts: true, TCPFlags: 2}
		if err := m.Observe(ctx, &p); err != nil {
			return err
		}
	}
	return m.Flush(ctx)
}

// pester lets a device send the victim 45 datagrams in a second, after it was seen
// for a while.
func pester(ctx context.Context, m *monitor.Monitor, d simulate.Device, from zone.Time) error {
	for i := range 48 {
		at := from.Add(time.Duration(i) * 22 * time.Millisecond)
		if i < 3 {
			at = from.Add(time.Duration(i-3) * 50 * time.Second)
		}
		p := packet.Packet{Time: at, Length: 90, Kind: packet.KindIPv4, EtherType: 0x0800, HasMAC: true,
			SrcMAC: d.MAC, Src: d.IP, Dst: victim(), Proto: 17, SrcPort: 40000, DstPort: 5000, HasPorts: true}
		if err := m.Observe(ctx, &p); err != nil {
			return err
		}
	}
	return m.Flush(ctx)
}

// askTime lets a device try a dozen time servers that do not answer.
func askTime(ctx context.Context, m *monitor.Monitor, d simulate.Device, from zone.Time) error {
	for i := range 12 {
		p := packet.Packet{Time: from.Add(time.Duration(i) * time.Second), Length: 90, Kind: packet.KindIPv4, EtherType: 0x0800, HasMAC: true,
			SrcMAC: d.MAC, Src: d.IP, Dst: netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), Proto: 17, SrcPort: 123, DstPort: 123, HasPorts: true}
		if err := m.Observe(ctx, &p); err != nil {
			return err
		}
	}
	return nil
}

// observe shows the monitor the first packets of one device, and closes the
// segment after every few.
func observe(ctx context.Context, m *monitor.Monitor, frames iter.Seq[*simulate.Frame], mac zone.MAC, packets, segment int) error {
	var p packet.Packet
	n := 0
	for f := range frames {
		p.Time, p.Length = f.Time, len(f.Data)
		packet.Decode(packet.LinkEthernet, f.Data, &p)
		if p.SrcMAC != mac {
			continue
		}
		if err := m.Observe(ctx, &p); err != nil {
			return err
		}
		if n++; n == packets {
			return m.Flush(ctx)
		}
		if n%segment == 0 {
			if err := m.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%s sent only %d packets", mac, n)
}

// collect makes the bundles of the alerts.
func collect(ctx context.Context, from Source, raised []zone.Alert) (w world, err error) {
	for _, a := range raised {
		b, err := Make(ctx, from, a)
		if err != nil {
			return w, err
		}
		switch {
		case a.Reason == zone.ReasonScore && w.score == nil:
			w.score = b
		case a.Reason == zone.ReasonSource && w.source == nil:
			w.source = b
		case a.Reason == zone.ReasonHosts && w.hosts == nil:
			w.hosts = b
		case a.Reason == zone.ReasonScan && w.scan == nil:
			w.scan = b
		case a.Reason == zone.ReasonPeer && w.peer == nil:
			w.peer = b
		case a.Reason == zone.ReasonSilent && w.silent == nil:
			w.silent = b
		}
	}
	if slices.Contains(w.bundles(), nil) {
		return w, fmt.Errorf("the attacks raised %+v", raised)
	}
	for s, err := range from.Store.Rows(ctx, 1, from.Store.Last(), w.score.Alert.Device) {
		if err != nil {
			return w, err
		}
		w.rows = append(w.rows, *s)
	}
	return w, nil
}

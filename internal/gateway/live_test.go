package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bellwether/internal/contract"
	"bellwether/internal/monitor"
	"bellwether/internal/processtest"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

func TestLive(t *testing.T) { processtest.InNamespace(t, testLive) }

// The two ends of the cable.
const (
	watchedEnd = "watched"
	farEnd     = "far"
)

// livePatient is a device of a zone that a gateway watches live, and that was
// learned and watched from captures before.
type livePatient struct {
	*patient
	far  int // a socket on the far end of the cable
	stop func()
}

func testLive(t *testing.T) {
	for _, arg := range []string{"link add " + watchedEnd + " type veth peer name " + farEnd, "link set " + watchedEnd + " up", "link set " + farEnd + " up",
		"addr add 192.168.77.1/24 dev " + watchedEnd, "link set lo up"} {
		if out, err := exec.Command("ip", strings.Fields(arg)...).CombinedOutput(); err != nil {
			processtest.NoNamespace(t, fmt.Errorf("ip %s: %w: %s", arg, err, out))
		}
	}
	t.Run("while the ledger is away", testLiveOutage)
	var c Config
	c.Detector.Epochs = 5
	c.Store.MaxAge = Duration(50 * 365 * 24 * time.Hour)
	const longAgo = zone.Time(1_700_000_000_000_000_000) // always the same, so that the models are
	p := newPatientAt(t, longAgo, simulate.MiraiUDPPlain, c)
	p.live(0)
	p.live(0)
	auto, given := *p, *p
	for _, other := range []*patient{&auto, &given} {
		other.dir = keyedDir(t)
		if err := CopyState(p.dir, other.dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("network policy", func(t *testing.T) { testLiveMUD(t, &given) })
	t.Run("by word", func(t *testing.T) { testLiveByWord(t, p) })
	t.Run("by rule", func(t *testing.T) { testLiveByRule(t, &auto) })
}

// testLiveMUD gives a device a network policy and takes it away while the gateway
// watches: the next alert is held against the one in force.
func testLiveMUD(t *testing.T, p *patient) {
	l := p.begin(t)
	l.sends(20)
	order := func(o MUDOrder) MUDAnswer {
		t.Helper()
		a, err := OrderMUD(t.Context(), p.dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	s, err := OpenState(t.Context(), p.dir, StateOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	learned, err := s.LearnMUD(t.Context(), LearnMUD{Device: p.device.MAC})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []MUDOrder{{Device: p.device.MAC}, {Device: zone.MAC{2}, File: learned.File}, {Device: p.device.MAC, File: []byte("{}")},
		{Device: p.device.MAC, File: append(bytes.Clone(learned.File), ' '), Signature: learned.Signature}, {Device: p.device.MAC, File: bytes.Repeat([]byte{' '}, controlBytes)}} {
		if _, err := OrderMUD(t.Context(), p.dir, bad); err == nil {
			t.Errorf("%s %.20q was carried out", bad.Device, bad.File)
		}
	}
	order(MUDOrder{Device: p.device.MAC, File: append(bytes.Clone(learned.File), ' ')})
	order(MUDOrder{Device: p.device.MAC})
	given := order(MUDOrder{Device: p.device.MAC, File: learned.File, Signature: learned.Signature})
	if given.Signer != "this zone" || given.Rules == 0 || l.state().Network != given.SHA256 {
		t.Errorf("%+v, and the ledger says %s", given, l.state().Network)
	}
	l.scans()
	l.until("an alert was raised", func() bool { return l.newest().Network != nil })
	if n := l.newest().Network; n.SHA256 != given.SHA256 || n.Evidence.Outside == 0 {
		t.Errorf("the alert says %+v", n)
	}
	l.stop()
	verifies(t, p.dir)
}

// scans lets the device scan for victims.
func (l *livePatient) scans() {
	l.Helper()
	o := simulate.Overlay{MAC: l.device.MAC, IP: l.device.IP, GatewayMAC: l.router, Kind: simulate.MiraiScan, Start: zone.TimeOf(time.Now()), Duration: 5 * time.Second, Rate: 100, Seed: 1}
	for f := range o.Frames() {
		if _, err := unix.Write(l.far, f.Data); err != nil {
			l.Fatal(err)
		}
	}
}

// newest is the newest alert, beside the running gateway.
func (l *livePatient) newest() (a zone.Alert) {
	l.Helper()
	s, err := OpenState(l.Context(), l.dir, StateOptions{ReadOnly: true})
	if err != nil {
		l.Fatal(err)
	}
	defer s.Close()
	raised, err := s.Raised(l.Context())
	if err == nil && len(raised) > 0 {
		a, err = s.Alerts.ByDigest(raised[len(raised)-1])
	}
	if err != nil {
		l.Fatal(err)
	}
	return a
}

// begin runs a gateway on the patient's state directory until stop.
func (p *patient) begin(t *testing.T) *livePatient {
	t.Helper()
	c := p.config
	c.State, c.Interface, c.Gateways = p.dir, watchedEnd, []MAC{MAC(p.router)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Live{Config: c, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}.Run(ctx) }()
	l := &livePatient{patient: p}
	l.TB = t
	l.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	l.until("the gateway listens", func() bool {
		conn, err := net.Dial("unix", filepath.Join(p.dir, socketFile))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	l.plug()
	return l
}

// until waits for something.
func (l *livePatient) until(what string, holds func() bool) {
	l.Helper()
	for range 600 {
		if holds() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.Fatalf("waited in vain until %s", what)
}

func (l *livePatient) plug() {
	l.Helper()
	far, err := net.InterfaceByName(farEnd)
	if err != nil {
		l.Fatal(err)
	}
	if l.far, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err == nil {
		err = unix.Bind(l.far, &unix.SockaddrLinklayer{Ifindex: far.Index})
	}
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { unix.Close(l.far) })
}

// sends lets the device send n packets.
func (l *livePatient) sends(n int) {
	l.Helper()
	l.now = max(l.now, zone.TimeOf(time.Now()))
	for f := range l.own(l.now.Add(time.Hour)) {
		if zone.MAC(f.Data[6:12]) != l.device.MAC {
			continue
		}
		if _, err := unix.Write(l.far, f.Data); err != nil {
			l.Fatal(err)
		}
		if n--; n == 0 {
			return
		}
	}
}

// state is what the ledger says of the device, beside the running gateway.
func (l *livePatient) state() contract.DeviceState { return l.stateOf(l.device.MAC) }

func (l *livePatient) stateOf(mac zone.MAC) contract.DeviceState {
	l.Helper()
	s := mustOpen(l, l.dir, StateOptions{ReadOnly: true})
	defer s.Close()
	d, _, err := contract.ReadDevice(s.Ledger.State(), mac)
	if err != nil {
		l.Fatal(err)
	}
	return d
}

// An operator changes a model while the gateway watches and goes on answering; one
// who goes away gets what was ordered all the same.
func testLiveByWord(t *testing.T, p *patient) {
	first := p.inForce()
	l := p.begin(t)
	l.sends(20)
	adapted := make(chan *monitor.Adaptation, 1)
	go func() {
		a, err := p.change(monitor.Follow)
		if err != nil {
			t.Error(err)
			a = &monitor.Adaptation{}
		}
		adapted <- a
	}()
	a, answered := l.rename(adapted)
	t.Logf("while a shadow was learned from %d rows, %d other orders were carried out", a.Shadow.Rows, answered)
	if answered == 0 {
		t.Error("no other order was carried out while a shadow was learned")
	}
	l.sends(20)
	if d := l.state(); d.Model != a.Model.Digest || d.Model == first || d.Name != "patient" {
		t.Errorf("the ledger names model %s, the answer %s", d.Model.Short(), a.Model.Digest.Short())
	}
	l.sends(20)
	if back, err := p.change(monitor.GoBack); err != nil || back.Model.Digest != first {
		t.Errorf("rolled back to %+v, %v", back, err)
	}
	if _, err := p.change(monitor.GoBack); err == nil || !strings.Contains(err.Error(), "no former model") {
		t.Errorf("rolled back twice: %v", err)
	}
	gone, leave := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer leave()
	if _, err := ChangeModel(gone, p.dir, p.device.MAC, monitor.Follow); err == nil || !strings.Contains(err.Error(), "stopped waiting") {
		t.Errorf("who went away was told %v", err)
	}
	l.until("the model follows though nobody waits", func() bool { return l.state().Model == a.Model.Digest })
	l.stop()
	verifies(t, p.dir)
}

// rename gives the device names until the answer to another order is there, and counts
// them.
func (l *livePatient) rename(until <-chan *monitor.Adaptation) (a *monitor.Adaptation, answered int) {
	l.Helper()
	for {
		select {
		case a = <-until:
			return a, answered
		default:
		}
		if _, err := Decide(l.Context(), l.dir, l.device.MAC, Decision{Action: "rename", Name: "patient"}); err != nil {
			l.Error(err)
		}
		answered++
		l.sends(1)
	}
}

// By rule the gateway does it alone, once; device list tells.
func testLiveByRule(t *testing.T, p *patient) {
	p.config.Detector.Adapt, p.config.Detector.AdaptEvery = adaptAuto, Duration(30*time.Minute)
	p.config.Learn.Snapshots = 500 // newer ones are reason enough
	first := p.inForce()
	l := p.begin(t)
	l.sends(20)
	trial := func() (t *monitor.Trial) {
		s := mustOpen(l, l.dir, StateOptions{ReadOnly: true})
		defer s.Close()
		list, err := s.Calm(l.Context())
		if err != nil || len(list) != 1 {
			l.Fatalf("%d devices, %v", len(list), err)
		}
		return list[0].Trial
	}
	l.until("it was tried", func() bool { return trial() != nil })
	got := trial()
	t.Logf("%+v", got)
	if d := l.state(); got.Took != (d.Model != first) || got.Change != "auto" {
		t.Errorf("%+v, and the ledger names model %s", got, d.Model.Short())
	}
	l.stop()
	verifies(t, p.dir)
}

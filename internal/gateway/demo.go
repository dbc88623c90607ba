package gateway

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/monitor"
	"bellwether/internal/packet"
	"bellwether/internal/proof"
	"bellwether/internal/roster"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// Demo plays the story of a simulated home: its devices are learned, watched,
// and one of them is infected. Frames, features, models, verdicts, ledger and
// proof are the real ones; only the home is not.
type Demo struct {
	Dir    string // for the state directory and the proof; must be empty
	Seed   uint64
	Ledger LedgerConfig // zero: the embedded one
	Say    func(DemoLine)
}

// DemoLine is one line of the story.
type DemoLine struct {
	At    time.Duration // on the home's clock, since the story began
	Alert bool          // something was found
	Text  string
}

// The story's course on the home's clock, and how it is learned. A short
// training is enough for a home as regular as this one.
const (
	demoLearn     = 40 * time.Minute
	demoWatch     = 20 * time.Minute
	demoInfection = demoLearn + demoWatch/2
	demoSnapshots = 1000
	demoWork      = 40_000 // row-epochs a device
)

// demoStart is when the story begins on the home's clock.
var demoStart = zone.TimeOf(time.Date(2026, 3, 14, 8, 0, 0, 0, time.UTC))

// telling is a Demo under way.
type telling struct {
	Demo
	home    *simulate.Home
	webcam  simulate.Device
	state   *State
	monitor *monitor.Monitor
	packet  packet.Packet
	attacks map[string]bool // kinds that have begun
	begun   uint64          // packets of the attack so far
	first   zone.Time       // its first packet
	raised  []Raised
	delay   time.Duration // from the attack's first packet to the alert
	after   uint64        // attack packets until then
}

// Run tells the story.
func (d Demo) Run(ctx context.Context) error {
	t := &telling{Demo: d, attacks: map[string]bool{}}
	t.home = simulate.NewHome(simulate.HomeOptions{Seed: d.Seed, Start: demoStart})
	if err := t.open(ctx); err != nil {
		return err
	}
	defer t.state.Close()
	for _, chapter := range []func(context.Context) error{t.learn, t.infect, t.watch, t.sumUp, t.prove} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *telling) say(alert bool, format string, args ...any) {
	t.Say(DemoLine{At: t.packet.Time.Sub(demoStart), Alert: alert, Text: fmt.Sprintf(format, args...)})
}

// open makes the zone and its monitor.
func (t *telling) open(ctx context.Context) (err error) {
	t.packet.Time = demoStart
	o := Config{Ledger: t.Ledger}.stateOptions()
	o.Identity = Identity{Name: "Simulated home", UseCase: "smart-home", Created: demoStart}
	if t.state, err = OpenState(ctx, filepath.Join(t.Dir, "state"), o); err != nil {
		return err
	}
	past, err := t.state.past(ctx)
	if err != nil {
		return err
	}
	router, _ := t.home.Gateway()
	who := roster.Options{Gateways: []zone.MAC{router}, Names: map[zone.MAC]string{}}
	for _, d := range t.home.Devices() {
		who.Names[d.MAC] = d.Name
		if d.Kind == "webcam" {
			t.webcam = d
		}
	}
	t.monitor, err = monitor.New(ctx, monitor.Options{
		Learn: monitor.Learn{Snapshots: demoSnapshots}, Detect: detect.Options{Work: demoWork},
		ModelDir: t.state.path(modelDir), Workers: runtime.GOMAXPROCS(0),
		Batch: 1, // the story is told packet by packet
	}, monitor.Parts{
		Roster: roster.New(who), Store: t.state.Store, Alerts: t.state.Alerts, Leases: t.state.Leases, Ledger: t.state.Ledger, Signer: t.state.Key,
		OnAlert: raiser(ctx, t.state, t.alert),
	}, past)
	return err
}

// play lets the home live until a moment of the story.
func (t *telling) play(ctx context.Context, until time.Duration) error {
	for f := range t.home.Frames(demoStart.Add(until)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.packet.Time, t.packet.Length = f.Time, len(f.Data)
		packet.Decode(packet.LinkEthernet, f.Data, &t.packet)
		t.notice(f)
		if err := t.monitor.Observe(ctx, &t.packet); err != nil {
			return err
		}
	}
	return t.monitor.Flush(ctx)
}

// notice tells when an attack begins, which the monitor is not told.
func (t *telling) notice(f *simulate.Frame) {
	if f.Attack == "" || t.packet.SrcMAC != t.webcam.MAC {
		return
	}
	if t.begun == 0 {
		t.first = f.Time
	}
	t.begun++
	if !t.attacks[f.Attack] {
		t.attacks[f.Attack] = true
		t.say(false, "the infected %s begins: %s", t.webcam.Name, f.Attack)
	}
}

// alert tells what the monitor found.
func (t *telling) alert(r Raised) error {
	t.raised = append(t.raised, r)
	if r.Alert.Device == t.webcam.MAC && t.begun > 0 && t.after == 0 {
		t.after, t.delay = t.begun, r.Alert.Raised.Sub(t.first)
	}
	t.say(true, "%s stopped behaving like itself: %s", r.Alert.Name, r.Alert.Text)
	return nil
}

func (t *telling) learn(ctx context.Context) error {
	t.say(false, "a home of %d devices; each is learned while it is clean, for %s", len(t.home.Devices()), demoLearn)
	if err := t.play(ctx, demoLearn); err != nil {
		return err
	}
	t.say(false, "%d packets seen; training one autoencoder (115-86-57-37-28-37-57-86-115) for each device", t.monitor.Packets())
	began := time.Now()
	if err := t.monitor.FinishLearning(ctx, nil); err != nil {
		return err
	}
	for _, d := range t.monitor.Devices() {
		if d.State == zone.StateLearning {
			t.say(false, "%-16s %s of %s: still learning, so it is not judged", d.Name, monitor.Thousands(int64(d.LearnedSnapshots)), monitor.Thousands(int64(d.Needed)))
			continue
		}
		t.say(false, "%-16s learned from %s snapshots", d.Name, monitor.Thousands(int64(d.LearnedSnapshots)))
	}
	t.say(false, "trained in %.1f s; every model's digest is on the ledger", time.Since(began).Seconds())
	return nil
}

// infect plans what happens half-way through watching.
func (t *telling) infect(context.Context) error {
	at := demoStart.Add(demoInfection)
	return t.home.Infect(t.webcam.MAC, []simulate.Attack{
		{Kind: simulate.MiraiScan, Start: at, Duration: 60 * time.Second},
		{Kind: simulate.MiraiSYN, Start: at.Add(90 * time.Second), Duration: 5 * time.Second, Rate: 1000},
		{Kind: simulate.MiraiUDP, Start: at.Add(120 * time.Second), Duration: 5 * time.Second, Rate: 1000},
		{Kind: simulate.MiraiACK, Start: at.Add(150 * time.Second), Duration: 5 * time.Second, Rate: 1000},
	})
}

func (t *telling) watch(ctx context.Context) error {
	t.say(false, "now watching, for %s", demoWatch)
	if err := t.play(ctx, demoInfection); err != nil {
		return err
	}
	before, err := t.state.Trust(ctx, t.packet.Time, 0)
	if err != nil {
		return err
	}
	t.say(false, "%s without infection: %d alerts; the zone's trust is %.2f", demoWatch/2, len(t.raised), before.Trust)
	if err := t.play(ctx, demoLearn+demoWatch); err != nil {
		return err
	}
	after, err := t.state.Trust(ctx, t.packet.Time, 0)
	if err != nil {
		return err
	}
	t.say(false, "the zone's trust went from %.2f to %.2f; %s asks for %.2f", before.Trust, after.Trust, after.ThresholdFrom, after.Threshold)
	return nil
}

func (t *telling) sumUp(context.Context) error {
	others := 0
	for _, r := range t.raised {
		if r.Alert.Device != t.webcam.MAC {
			others++
		}
	}
	if t.after == 0 {
		return fmt.Errorf("the demonstration failed: the infected %s was not found", t.webcam.Name)
	}
	t.say(true, "%s was found %s and %d packets into the attack; false alarms: %d", t.webcam.Name, t.delay.Round(time.Microsecond), t.after, others)
	return nil
}

// prove writes the proof of the first alert about the webcam and checks it.
func (t *telling) prove(ctx context.Context) error {
	for _, r := range t.raised {
		if r.Alert.Device != t.webcam.MAC {
			continue
		}
		b, err := t.state.Prove(ctx, r.ID)
		if err != nil {
			return err
		}
		raw, err := b.Marshal()
		if err != nil {
			return err
		}
		path := filepath.Join(t.Dir, "proof.json")
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			return err
		}
		t.say(false, "the proof of %s, %s bytes, as a stranger checks it:", r.ID, monitor.Thousands(int64(len(raw))))
		return t.check(raw)
	}
	return nil
}

func (t *telling) check(raw []byte) error {
	b, err := proof.Parse(raw)
	if err != nil {
		return err
	}
	steps, err := proof.Verify(b, t.state.Key.Ed25519(), nil)
	for _, s := range steps {
		t.say(false, "  ok  %-9s %s", s.Name, s.Says)
	}
	return err
}

package rehearse

import (
	"cmp"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/monitor"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// allPoisons makes TestSlowPoisoning try every device with every attack.
const allPoisons = "BELLWETHER_TEST_ALL_POISONS"

// ward is a simulated home of which some devices were learned, and its later days.
type ward struct {
	state   string
	days    []string
	devices []simulate.Device
	router  zone.MAC
	config  gateway.Config
}

func newWard(t *testing.T, kinds ...string) *ward {
	t.Helper()
	dir := t.TempDir()
	sim := simulate.NewHome(simulate.HomeOptions{Seed: 11, Start: homeStart, Activity: 2})
	w := &ward{state: filepath.Join(dir, "state")}
	w.router, _ = sim.Gateway()
	for _, d := range sim.Devices() {
		if slices.Contains(kinds, d.Kind) {
			w.devices = append(w.devices, d)
		}
	}
	w.config.Detector.Epochs = 4
	w.config.Learn.Snapshots = 300
	w.config.Gateways = []gateway.MAC{gateway.MAC(w.router)}
	now := homeStart
	record := func(name string, lasts time.Duration) string {
		now = now.Add(lasts)
		path := filepath.Join(dir, name)
		if err := saveFrames(path, w.own(sim.Frames(now))); err != nil {
			t.Fatal(err)
		}
		return path
	}
	learn := record("learn.pcap", time.Hour)
	if _, err := (gateway.Replay{StateDir: w.state, Learn: []string{learn}, Config: w.config}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 14 {
		w.days = append(w.days, record(fmt.Sprintf("day-%d.pcap", i), 18*time.Minute))
	}
	return w
}

// own are the frames of the ward's devices alone.
func (w *ward) own(all iter.Seq[*simulate.Frame]) iter.Seq[*simulate.Frame] {
	return func(yield func(*simulate.Frame) bool) {
		for f := range all {
			if slices.ContainsFunc(w.devices, func(d simulate.Device) bool { return d.MAC == f.Device }) && !yield(f) {
				return
			}
		}
	}
}

func saveFrames(path string, all iter.Seq[*simulate.Frame]) error {
	c, err := create(path)
	if err != nil {
		return err
	}
	for f := range all {
		if _, err := c.write(capture.Frame{Time: f.Time, Link: packet.LinkEthernet, Data: f.Data, Length: len(f.Data)}); err != nil {
			return err
		}
	}
	return c.close()
}

// poison is one way to poison a kind of device.
type poison struct {
	device, attack string
	from           float64 // strikes a second on the first day
}

// poisons are some of each, or with allPoisons every attack on every device.
func poisons() []poison {
	some := []poison{{"smart TV", simulate.MiraiUDPPlain, 0.25}, {"thermostat", simulate.TelnetScan, 0.02}, {"doorbell", simulate.Exfiltration, 0.125}}
	if os.Getenv(allPoisons) == "" {
		return some
	}
	var all []poison
	for _, device := range []string{"webcam", "thermostat", "doorbell", "voice assistant", "hub", "smart TV"} {
		for _, p := range some {
			all = append(all, poison{device, p.attack, p.from})
		}
	}
	return all
}

// Whoever teaches a device's model an attack bit by bit is refused or found, and comes
// no further than the bound: what the first model finds, the last one finds at twice
// the rate, by the scores alone and with the plain evidence.
func TestSlowPoisoning(t *testing.T) {
	if testing.Short() {
		t.Skip("weeks of a device's life")
	}
	var kinds []string
	for _, p := range poisons() {
		kinds = append(kinds, p.device)
	}
	w := newWard(t, kinds...)
	for _, p := range poisons() {
		for evidence, without := range map[string][]string{"scores alone": monitor.Reasons()[1:], "all evidence": nil} {
			t.Run(p.device+"/"+p.attack+"/"+evidence, func(t *testing.T) { w.poison(t, p, without) })
		}
	}
}

func (w *ward) poison(t *testing.T, p poison, without []string) {
	d := w.devices[slices.IndexFunc(w.devices, func(d simulate.Device) bool { return d.Kind == p.device })]
	c := w.config
	c.Detector.Without = without
	got, err := Poisoning{State: w.state, Days: w.days, From: p.from, Grow: 2, Lasts: 90 * time.Second, Config: c,
		Dir: t.TempDir(), Control: os.Getenv(allPoisons) != "",
		Attack: simulate.Overlay{MAC: d.MAC, IP: d.IP, GatewayMAC: w.router, Kind: p.attack, Seed: 5}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, day := range got.Days {
		t.Logf("day %d: %.4g/s, %d alarms, %s", i+1, day.Rate, day.Alarms, cmp.Or(day.Refused, "followed"))
	}
	t.Logf("followed %d times, up to %.4g/s, %s", got.Followed, got.Reached, got.End)
	for i, before := range got.Before {
		t.Logf("at %.4g/s: %+v before, %+v after; control %+v", before.Rate, before, got.After[i], got.Control)
		if found := got.After[max(0, i-1)].Found; before.Found && !found {
			t.Errorf("what is found at %.4g/s before is not found after at twice that", before.Rate)
		}
	}
	if got.End == "days over" || got.End == "own rate" {
		t.Errorf("it ends with %s", got.End)
	}
}

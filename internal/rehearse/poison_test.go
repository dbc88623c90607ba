package rehearse

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// poisons are ways to poison, with the first day's rate.
func poisons() map[string]float64 {
	return map[string]float64{simulate.MiraiUDPPlain: 1, simulate.TelnetScan: 0.02, simulate.Exfiltration: 0.5}
}

// Whoever teaches a device's model an attack bit by bit is refused or found, or does not
// get far enough: at its own strength it still raises an alarm under the last model.
func TestSlowPoisoning(t *testing.T) {
	if testing.Short() {
		t.Skip("weeks of a device's life")
	}
	all := os.Getenv(allPoisons) != ""
	w := newWard(t, "webcam", "doorbell", "voice assistant", "hub", "smart TV", "thermostat")
	for _, d := range w.devices {
		for kind, from := range poisons() {
			for _, plain := range []bool{false, true} {
				if !all && false {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/plain %v", d.Kind, kind, plain), func(t *testing.T) { w.poison(t, d, kind, from, plain) })
			}
		}
	}
}

func (w *ward) poison(t *testing.T, d simulate.Device, kind string, from float64, plain bool) {
	began := time.Now()
	c := w.config
	if !plain {
		c.Detector.Without = monitor.Reasons()[1:]
	}
	got, err := Poisoning{State: w.state, Days: w.days, From: from, Grow: 2, Lasts: 90 * time.Second, Config: c, Dir: t.TempDir(), Control: os.Getenv(allPoisons) != "",
		Attack: simulate.Overlay{MAC: d.MAC, IP: d.IP, GatewayMAC: w.router, Kind: kind, Seed: 5}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var says []string
	for i := range got.Before {
		b, a := got.Before[i], got.After[i]
		says = append(says, fmt.Sprintf("%.4g/s %v→%v (%.2f→%.2f)", b.Rate, b.Found, a.Found, b.Flagged, a.Flagged))
		if b.Found && !a.Found {
			t.Errorf("%s, %s at %.4g/s is found before and not after", d.Kind, kind, b.Rate)
		}
	}
	for i, c := range got.Control {
		says[i] += fmt.Sprintf(" control %v (%.2f)", c.Found, c.Flagged)
	}
	t.Logf("%-16s %-15s plain %-5v %2d days, followed %2d, up to %.4g/s, %s; %s; in %.1f s", d.Kind, kind, plain, len(got.Days), got.Followed, got.Reached, got.End, strings.Join(says, ", "), time.Since(began).Seconds())
	for i, day := range got.Days {
		if testing.Verbose() {
			t.Logf("   day %d: %.4g/s, %d alarms, %s", i+1, day.Rate, day.Alarms, day.Refused)
			if f := day.Found; f != nil {
				t.Logf("      gates %+v", f.Gates)
				t.Logf("      anchor %+v", f.Anchor)
				t.Logf("      present %+v", f.Present)
				t.Logf("      shadow %+v", f.Shadow)
			}
		}
	}
}

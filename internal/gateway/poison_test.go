package gateway

import (
	"errors"
	"iter"
	"testing"
	"time"

	"bellwether/internal/monitor"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// patient is somebody who has a device and teaches its gateway a flood: a little
// more of it each day, day after day, with a model that follows whenever it may.
type patient struct {
	testing.TB
	dir    string
	config Config
	home   *simulate.Home
	device simulate.Device
	router zone.MAC
	kind   string
	day    int
	now    zone.Time
}

const dayLong = 18 * time.Minute

func newPatient(t testing.TB, kind string, c Config) *patient {
	return newPatientAt(t, homeStart, kind, c)
}

func newPatientAt(t testing.TB, start zone.Time, kind string, c Config) *patient {
	t.Helper()
	p := &patient{TB: t, dir: keyedDir(t), config: c, kind: kind, now: start.Add(2 * time.Hour)}
	p.home = simulate.NewHome(simulate.HomeOptions{Seed: 7, Start: start, Activity: 1})
	p.router, _ = p.home.Gateway()
	for _, d := range p.home.Devices() {
		if d.Kind == "webcam" {
			p.device = d
		}
	}
	mustRun(t, Replay{StateDir: p.dir, Learn: []string{saveCapture(t, p.own(p.now))}, Config: c})
	return p
}

// own are the frames of the device alone, up to a moment.
func (p *patient) own(until zone.Time) iter.Seq[*simulate.Frame] {
	return func(yield func(*simulate.Frame) bool) {
		for f := range p.home.Frames(until) {
			if f.Device == p.device.MAC && !yield(f) {
				return
			}
		}
	}
}

func (p *patient) flood(start zone.Time, rate float64, lasts time.Duration) iter.Seq[*simulate.Frame] {
	return simulate.Overlay{MAC: p.device.MAC, IP: p.device.IP, GatewayMAC: p.router, Kind: p.kind,
		Start: start, Duration: lasts, Rate: rate, Seed: uint64(p.day)}.Frames()
}

// live lets the device live for a day, with a minute and a half of flooding at a
// rate in it; none at 0.
func (p *patient) live(rate float64) DeviceReport {
	p.Helper()
	frames, noon := p.own(p.now.Add(dayLong)), p.now.Add(6*time.Minute)
	if rate > 0 {
		frames = simulate.Merge(frames, p.flood(noon, rate, 90*time.Second))
	}
	p.now, p.day = p.now.Add(dayLong), p.day+1
	return deviceIn(p, mustRun(p, Replay{StateDir: p.dir, Watch: []string{saveCapture(p, frames)}, Config: p.config}), p.device.MAC)
}

// change changes the device's model, if it may.
func (p *patient) change(c monitor.Change) (*monitor.Adaptation, error) {
	return ChangeModel(p.Context(), p.dir, p.device.MAC, c)
}

// found reports whether a flood at that rate raises an alarm, and the share of its
// snapshots that are flagged.
func (p *patient) found(rate float64) (bool, float64) {
	p.Helper()
	dir := keyedDir(p)
	if err := CopyState(p.dir, dir); err != nil {
		p.Fatal(err)
	}
	flood := saveCapture(p, p.flood(p.now.Add(time.Hour), rate, 10*time.Second))
	d := deviceIn(p, mustRun(p, Replay{StateDir: dir, Watch: []string{flood}, Config: p.config}), p.device.MAC)
	return len(d.Alerts) == 1, float64(d.FlaggedSnapshots) / float64(d.WatchedSnapshots)
}

// Somebody raises a flood day by day, half as much again whenever yesterday's
// raised no alarm, and the model follows each day. The bound ends that while
// the flood, and one of half its rate, are still found, by the scores alone.
func TestSlowPoisoningIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("weeks of a device's life")
	}
	const flood = 1500 // packets a second, what Mirai's plain UDP flood makes of a camera
	var c Config
	c.Detector.Epochs = 5
	c.Detector.Without = monitor.Reasons()[1:]
	p := newPatient(t, simulate.MiraiUDPPlain, c)
	followed, reached := 0, 0.0
	var refused *monitor.BoundError
	for rate := 0.5; p.day < 40 && refused == nil; {
		d := p.live(rate)
		a, err := p.change(monitor.Follow)
		if d.State == zone.StateMalicious.String() {
			p.live(0) // it becomes quiet
			a, err = p.change(monitor.Follow)
		}
		if err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		t.Logf("day %d, %.3g packets/s: %d of %d flagged, %d alerts; %d passed the gates, highest score %.3g of the anchor's %.3g, together %.3g of %.3g; thresholds %.3g, %.3g; %v",
			p.day, rate, d.FlaggedSnapshots, d.WatchedSnapshots, len(d.Alerts), a.Gates.Passed, a.Anchor.Highest, a.Anchor.Threshold, a.Anchor.Together, a.Anchor.Usual, a.Present.Threshold, a.Shadow.Threshold, err)
		if err == nil {
			followed++
		}
		if len(d.Alerts) == 0 {
			reached, rate = rate, rate*1.5
		}
	}
	if refused == nil || followed < 3 {
		t.Errorf("the model followed %d times up to %.3g packets/s, and then: %v; want it to follow, and to be refused", followed, reached, refused)
	}
	for _, rate := range []float64{flood, flood / 2, flood / 10} {
		found, share := p.found(rate)
		t.Logf("a flood of %v packets/s: found %v, %.4f flagged", rate, found, share)
		if !found {
			t.Errorf("after %d models a flood of %v packets/s raises no alarm", followed, rate)
		}
	}
	verifies(t, p.dir)
}

package gateway

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// deviceIn gives a device's part of a report.
func deviceIn(t testing.TB, r *Report, mac zone.MAC) DeviceReport {
	t.Helper()
	for _, d := range r.Devices {
		if d.MAC == mac {
			return d
		}
	}
	t.Fatalf("the report has no device %s", mac)
	return DeviceReport{}
}

func TestReplayFindsTheInfectedWebcam(t *testing.T) {
	c := homeCaptures(t)
	dir, r := finished(t)
	for _, d := range r.Devices {
		if d.MAC != c.webcam.MAC && len(d.Alerts) != 0 {
			t.Errorf("%s: %q, want no alert", d.MAC, d.Alerts[0].Reason)
		}
	}
	cam := deviceIn(t, r, c.webcam.MAC)
	if cam.State != "malicious" || len(cam.Alerts) != 1 {
		t.Fatalf("the webcam is %s with %d alerts", cam.State, len(cam.Alerts))
	}
	a := cam.Alerts[0]
	if !strings.Contains(a.Reason, "hosts it never contacted before") {
		t.Errorf("the reason is %q", a.Reason)
	}
	start, err := time.Parse(time.RFC3339Nano, a.Start)
	if err != nil {
		t.Fatal(err)
	}
	if late := zone.TimeOf(start).Sub(c.attack); late < 0 || late > 2*time.Second {
		t.Errorf("the alert came %s after the attack's first packet", late)
	}
	n := uint64(0)
	for f := range frames(t, c.watch) {
		if n == a.FirstPacket && f.Time != zone.TimeOf(start) {
			t.Errorf("packet %d is of %s, the alert of %s", n, f.Time, a.Start)
		}
		n++
	}
	if a.FirstPacket >= n {
		t.Errorf("the alert names packet %d of %d", a.FirstPacket, n)
	}
	if audit := verifies(t, dir); audit.Alerts != 1 || audit.Blocks != r.Ledger.Height || audit.Waiting != 0 {
		t.Errorf("the audit has %+v, the report %+v", audit, r.Ledger)
	}
	if r.Zone.Trust >= 0.6 || r.WatchedSeconds < 115 || r.WatchedSeconds > 120 {
		t.Errorf("trust %v over %v s, want it low, and two minutes", r.Zone.Trust, r.WatchedSeconds)
	}
}

func TestStillLearning(t *testing.T) {
	_, r := finished(t)
	few := 0
	for _, d := range r.Devices {
		if d.LearnedSnapshots >= d.NeededSnapshots {
			continue
		}
		few++
		if d.State != "learning" || d.Threshold != nil || d.WatchedSnapshots != 0 || d.FlaggedSnapshots != 0 || len(d.Alerts) != 0 {
			t.Errorf("%s learned from %d of %d snapshots and is judged: %+v", d.MAC, d.LearnedSnapshots, d.NeededSnapshots, d)
		}
	}
	if few == 0 {
		t.Error("every device sent enough to be learned: this test tests nothing")
	}
}

func TestRepeatedRunIsTheSame(t *testing.T) {
	dir, r := finished(t)
	want := resultOf(t, dir, r)
	again := mustRun(t, whole(t, dir))
	same(t, resultOf(t, dir, again), want)
}

func TestSecondRunJudgesWithWhatWasLearned(t *testing.T) {
	c := homeCaptures(t)
	dir := keyedDir(t)
	first := whole(t, dir)
	first.Watch = nil
	learned := mustRun(t, first)
	second := whole(t, dir)
	second.Learn = nil
	r := mustRun(t, second)
	cam := deviceIn(t, r, c.webcam.MAC)
	if len(cam.Alerts) != 1 || cam.State != "malicious" {
		t.Errorf("the webcam is %s with %d alerts", cam.State, len(cam.Alerts))
	}
	for _, d := range learned.Devices {
		if now := deviceIn(t, r, d.MAC); now.LearnedSnapshots != d.LearnedSnapshots {
			t.Errorf("%s learned from %d snapshots, the second run says %d", d.MAC, d.LearnedSnapshots, now.LearnedSnapshots)
		}
	}
	third := mustRun(t, func() Replay { r := whole(t, dir); r.Learn = nil; r.Config.Trust.Threshold = 0.5; return r }())
	if third.Ledger != r.Ledger {
		t.Errorf("the second run given again goes on at %+v, it ended at %+v", third.Ledger, r.Ledger)
	}
	verifies(t, dir)
}

// Devices that had too little to learn from do not learn from what was watched.
func TestWatchedSnapshotsAreNotLearned(t *testing.T) {
	c := homeCaptures(t)
	dir, first := finished(t)
	other := saveCapture(t, simulate.Overlay{MAC: zone.MAC{0, 0, 0x5e, 0, 0x53, 0x77}, IP: netip.MustParseAddr("192.168.77.99"), GatewayMAC: c.router,
		Kind: simulate.Exfiltration, Start: homeStart.Add(time.Hour), Duration: 3 * time.Second}.Frames())
	r := mustRun(t, Replay{StateDir: dir, Watch: []string{other}, Config: quickly()})
	for _, d := range first.Devices {
		if now := deviceIn(t, r, d.MAC); now.LearnedSnapshots != d.LearnedSnapshots || now.State != d.State {
			t.Errorf("%s: %s after %d learned snapshots; before the run %s after %d", d.MAC, now.State, now.LearnedSnapshots, d.State, d.LearnedSnapshots)
		}
	}
	verifies(t, dir)
}

func TestRefusals(t *testing.T) {
	c := homeCaptures(t)
	stopped := keyedDir(t)
	if _, err := whole(t, stopped).Run(stopAfter(t.Context(), 60)); !errors.Is(err, context.Canceled) {
		t.Fatalf("the run was not stopped: %v", err)
	}
	learned, _ := finished(t)
	empty := filepath.Join(t.TempDir(), "empty.pcap")
	if err := writeCapture(empty, ticking(0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	strangers := t.TempDir()
	if err := os.WriteFile(filepath.Join(strangers, "letter.txt"), []byte("dear"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name   string
		change func(*Replay)
		want   string
	}{
		{"another replay is unfinished", func(r *Replay) { r.StateDir, r.Config.Learn.Snapshots = stopped, 500 }, "unfinished replay"},
		{"learned already", func(r *Replay) { r.StateDir, r.Watch = learned, []string{c.learn} }, "has learned its devices already: leave out --learn"},
		{"nothing learned", func(r *Replay) { r.Learn = nil }, "has learned nothing yet: give --learn"},
		{"missing capture", func(r *Replay) { r.Watch = []string{"nowhere.pcap"} }, `"nowhere.pcap": no such file`},
		{"empty capture", func(r *Replay) { r.Watch = []string{empty} }, "holds no packets"},
		{"not a capture", func(r *Replay) { r.Watch = []string{filepath.Join(strangers, "letter.txt")} }, "letter.txt"},
		{"not a state directory", func(r *Replay) { r.StateDir = strangers }, "neither empty nor a state directory"},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := whole(t, filepath.Join(t.TempDir(), "state"))
			x.change(&r)
			if _, err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want %q", err, x.want)
			}
		})
	}
	verifies(t, learned)
	again := whole(t, learned)
	again.Learn, again.Watch = nil, []string{c.learn}
	mustRun(t, again) // what was refused does not stand in its way
}

func TestDamagedCaptureIsUsedAsFarAsItGoes(t *testing.T) {
	c := homeCaptures(t)
	raw := readFile(t, c.watch)
	cut := filepath.Join(t.TempDir(), "cut.pcap")
	if err := os.WriteFile(cut, raw[:len(raw)/2+3], 0o644); err != nil {
		t.Fatal(err)
	}
	r := whole(t, keyedDir(t))
	r.Watch = []string{cut}
	var warned []error
	r.Events.Warning = func(err error) { warned = append(warned, err) }
	report := mustRun(t, r)
	if len(report.Damaged) != 1 || len(warned) != 1 || !strings.Contains(report.Damaged[0], "cut.pcap") || !strings.Contains(report.Damaged[0], "byte") {
		t.Errorf("the report names %q, %d warnings: want the file and the byte", report.Damaged, len(warned))
	}
	if report.WatchedSeconds < 30 {
		t.Errorf("only %v s of the damaged capture were watched", report.WatchedSeconds)
	}
}

func TestDecisions(t *testing.T) {
	c := homeCaptures(t)
	dir, first := finished(t)
	decide := func(d Decision) {
		t.Helper()
		if _, err := Decide(t.Context(), dir, c.webcam.MAC, d); err != nil {
			t.Fatal(err)
		}
	}
	now := homeStart.Add(time.Hour)
	decide(Decision{Action: "rename", Name: "Front door", Now: now})
	decide(Decision{Action: contract.ActionSilence, For: 24 * time.Hour, Note: "repair", Now: now})
	decide(Decision{Action: contract.ActionUnsilence, Now: now})
	decide(Decision{Action: contract.ActionRelearn, Now: now})
	r := mustRun(t, whole(t, dir))
	cam := deviceIn(t, r, c.webcam.MAC)
	if cam.Name != "Front door" || r.Ledger.Height <= first.Ledger.Height {
		t.Errorf("the webcam is called %q, %d blocks became %d: want its new name, and a new run", cam.Name, first.Ledger.Height, r.Ledger.Height)
	}
	if cam.State != "malicious" || len(cam.Alerts) != 1 || cam.LearnedSnapshots != deviceIn(t, first, c.webcam.MAC).LearnedSnapshots {
		t.Errorf("after it learned again the webcam is %s with %d alerts and %d snapshots", cam.State, len(cam.Alerts), cam.LearnedSnapshots)
	}
	if again := mustRun(t, whole(t, dir)); again.Ledger != r.Ledger {
		t.Errorf("the run given again ends at %+v, it ended at %+v", again.Ledger, r.Ledger)
	}
	verifies(t, dir)
}

// A silence that is told today does not keep back alerts of captures of another day.
func TestSilenceOfAnotherDay(t *testing.T) {
	c := homeCaptures(t)
	for _, x := range []struct {
		who  zone.MAC
		from zone.Time
		want int
	}{{c.webcam.MAC, homeStart.Add(24 * time.Hour), 1}, {zone.MAC{}, homeStart, 0}} {
		dir := keyedDir(t)
		first := whole(t, dir)
		first.Watch = nil
		mustRun(t, first)
		if _, err := Decide(t.Context(), dir, x.who, Decision{Action: contract.ActionSilence, For: 2 * time.Hour, Now: x.from}); err != nil {
			t.Fatal(err)
		}
		second := whole(t, dir)
		second.Learn = nil
		told := 0
		second.Events.Alert = func(Raised) error { told++; return nil }
		r := mustRun(t, second)
		if told != x.want || r.Dropped.SilencedAlerts != uint64(1-told) || len(deviceIn(t, r, c.webcam.MAC).Alerts) != 1 {
			t.Errorf("%s silenced from %s on: %d alerts were told, %d silenced; want %d told", x.who, x.from, told, r.Dropped.SilencedAlerts, x.want)
		}
		verifies(t, dir)
	}
}

// A decision does not come in between the halves of a run.
func TestNoDecisionInAnUnfinishedRun(t *testing.T) {
	c := homeCaptures(t)
	dir := keyedDir(t)
	if _, err := whole(t, dir).Run(stopAfter(t.Context(), 200)); !errors.Is(err, context.Canceled) {
		t.Fatalf("the run was not stopped: %v", err)
	}
	_, err := Decide(t.Context(), dir, c.webcam.MAC, Decision{Action: "rename", Name: "Front door", Now: homeStart.Add(time.Hour)})
	if err == nil || !strings.Contains(err.Error(), "unfinished replay") {
		t.Errorf("got %v, want that the unfinished replay comes first", err)
	}
	mustRun(t, whole(t, dir))
}

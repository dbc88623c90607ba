package monitor

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/zone"
)

// following is a live bench whose devices are watched and have sent enough since
// they were learned that a model may follow them.
type following struct {
	*bench
	jobs  *[]func(context.Context)
	first zone.Hash // the camera's model
	told  []error   // of changes that were asked for
	found *Adaptation
}

func newFollowing(t *testing.T, every time.Duration) *following {
	t.Helper()
	b, jobs := liveBench(t)
	b.o.AdaptEvery = every
	b.start()
	b.benign(400)
	b.flush()
	b.run(t.Context(), jobs)
	f := &following{bench: b, jobs: jobs, first: b.m.devices[camera].digest}
	b.benign(1300) // three quarters of an hour
	b.flush()
	if b.device(camera).State != zone.StateWatching || len(*jobs) != 0 {
		t.Fatalf("the camera is %s, %d jobs", b.device(camera).State, len(*jobs))
	}
	return f
}

func (f *following) ask(c Change) {
	f.Helper()
	f.must(f.m.ChangeModel(f.Context(), camera, c, func(a *Adaptation, err error) { f.found, f.told = a, append(f.told, err) }))
}

func (f *following) tick() {
	f.Helper()
	f.must(f.m.Tick(f.Context(), f.now))
}

// inForce checks which model judges the camera, here and by the ledger.
func (f *following) inForce(want zone.Hash) {
	f.Helper()
	d, _, err := contract.ReadDevice(f.ledger.State(), camera)
	f.must(err)
	if have := f.m.devices[camera].digest; have != want || d.Model != want {
		f.Errorf("model %s judges, the ledger says %s, want %s", have.Short(), d.Model.Short(), want.Short())
	}
}

// refused checks what the last change that was asked for came to.
func (f *following) refused(times int, words string) {
	f.Helper()
	if len(f.told) != times {
		f.Fatalf("told %d times, want %d: %v", len(f.told), times, f.told)
	}
	switch err := f.told[times-1]; {
	case words == "" && err != nil:
		f.Fatal(err)
	case words != "" && (err == nil || !strings.Contains(err.Error(), words)):
		f.Fatalf("%v, want %q", err, words)
	}
}

// A model takes over while packets go on, and goes back; what was met before is
// known after.
func TestChangesWhileWatching(t *testing.T) {
	f := newFollowing(t, 0)
	f.ask(Compare)
	f.benign(50)
	f.run(t.Context(), f.jobs)
	f.refused(1, "")
	f.inForce(f.first)
	f.ask(Follow)
	f.benign(50)
	f.ask(Follow)
	f.refused(2, "being learned already")
	f.inForce(f.first)
	f.run(t.Context(), f.jobs)
	f.refused(3, "")
	second := f.found.Model.Digest
	f.inForce(second)
	if second == f.first || f.found.Shadow.Digest != second || f.found.ID == (zone.HID{}) {
		t.Errorf("found %+v", f.found)
	}
	f.start()
	f.inForce(second)
	f.ask(GoBack)
	f.run(t.Context(), f.jobs)
	f.refused(4, "")
	f.inForce(f.first)
	f.ask(GoBack)
	f.run(t.Context(), f.jobs)
	f.refused(5, "no former model")
	f.ask("auto")
	f.refused(6, "no change")
	f.benign(100)
	f.scan(600)
	f.flush()
	if len(f.alerts) != 1 || f.alerts[0].Model != f.first {
		t.Errorf("%d alerts", len(f.alerts))
	}
	f.ask(Follow)
	f.refused(7, "is malicious: its model changes only while it is watched")
}

// A device that is called malicious or sent back to learning meanwhile keeps its
// model, and who asked is told at once.
func TestChangeIsGivenUp(t *testing.T) {
	t.Run("malicious", func(t *testing.T) {
		f := newFollowing(t, 0)
		f.ask(Follow)
		f.scan(600)
		f.flush()
		f.refused(1, "was called malicious while its shadow model was learned")
		f.benign(600) // it is watched again
		f.run(t.Context(), f.jobs)
		f.refused(1, "was called malicious")
		f.inForce(f.first)
	})
	t.Run("relearn", func(t *testing.T) {
		f := newFollowing(t, 0)
		f.ask(Follow)
		_, err := f.m.Decide(t.Context(), camera, f.now, &contract.OperatorAction{Action: contract.ActionRelearn})
		f.must(err)
		f.refused(1, "was sent back to learning while")
		f.run(t.Context(), f.jobs)
		f.inForce(zone.Hash{})
	})
	t.Run("restart", func(t *testing.T) {
		f := newFollowing(t, 0)
		f.ask(Follow)
		f.start()
		f.run(t.Context(), f.jobs)
		f.inForce(f.first)
		f.ask(Follow)
		f.run(t.Context(), f.jobs)
		f.refused(1, "")
	})
	t.Run("stop", func(t *testing.T) {
		f := newFollowing(t, 0)
		f.ask(Follow)
		stopped, stop := context.WithCancel(t.Context())
		stop()
		f.run(stopped, f.jobs)
		f.inForce(f.first)
	})
}

// A run that ends between a shadow's file and its entry leaves the old model judging,
// and the next one may let the same shadow take over.
func TestLedgerFailsAtTakeover(t *testing.T) {
	f := newFollowing(t, 0)
	f.ask(Follow)
	for _, job := range *f.jobs {
		job(t.Context())
	}
	f.ledger.Fail(ledgertest.FailLost)
	if err := f.m.Flush(t.Context()); err == nil {
		t.Fatal("a ledger that fails is no error")
	}
	if f.m.devices[camera].digest != f.first || len(f.told) != 0 {
		t.Error("the shadow judges, or somebody was told so, and the ledger does not have it")
	}
	if files, _ := filepath.Glob(filepath.Join(f.o.ModelDir, "*"+modelSuffix)); len(files) != 3 {
		t.Errorf("%d model files, want those of two devices and the shadow's", len(files))
	}
	f.start()
	f.inForce(f.first)
	f.ask(Follow)
	f.run(t.Context(), f.jobs)
	f.refused(1, "")
}

// By rule one device after the other is tried once in a period, takes over or says
// why not, and what was rolled back does not come again by itself.
func TestFollowsByRule(t *testing.T) {
	if testing.Short() {
		t.Skip("hours of devices' lives")
	}
	f := newFollowing(t, 2*time.Hour)
	f.tick()
	if len(*f.jobs) != 0 {
		t.Fatal("tried before a period had passed")
	}
	f.benign(2700) // an hour and a half
	outcome := func(mac zone.MAC) Trial {
		f.Helper()
		f.tick()
		if len(*f.jobs) != 1 {
			f.Fatalf("%d jobs, want one at a time", len(*f.jobs))
		}
		f.run(t.Context(), f.jobs)
		trial, ok := f.p.Trials.Newest(mac)
		if !ok || trial.Change != byRule || trial.Took == (trial.Model == zone.Hash{}) {
			f.Fatalf("%+v, %v", trial, ok)
		}
		f.Logf("%+v", trial)
		return trial
	}
	took := outcome(camera)
	outcome(plug)
	f.tick()
	if len(*f.jobs) != 0 {
		t.Fatal("tried twice in a period")
	}
	f.start()
	f.benign(1)
	f.tick()
	if len(*f.jobs) != 0 {
		t.Fatal("tried again after a restart")
	}
	if !took.Took {
		f.ask(Follow)
		f.run(t.Context(), f.jobs)
		f.refused(1, "")
		took.Model = f.found.Model.Digest
	}
	f.inForce(took.Model)
	f.ask(GoBack)
	f.run(t.Context(), f.jobs)
	f.inForce(f.first)
	f.benign(3700)
	outcome(plug)
	if held := outcome(camera); held.Took || !strings.Contains(held.Outcome, "rolled back") {
		t.Errorf("after a rollback: %+v", held)
	}
	f.inForce(f.first)
}

// A rollback holds for a week, unless a model is learned by the operator's word.
func TestRollbackHolds(t *testing.T) {
	const day = 24 * time.Hour
	now := zone.Time(1_800_000_000_000_000_000)
	h := &History{Device: camera}
	say := func(body contract.Body) { h.apply(&contract.Tx{Time: now, Body: body}) }
	say(accepted(1))
	say(accepted(2))
	if err := h.held(now); err != nil {
		t.Errorf("a takeover holds: %v", err)
	}
	say(accepted(1))
	if err := h.held(now.Add(7*day - 1)); err == nil {
		t.Error("it does not hold for a week")
	}
	if err := h.held(now.Add(7 * day)); err != nil {
		t.Errorf("it holds for longer: %v", err)
	}
	say(accepted(3))
	if err := h.held(now); err != nil {
		t.Errorf("it holds though a model was learned since: %v", err)
	}
	say(accepted(1))
	say(&contract.OperatorAction{Action: contract.ActionRelearn})
	if err := h.held(now); err != nil {
		t.Errorf("it holds though the device learned anew: %v", err)
	}
}

// By rule there has to be a reason, something to compare on, and a better model.
func TestRuleOfTakeover(t *testing.T) {
	for name, c := range map[string]struct {
		found         Comparison
		reason, judge bool
	}{
		"drift":       {Comparison{HeldOut: 100, Present: Candidate{High: 0.05, P99: 2}, Shadow: Candidate{P99: 1, Threshold: 1}}, true, true},
		"new":         {Comparison{HeldOut: 100, Newer: 500, Present: Candidate{P99: 2}, Shadow: Candidate{P99: 1, Threshold: 3}}, true, true},
		"no reason":   {Comparison{HeldOut: 100, Newer: 499, Present: Candidate{High: 0.049}}, false, false},
		"too few":     {Comparison{HeldOut: 99, Newer: 500, Present: Candidate{High: 0.5}}, false, false},
		"no better":   {Comparison{HeldOut: 100, Newer: 500, Present: Candidate{P99: 2}, Shadow: Candidate{P99: 2, Threshold: 3}}, true, false},
		"false alarm": {Comparison{HeldOut: 100, Newer: 500, Present: Candidate{P99: 2}, Shadow: Candidate{P99: 1, Threshold: 0.9}}, true, false},
	} {
		if err := c.found.wanted(500); (err == nil) != c.reason {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.found.better(); c.reason && (err == nil) != c.judge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

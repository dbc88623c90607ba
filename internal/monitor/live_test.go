package monitor

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bellwether/internal/feature"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// liveBench is a bench whose devices learn in the background: jobs holds what
// is to be run beside the packets.
func liveBench(t *testing.T) (b *bench, jobs *[]func(context.Context)) {
	t.Helper()
	jobs = new([]func(context.Context))
	b = newBench(t, Options{Learn: Learn{Snapshots: 300, For: time.Minute},
		Background: func(job func(context.Context)) { *jobs = append(*jobs, job) }})
	return b, jobs
}

// run lets the jobs that wait run, and takes what they bring.
func (b *bench) run(ctx context.Context, jobs *[]func(context.Context)) {
	b.Helper()
	for _, job := range *jobs {
		job(ctx)
	}
	*jobs = nil
	b.flush()
}

// stepBack sets the clock back.
func (b *bench) stepBack() { b.now = b.now.Add(-time.Minute) }

// A clock that steps back while devices are learned does not keep them from it.
func TestClockStepsBackWhileLearning(t *testing.T) {
	b, jobs := liveBench(t)
	b.benign(250)
	b.stepBack()
	b.benign(150)
	b.stepBack()
	for len(*jobs) < 2 {
		b.benign(50)
	}
	b.stepBack()
	b.benign(1)
	b.run(t.Context(), jobs)
	for _, mac := range []zone.MAC{camera, plug} {
		if d := b.device(mac); d.State != zone.StateWatching {
			t.Errorf("%s is %s after %d snapshots", mac, d.State, d.LearnedSnapshots)
		}
	}
}

// A clock that steps back in the middle of a vote and before a device is quiet
// again makes nothing that the ledger would refuse.
func TestClockStepsBackInAnAttack(t *testing.T) {
	b := learned(t, Options{Without: slices.DeleteFunc(Reasons(), func(r string) bool { return r == zone.ReasonScore })})
	b.benign(50)
	b.scan(25) // too few for a majority
	b.flush()
	before := b.device(camera).Flagged
	if len(b.alerts) != 0 || before == 0 {
		t.Fatalf("%d alerts, %d snapshots flagged: want some, but no majority yet", len(b.alerts), before)
	}
	b.stepBack()
	b.scan(600)
	b.flush()
	if len(b.alerts) != 1 {
		t.Fatalf("%d alerts, want 1", len(b.alerts))
	}
	if a := b.alerts[0]; a.Device != camera || a.Since > a.Raised || a.Flagged < int(before) {
		t.Errorf("an alert of %s since %s, raised at %s, over %d flagged snapshots", a.Device, a.Since, a.Raised, a.Flagged)
	}
	b.stepBack()
	b.must(b.m.Tick(t.Context(), b.now.Add(-time.Hour)))
	b.benign(3000)
	b.flush()
	if d := b.device(camera); d.State != zone.StateWatching {
		t.Errorf("the camera is %s when it was quiet again for long", d.State)
	}
	b.start()
}

// A run that is told to stop while it trains loses nothing: the device goes on
// learning from what it has, and is trained by the next run.
func TestStoppedWhileTraining(t *testing.T) {
	b, jobs := liveBench(t)
	b.benign(400)
	b.flush()
	if len(*jobs) != 2 {
		t.Fatalf("%d training jobs, want 2", len(*jobs))
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	b.run(stopped, jobs)
	before := b.device(camera)
	if before.State != zone.StateLearning || before.LearnedSnapshots != 400 {
		t.Fatalf("the camera is %s with %d snapshots", before.State, before.LearnedSnapshots)
	}
	b.start()
	if d := b.device(camera); d.State != zone.StateLearning || d.LearnedSnapshots != 400 {
		t.Fatalf("after the restart the camera is %s with %d snapshots", d.State, d.LearnedSnapshots)
	}
	b.benign(1)
	b.flush()
	b.run(t.Context(), jobs)
	if d := b.device(camera); d.State != zone.StateWatching {
		t.Errorf("the camera is %s after the next run's training", d.State)
	}
}

// Retention may take snapshots that a device is to be learned from: it is
// learned from what is left, or anew.
func TestRetentionWhileLearning(t *testing.T) {
	for _, c := range []struct {
		name string
		keep time.Duration // what was seen in the last so long
		want zone.State
	}{{"some", 10 * time.Minute, zone.StateWatching}, {"all", time.Nanosecond, zone.StateLearning}} {
		t.Run(c.name, func(t *testing.T) {
			b, jobs := liveBench(t)
			b.o.SegmentRows = 100
			b.must(b.p.Store.Close())
			s, err := store.Open(filepath.Join(b.o.ModelDir, "store"), store.Options{Zone: "test", Names: feature.Names(), MaxAge: c.keep})
			b.must(err)
			t.Cleanup(func() { s.Close() })
			b.p.Store = s
			b.start()
			b.benign(400)
			b.flush()
			removed, err := s.Retain(b.now.Add(time.Second))
			b.must(err)
			if len(removed) == 0 {
				t.Fatal("retention removed nothing")
			}
			b.run(t.Context(), jobs)
			if d := b.device(camera); d.State != c.want {
				t.Fatalf("the camera is %s, want %s", d.State, c.want)
			}
			for range 400 {
				b.benign(1)
			}
			b.flush()
			b.run(t.Context(), jobs)
			if d := b.device(camera); d.State != zone.StateWatching {
				t.Errorf("the camera is %s in the end", d.State)
			}
		})
	}
}

func TestClockStepsBackBetweenContacts(t *testing.T) {
	b := learned(t, Options{})
	b.benign(50)
	b.scan(4)
	b.stepBack()
	b.scan(600)
	b.flush()
	if len(b.alerts) != 1 || b.alerts[0].Since > b.alerts[0].Raised {
		t.Errorf("%d alerts", len(b.alerts))
	}
}

// What became known before a restart of a live run is known after it; what a
// host answers is known too.
func TestMetHostsSurviveRestart(t *testing.T) {
	b, jobs := liveBench(t)
	b.benign(400)
	b.flush()
	b.run(t.Context(), jobs)
	for i := range 10 {
		b.lights(i, 1)
		b.benign(700) // more than ten minutes
	}
	b.flush()
	if len(b.alerts) != 0 {
		t.Fatalf("%q, want no alert", b.alerts[0].Text)
	}
	b.start()
	b.lights(0, 10)
	b.flush()
	if len(b.alerts) != 0 {
		t.Errorf("after the restart %q", b.alerts[0].Text)
	}
	b.lights(20, 7)
	b.answer(20, 7)
	b.lights(30, 7)
	b.flush()
	if len(b.alerts) != 0 {
		t.Errorf("14 new hosts, of which 7 answer: %q", b.alerts[0].Text)
	}
	b.lights(40, 1)
	b.flush()
	if len(b.alerts) != 1 || b.alerts[0].Reason != zone.ReasonHosts {
		t.Errorf("%d alerts at the eighth silent host", len(b.alerts))
	}
}

// lights lets the camera turn to some hosts of its network.
func (b *bench) lights(from, n int) {
	for i := range n {
		p := b.udp(camera, cameraA)
		p.Dst = netip.AddrFrom4([4]byte{192, 168, 77, byte(100 + from + i)})
		b.send(time.Second, p)
	}
}

// answer lets them answer.
func (b *bench) answer(from, n int) {
	for i := range n {
		p := b.udp(camera, cameraA)
		p.SrcMAC, p.DstMAC = stranger, camera
		p.Src, p.Dst = netip.AddrFrom4([4]byte{192, 168, 77, byte(100 + from + i)}), cameraA
		p.SrcPort, p.DstPort = p.DstPort, p.SrcPort
		b.send(time.Second, p)
	}
}

package monitor

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/zone"
)

func TestBenignStaysQuiet(t *testing.T) {
	b := learned(t, Options{})
	b.benign(500)
	b.flush()
	for _, d := range b.m.Devices() {
		if d.State != zone.StateWatching || d.Watched != 530 || len(d.Episodes) != 0 {
			t.Errorf("%s: %s, %d watched, %d episodes; want watching, 530, 0", d.MAC, d.State, d.Watched, len(d.Episodes))
		}
	}
}

func TestScanIsOneAlert(t *testing.T) {
	for reason, words := range map[string]string{
		zone.ReasonScore: "on TCP port 23 in 60 s; never before",
		zone.ReasonHosts: "turns to 8 hosts it never contacted before",
		zone.ReasonScan:  "turns to 8 hosts it never contacted before on TCP port 23 in 100ms, with no answer; it never used that port while it was learned",
	} {
		t.Run(reason, func(t *testing.T) { testScan(t, reason, words) })
	}
}

func testScan(t *testing.T, reason, words string) {
	others := slices.DeleteFunc(Reasons(), func(r string) bool { return r == reason })
	b := learned(t, Options{Without: others})
	b.benign(50)
	began, packets := b.now, b.m.Packets()
	b.scan(1500)
	b.flush()
	if len(b.alerts) != 1 {
		t.Fatalf("%d alerts, want 1 for the whole episode", len(b.alerts))
	}
	a := b.alerts[0]
	if a.Device != camera || a.Reason != reason || a.Packet < packets || a.Since < began {
		t.Errorf("alert of %s (%s), packet %d, since %s; want the camera's, packet %d or later, since %s or later", a.Device, a.Reason, a.Packet, a.Since, packets, began)
	}
	if !strings.Contains(a.Text, words) {
		t.Errorf("the reason is %q: want it to say %q", a.Text, words)
	}
	if took := a.Raised.Sub(began); took > 20*time.Second {
		t.Errorf("raised after %s", took)
	}
	rows, err := b.m.stored(t.Context(), b.m.devices[camera], a.First, a.Last, nil)
	b.must(err)
	w := Weigh(b.m.devices[camera].model, a.Reason, rows)
	if w.Flagged != a.Flagged || w.Score != a.Score || w.Since != a.Since || !slices.Equal(w.Features, a.Features) || len(rows) != a.Rows {
		t.Errorf("the stored evidence weighs %+v over %d rows, the alert says %+v", w, len(rows), a)
	}
	if d := b.device(plug); len(d.Episodes) != 0 || d.State != zone.StateWatching {
		t.Errorf("the plug is %s with %d episodes, want it watched", d.State, len(d.Episodes))
	}
}

func TestEpisodeEndsAndAnotherBegins(t *testing.T) {
	b := learned(t, Options{})
	b.scan(600)
	last := b.now
	b.benign(60) // 2 minutes: not yet
	b.flush()
	if s := b.device(camera).State; s != zone.StateMalicious {
		t.Fatalf("the camera is %s before it was quiet for long enough", s)
	}
	b.benign(600)
	b.flush()
	d := b.device(camera)
	if d.State != zone.StateWatching || len(d.Episodes) != 1 || d.Episodes[0].End == 0 {
		t.Fatalf("the camera is %s with %d episodes, want it watched again and one that ended", d.State, len(d.Episodes))
	}
	if end := d.Episodes[0].End; end < last-zone.Time(time.Second) || end > last.Add(10*time.Minute) {
		t.Errorf("the episode ended %s after the attack", end.Sub(last))
	}
	b.scan(600)
	b.flush()
	if d = b.device(camera); d.State != zone.StateMalicious || len(d.Episodes) != 2 || len(b.alerts) != 2 {
		t.Errorf("the camera is %s with %d episodes and %d alerts, want a second one", d.State, len(d.Episodes), len(b.alerts))
	}
}

func TestTooFewSnapshots(t *testing.T) {
	b := newBench(t, Options{})
	b.benign(13)
	b.finish()
	b.scan(2000)
	b.flush()
	d := b.device(camera)
	if d.State != zone.StateLearning || d.LearnedSnapshots != 13 || d.Needed != 300 || d.Watched+d.Flagged != 0 || len(b.alerts) != 0 {
		t.Errorf("got %+v and %d alerts; want 13 of 300 learned, nothing judged", d, len(b.alerts))
	}
	for _, r := range b.p.Store.Segments() {
		for _, x := range r.Ranges {
			if x.Normal+x.Malicious != 0 {
				t.Errorf("SEQ %d to %d of %s were judged", x.First, x.Last, x.Device)
			}
		}
	}
}

// What a device sent while others were watched is not learned by the next run.
func TestTooFewSnapshotsNextRun(t *testing.T) {
	b := newBench(t, Options{})
	b.benign(13)
	b.must(b.m.FinishLearning(t.Context(), nil))
	b.m.Restart()
	watched := SeqRange{b.p.Store.Last() + 1, 0}
	b.benign(1000)
	b.flush()
	watched.To = b.p.Store.Last()
	b.start(watched)
	b.must(b.m.FinishLearning(t.Context(), nil))
	if d := b.device(camera); d.State != zone.StateLearning || d.LearnedSnapshots != 13 {
		t.Errorf("the next run has the camera %s with %d learned snapshots, want learning with 13", d.State, d.LearnedSnapshots)
	}
}

func TestRestartKeepsLearnedDevices(t *testing.T) {
	b := learned(t, Options{})
	b.flush()
	want := b.device(camera)
	b.start()
	got := b.device(camera)
	if got.State != zone.StateWatching || got.Threshold != want.Threshold || got.Window != want.Window || got.LearnedSnapshots != want.LearnedSnapshots {
		t.Fatalf("after the restart %+v, before %+v", got, want)
	}
	b.benign(30)
	b.scan(600)
	b.flush()
	if len(b.alerts) != 1 {
		t.Errorf("%d alerts after the restart, want 1", len(b.alerts))
	}
}

func TestMissingModelIsAnError(t *testing.T) {
	b := learned(t, Options{})
	b.flush()
	b.o.ModelDir = t.TempDir()
	devices, err := contract.Devices(b.ledger.State())
	b.must(err)
	_, err = New(t.Context(), b.o, b.p, Past{Devices: devices})
	if err == nil || !strings.Contains(err.Error(), "device relearn "+camera.String()) {
		t.Errorf("got %v, want what to do about the lost model", err)
	}
}

func TestMaxDevices(t *testing.T) {
	b := newBench(t, Options{MaxDevices: 2})
	b.benign(5)
	for i := range 7 {
		b.send(time.Millisecond, b.udp(zone.MAC{0, 0, 0x5e, 0, 0x53, 0x80 + byte(i)}, plugA))
	}
	b.flush()
	if n, drops := len(b.m.Devices()), b.m.Drops().OverMaxDevices; n != 2 || drops != 7 {
		t.Errorf("%d devices, %d packets of others; want 2 and 7", n, drops)
	}
}

func TestWhoIsNoDevice(t *testing.T) {
	b := newBench(t, Options{})
	outside := netip.MustParseAddr("203.0.113.9")
	for _, c := range []struct {
		mac zone.MAC
		src netip.Addr
	}{
		{zone.MAC{0x02, 1, 2, 3, 4, 5}, cameraA}, // made up at random
		{router, cloud}, {router, cameraA},
		{zone.MAC{0x01, 0, 0x5e, 0, 0, 1}, cameraA}, {zone.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, cameraA}, // groups
		{zone.MAC{}, cameraA}, {zone.MAC{0, 0, 0x5e, 0, 0x53, 0x99}, outside},
	} {
		b.send(time.Millisecond, b.udp(c.mac, c.src))
	}
	bare := b.udp(camera, cameraA)
	bare.HasMAC, bare.SrcMAC = false, zone.MAC{}
	b.send(time.Millisecond, bare)
	b.flush()
	if d := b.m.Devices(); len(d) != 0 {
		t.Errorf("%d devices, want none: %+v", len(d), d)
	}
	if last := b.p.Store.Last(); last != 0 || b.m.Packets() != 8 {
		t.Errorf("%d snapshots of %d packets, want none of 8", last, b.m.Packets())
	}
}

func TestRelearn(t *testing.T) {
	b := learned(t, Options{})
	b.flush()
	old := b.m.devices[camera].digest
	b.decide(camera, &contract.OperatorAction{Action: contract.ActionRelearn})
	b.start()
	if d := b.device(camera); d.State != zone.StateLearning || d.LearnedSnapshots != 0 {
		t.Fatalf("the camera is %s with %d snapshots, want it to learn from nothing", d.State, d.LearnedSnapshots)
	}
	b.now = b.now.Add(time.Minute)
	b.scan(600) // what is normal from now on
	b.must(b.m.FinishLearning(t.Context(), nil))
	b.m.Restart()
	b.scan(600)
	b.flush()
	d := b.device(camera)
	if d.State != zone.StateWatching || len(b.alerts) != 0 || b.m.devices[camera].digest == old {
		t.Errorf("the camera is %s with %d alerts, want it to know its new behaviour", d.State, len(b.alerts))
	}
}

func TestSilence(t *testing.T) {
	b := learned(t, Options{})
	b.flush()
	until := b.now.Add(10 * time.Minute)
	b.decide(camera, &contract.OperatorAction{Action: contract.ActionSilence, Until: until})
	b.start()
	b.benign(10)
	b.scan(600)
	b.flush()
	if d := b.device(camera); d.State != zone.StateMalicious || len(b.alerts) != 0 {
		t.Fatalf("the camera is %s, %d alerts were sent; want it malicious, and silence", d.State, len(b.alerts))
	}
	b.benign(800)
	b.scan(600)
	b.flush()
	if len(b.alerts) != 1 || b.alerts[0].Raised < until {
		t.Errorf("%d alerts were sent after the silence, want 1: %+v", len(b.alerts), b.alerts)
	}
}

// A silence is for alerts between its start and its end, whenever it was told.
func TestSilenceIsForAlertTimes(t *testing.T) {
	for _, c := range []struct {
		name  string
		of    zone.MAC
		from  time.Duration // after the attack's start
		alert bool
	}{
		{"it began before", camera, -time.Minute, false}, {"it begins later", camera, 10 * time.Minute, true},
		{"of another device", plug, -time.Minute, true}, {"of the zone", zone.MAC{}, -time.Minute, false},
		{"of the zone, later", zone.MAC{}, 10 * time.Minute, true},
	} {
		b := learned(t, Options{})
		b.flush()
		at := b.now.Add(c.from)
		_, err := b.m.Decide(t.Context(), c.of, at, &contract.OperatorAction{Action: contract.ActionSilence, Until: at.Add(time.Hour)})
		b.must(err)
		b.start()
		b.scan(600)
		b.flush()
		if (len(b.alerts) == 1) != c.alert || b.m.Drops().SilencedAlerts != uint64(1-len(b.alerts)) {
			t.Errorf("%s: %d alerts, %d silenced", c.name, len(b.alerts), b.m.Drops().SilencedAlerts)
		}
		if c.of == (zone.MAC{}) {
			_, err := b.m.Decide(t.Context(), c.of, b.now, &contract.OperatorAction{Action: contract.ActionUnsilence})
			b.must(err)
		}
	}
}

func TestNoWordBeforeTheLedger(t *testing.T) {
	b := learned(t, Options{})
	b.flush()
	b.ledger.Fail(ledgertest.FailLost)
	var err error
	for i := 0; i < 2000 && err == nil; i++ {
		b.now = b.now.Add(20 * time.Millisecond)
		p := b.udp(camera, cameraA)
		p.Time, p.DstPort, p.Dst = b.now, 23, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
		p.Length, p.Proto, p.TCPFlags = 60, 6, tcpSYN
		err = b.m.Observe(t.Context(), p)
	}
	if err == nil {
		t.Fatal("the ledger's fault went unnoticed")
	}
	if len(b.alerts) != 0 {
		t.Errorf("%d alerts were sent without a verdict on the ledger", len(b.alerts))
	}
}

func TestResumeRefusesAnotherRun(t *testing.T) {
	b := newBench(t, Options{})
	b.benign(10)
	b.flush()
	r := Resume(b.ledger, 1)
	other := ledgertest.Tx(t, 1, 1, "somebody else")
	var diverged *DivergedError
	if err := r.Submit(t.Context(), other); !errors.As(err, &diverged) || diverged.Block != 1 || diverged.Index != 0 {
		t.Errorf("got %v, want the first transaction of block 1 to differ", err)
	}
}

func TestResumeTakesWhatIsThere(t *testing.T) {
	b := newBench(t, Options{})
	b.benign(10)
	b.flush()
	before := b.ledgerSays()
	r := Resume(b.ledger, 0)
	for n := range b.ledger.Height() {
		block, err := b.ledger.Block(t.Context(), n)
		b.must(err)
		for _, raw := range block.Txs {
			b.must(r.Submit(t.Context(), raw))
			b.must(r.Commit(t.Context()))
		}
	}
	if after := b.ledgerSays(); !slices.Equal(before, after) {
		t.Errorf("%d transactions became %d", len(before), len(after))
	}
	b.must(r.Submit(t.Context(), ledgertest.Tx(t, 9, 1, "new")))
	b.must(r.Commit(t.Context()))
	if after := b.ledgerSays(); len(after) != len(before)+1 {
		t.Errorf("%d transactions, want one more than %d", len(after), len(before))
	}
}

// The same packets in other batches and on other workers lead to the same
// transactions, byte for byte.
func TestBatchAndWorkersDecideNothing(t *testing.T) {
	var first []string
	for _, o := range []Options{{}, {Batch: 1}, {Batch: 7, Workers: 3}} {
		o.SegmentRows = 500
		b := learned(t, o)
		b.benign(100)
		b.scan(400)
		b.benign(900)
		b.flush()
		says := b.ledgerSays()
		if first == nil {
			first = says
		}
		if !slices.Equal(first, says) {
			t.Errorf("batch %d, %d workers: %d transactions that differ from the first run's %d", o.Batch, o.Workers, len(says), len(first))
		}
	}
}

func TestLearnsInTheBackground(t *testing.T) {
	var jobs []func()
	b := newBench(t, Options{Learn: Learn{Snapshots: 300, For: time.Minute}, Background: func(job func(context.Context)) { jobs = append(jobs, func() { job(t.Context()) }) }})
	b.benign(400)
	b.flush()
	if len(jobs) != 2 {
		t.Fatalf("%d training jobs, want one for each device", len(jobs))
	}
	if d := b.device(camera); d.State != zone.StateLearning {
		t.Fatalf("the camera is %s before its job is done", d.State)
	}
	for _, job := range jobs {
		job()
	}
	b.must(b.m.Tick(t.Context(), b.now))
	if d := b.device(camera); d.State != zone.StateWatching {
		t.Fatalf("the camera is %s after its job is done", d.State)
	}
	b.benign(30)
	b.scan(600)
	b.flush()
	if len(b.alerts) != 1 || b.alerts[0].Device != camera {
		t.Errorf("%d alerts, want the camera's", len(b.alerts))
	}
}

// Where the ledger commits later, an alert is told as soon as its verdict is
// committed, not before.
func TestAlertWaitsForLateCommit(t *testing.T) {
	b, asked := learned(t, Options{}), 0
	b.p.Soon = func(context.Context) error { asked++; return nil }
	b.start()
	b.benign(30)
	b.scan(600)
	b.must(b.m.Process(t.Context()))
	b.must(b.m.Follow(t.Context()))
	if d := b.device(camera); d.State != zone.StateMalicious || asked == 0 || len(b.alerts) != 0 {
		t.Fatalf("the camera is %s, %d commits were asked for, %d alerts were told", d.State, asked, len(b.alerts))
	}
	b.must(b.ledger.Commit(t.Context()))
	b.must(b.m.Follow(t.Context()))
	if len(b.alerts) != 1 {
		t.Errorf("%d alerts, want 1", len(b.alerts))
	}
}

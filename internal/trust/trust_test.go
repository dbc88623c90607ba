package trust

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

var update = flag.Bool("update", false, "write testdata anew")

const (
	began = zone.Time(1_700_000_000_000_000_000)
	hour  = time.Hour
	day   = 24 * hour
)

// story tells a fold what happened, hour after hour.
type story struct {
	Fold
	now zone.Time
}

func newStory(useCase string) *story {
	s := &story{now: began}
	s.tell(zone.MAC{}, &contract.ZoneCreated{Name: "home", UseCase: useCase})
	return s
}

func (s *story) tell(mac zone.MAC, body contract.Body) {
	s.Apply(&contract.Tx{Time: s.now, Device: mac, Body: body})
}

func mac(n int) zone.MAC { return zone.MAC{0, 0, 0x5e, 0, byte(n >> 8), byte(n)} }

// watched lets devices be learned and then behave for some days.
func (s *story) watched(devices int, good time.Duration) {
	for d := range devices {
		s.tell(mac(d), &contract.DeviceSeen{Name: fmt.Sprint("device ", d)})
		s.tell(mac(d), &contract.ModelAccepted{})
	}
	for ; good > 0; good -= hour {
		s.now = s.now.Add(hour)
		for d := range devices {
			for range 6 {
				s.tell(mac(d), &contract.SegmentRecorded{Normal: 400})
			}
		}
	}
}

func malicious() *contract.VerdictChanged {
	return &contract.VerdictChanged{From: zone.StateWatching, To: zone.StateMalicious}
}

func quiet() *contract.VerdictChanged {
	return &contract.VerdictChanged{From: zone.StateMalicious, To: zone.StateWatching}
}

func (s *story) device(n int) Device { return s.At(s.now, 0).Devices[n] }

// checkSound holds what is true of every zone.
func checkSound(t *testing.T, z Zone) {
	t.Helper()
	opinions := []Opinion{z.Opinion}
	for _, d := range z.Devices {
		opinions = append(opinions, d.Opinion)
		if d.Trust != d.Level() {
			t.Errorf("%s: trust %g, level %g", d.MAC, d.Trust, d.Level())
		}
	}
	for _, o := range opinions {
		for _, v := range []float64{o.Belief, o.Disbelief, o.Uncertainty, o.Level()} {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("out of bounds: %+v", o)
			}
		}
		if sum := o.Belief + o.Disbelief + o.Uncertainty; math.Abs(sum-1) > 1e-12 {
			t.Fatalf("%+v is %g in sum", o, sum)
		}
	}
	if z.Trust != z.Level() || z.Trusted != (z.Trust >= z.Threshold) {
		t.Fatalf("zone %+v", z)
	}
}

func TestDecayFactors(t *testing.T) {
	for _, c := range []struct {
		name string
		got  uint64
		life float64
	}{{"belief", keepBelief, 24}, {"disbelief", keepDisbelief, 24 * 7}} {
		if want := math.Exp2(32 - 1/c.life); math.Abs(float64(c.got)-want) > 1 {
			t.Errorf("%s: %d, want %.1f", c.name, c.got, want)
		}
	}
}

func TestFastDownSlowUp(t *testing.T) {
	s := newStory("smart-home")
	s.watched(1, 3*day)
	good := s.device(0)
	if good.Trust < 0.95 || good.State != zone.StateWatching {
		t.Fatalf("after three good days: %+v", good)
	}
	s.tell(mac(0), malicious())
	bad := s.device(0)
	if bad.Trust > 0.16 || bad.State != zone.StateMalicious || bad.Since != s.now {
		t.Fatalf("after a verdict: %+v", bad)
	}
	for range 24 {
		s.tell(mac(0), &contract.SegmentRecorded{Normal: 400})
	}
	if d := s.device(0); d.Trust > bad.Trust {
		t.Errorf("a malicious device earned trust: %+v", d)
	}
	s.tell(mac(0), quiet())
	hours := 0
	for ; s.device(0).Trust < 0.9; hours++ {
		s.now = s.now.Add(hour)
		for range 6 {
			s.tell(mac(0), &contract.SegmentRecorded{Normal: 400})
		}
		if hours > 24*60 {
			t.Fatal("it never comes back")
		}
	}
	if hours < 24*7 {
		t.Errorf("all was forgotten after %d hours", hours)
	}
}

func TestOneSegmentIsOnePiece(t *testing.T) {
	for _, c := range []struct {
		s        contract.SegmentRecorded
		pro, con int64
	}{
		{contract.SegmentRecorded{}, 0, 0},
		{contract.SegmentRecorded{Unjudged: 1000}, 0, 0},
		{contract.SegmentRecorded{Normal: 1}, unit / 50, 0},
		{contract.SegmentRecorded{Normal: 50}, unit, 0},
		{contract.SegmentRecorded{Normal: 1 << 62}, unit, 0},
		{contract.SegmentRecorded{Normal: 1 << 61, Malicious: 1 << 61}, unit / 2, unit / 2},
		{contract.SegmentRecorded{Normal: 75, Malicious: 25}, unit / 4 * 3, unit / 4},
	} {
		e := evidence{state: zone.StateWatching}
		e.segment(&c.s)
		if e.pro != c.pro || e.con != c.con {
			t.Errorf("%+v: %d for and %d against, want %d and %d", c.s, e.pro, e.con, c.pro, c.con)
		}
	}
}

func TestDecay(t *testing.T) {
	s := newStory("smart-home")
	s.watched(3, 3*day)
	s.tell(mac(1), malicious())
	s.tell(mac(2), malicious())
	s.tell(mac(2), quiet())
	before := s.At(s.now, 0)
	later := s.At(s.now.Add(90*day), 0)
	checkSound(t, later)
	if o := later.Devices[0].Opinion; o.Uncertainty != 1 {
		t.Errorf("a watched device after 90 days: %+v", o)
	}
	if o := later.Devices[2].Opinion; o.Uncertainty != 1 {
		t.Errorf("a device that is quiet again after 90 days: %+v", o)
	}
	if o, was := later.Devices[1].Opinion, before.Devices[1].Opinion; o.Disbelief < was.Disbelief || o.Belief > was.Belief {
		t.Errorf("a malicious device after 90 days: %+v, before %+v", o, was)
	}
	for days := 1; days < 120; days++ { // no jump upwards on the way
		o := s.At(s.now.Add(time.Duration(days)*day), 0).Devices[0]
		was := s.At(s.now.Add(time.Duration(days-1)*day), 0).Devices[0]
		if o.Uncertainty < was.Uncertainty || o.Belief > was.Belief {
			t.Errorf("day %d: %+v after %+v", days, o.Opinion, was.Opinion)
		}
	}
	if again := s.At(s.now, 0); again.Trust != before.Trust {
		t.Error("asking for a later moment changed the fold")
	}
}

// TestDecayByHours: it does not matter in how many steps time passes.
func TestDecayByHours(t *testing.T) {
	once := evidence{state: zone.StateWatching, pro: 50 * unit, con: 30 * unit}
	often := once
	once.decay(zone.Time(100 * hour))
	for i := range 1000 {
		often.decay(zone.Time(100*hour) * zone.Time(i+1) / 1000)
	}
	if once != often {
		t.Errorf("at once %+v, often %+v", once, often)
	}
	half := evidence{state: zone.StateWatching, pro: 32 * unit, con: 32 * unit}
	half.decay(zone.Time(7 * day))
	if math.Abs(float64(half.con)/unit-16) > 0.01 || math.Abs(float64(half.pro)/unit-0.25) > 0.01 {
		t.Errorf("after a week %+v", half)
	}
}

// TestZone: one malicious device pulls a zone of any size below every preset,
// and none pulls it there alone by learning.
func TestZone(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 50, 512} {
		s := newStory("smart-home")
		s.watched(n, 2*day)
		good := s.At(s.now, 0)
		checkSound(t, good)
		for _, p := range Presets() {
			if good.Trust < p.Threshold {
				t.Errorf("%d good devices: %g, under %s", n, good.Trust, p.UseCase)
			}
		}
		s.tell(mac(n/2), malicious())
		bad := s.At(s.now, 0)
		checkSound(t, bad)
		for _, p := range Presets() {
			if s.At(s.now, p.Threshold).Trusted {
				t.Errorf("one of %d devices is malicious: %g, still enough for %s", n, bad.Trust, p.UseCase)
			}
		}
		if n > 2 && bad.Trust < bad.Devices[n/2].Trust+0.1 {
			t.Errorf("%d devices: the others count for nothing: %g", n, bad.Trust)
		}
	}
}

func TestLearningDeviceInZone(t *testing.T) {
	s := newStory("school")
	s.watched(9, 2*day)
	s.tell(mac(20), &contract.DeviceSeen{})
	s.tell(mac(20), &contract.SegmentRecorded{Unjudged: 1000})
	z := s.At(s.now, 0)
	if d := z.Devices[9]; d.State != zone.StateLearning || d.Uncertainty != 1 {
		t.Errorf("a learning device: %+v", d)
	}
	if !z.Trusted || z.Uncertainty < 0.05 {
		t.Errorf("a device that learns makes of the zone %+v", z.Opinion)
	}
}

func TestEmpty(t *testing.T) {
	for _, useCase := range []string{"", "smart-home", "a bank"} {
		s := newStory(useCase)
		z := s.At(s.now, 0)
		checkSound(t, z)
		if z.Uncertainty != 1 || z.Trusted || z.Threshold == 0 {
			t.Errorf("use case %q without devices: %+v", useCase, z)
		}
	}
	var none Fold
	if z := none.At(0, 0); z.Trusted || z.Threshold != 1 {
		t.Errorf("no ledger at all: %+v", z)
	}
	s := newStory("a bank")
	s.watched(2, 3*day)
	if z := s.At(s.now, 0); z.Trusted {
		t.Errorf("a use case that has no threshold: %+v", z)
	}
	if z := s.At(s.now, 0.5); !z.Trusted || z.Threshold != 0.5 || z.UseCase != "a bank" {
		t.Errorf("with a threshold of its own: %+v", z)
	}
}

func TestThresholds(t *testing.T) {
	for _, p := range Presets() {
		if got, err := ThresholdOf(p.UseCase); err != nil || got != p.Threshold || got <= 0.58 || got > 0.95 {
			t.Errorf("%s: %g, %v", p.UseCase, got, err)
		}
	}
	if _, err := ThresholdOf("bank"); err == nil {
		t.Error("no error for a use case that is not there")
	}
}

func TestRelearn(t *testing.T) {
	s := newStory("smart-home")
	s.watched(1, day)
	s.tell(mac(0), malicious())
	s.now = s.now.Add(hour)
	s.tell(mac(0), &contract.OperatorAction{Action: contract.ActionSilence})
	if d := s.device(0); d.State != zone.StateMalicious {
		t.Errorf("silence made of it %+v", d)
	}
	s.tell(mac(0), &contract.OperatorAction{Action: contract.ActionRelearn})
	if d := s.device(0); d.Uncertainty != 1 || d.State != zone.StateLearning || d.Since != s.now {
		t.Errorf("after relearn: %+v", d)
	}
	s.tell(mac(0), &contract.SegmentRecorded{Normal: 400})
	if d := s.device(0); d.Uncertainty != 1 {
		t.Errorf("it earned trust while it learns: %+v", d)
	}
	s.tell(mac(0), &contract.DeviceRenamed{Name: "lamp"})
	if d := s.device(0); d.Name != "lamp" || d.Uncertainty != 1 {
		t.Errorf("renamed: %+v", d)
	}
}

// TestTimeBackwards: a transaction that is stamped earlier counts, and makes
// nothing fade or come back.
func TestTimeBackwards(t *testing.T) {
	s, steady := newStory("smart-home"), newStory("smart-home")
	s.watched(1, day)
	steady.watched(1, day)
	newest := s.now
	for _, back := range []time.Duration{time.Nanosecond, day, time.Duration(newest)} {
		s.now = newest.Add(-back)
		s.tell(mac(0), &contract.DeviceRenamed{Name: "device 0"})
		checkSound(t, s.At(s.now, 0))
		if got, want := s.At(newest, 0), steady.At(newest, 0); got.Trust != want.Trust {
			t.Errorf("%s back: %g, want %g", back, got.Trust, want.Trust)
		}
		if s.At(0, 0).Trust != steady.At(newest, 0).Trust {
			t.Errorf("asked for the distant past it is %g", s.At(0, 0).Trust)
		}
	}
	if s.Newest() != newest {
		t.Errorf("newest is %s, want %s", s.Newest(), newest)
	}
	checkSound(t, s.At(math.MaxInt64, 0))
}

// random tells of a random life of many devices.
func random(seed uint64) *story {
	r := rand.New(rand.NewPCG(seed, 1))
	s := newStory("grid")
	for range 3000 {
		s.now += zone.Time(r.Int64N(int64(2*hour))) - zone.Time(hour/4)
		d := mac(r.IntN(30))
		switch r.IntN(20) {
		case 0:
			s.tell(d, malicious())
		case 1:
			s.tell(d, quiet())
		case 2:
			s.tell(d, &contract.ModelAccepted{})
		case 3:
			s.tell(d, &contract.DeviceSeen{Name: "seen"})
		case 4:
			s.tell(d, &contract.OperatorAction{Action: contract.ActionRelearn})
		default:
			n := r.Uint64N(1000)
			s.tell(d, &contract.SegmentRecorded{Rows: 1000, Normal: n, Malicious: r.Uint64N(1001 - n)})
		}
	}
	return s
}

func TestSound(t *testing.T) {
	for seed := range uint64(20) {
		s := random(seed)
		for _, later := range []time.Duration{-day, 0, hour, day, 100 * day} {
			checkSound(t, s.At(s.now.Add(later), 0))
		}
	}
}

// TestDeterministic: the same entries give the same bytes, whatever order a
// map has this time.
func TestDeterministic(t *testing.T) {
	var want []byte
	for run := range 50 {
		s := random(7)
		got, err := json.Marshal(s.At(s.now.Add(day), 0))
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("run %d gives\n%s\nbefore\n%s", run, got, want)
		}
	}
}

// TestGolden holds the fold's bits for other machines and other days.
func TestGolden(t *testing.T) {
	s := random(1)
	got, err := json.MarshalIndent(s.At(s.now.Add(36*hour), 0), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "zone.golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the fold changed; got\n%s", got)
	}
}

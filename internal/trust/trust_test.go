package trust

import (
	"fmt"
	"math"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

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
	s.tell(mac(20), &contract.SegmentRecorded{Rows: 1000, Unjudged: 1000})
	z := s.At(s.now, 0)
	if d := z.Devices[9]; d.State != zone.StateLearning || d.Uncertainty != 1 {
		t.Errorf("a learning device: %+v", d)
	}
	if !z.Trusted || z.Uncertainty < 0.05 {
		t.Errorf("a device that learns makes of the zone %+v", z.Opinion)
	}
}

// TestPhantoms: addresses that somebody made up do not make a zone uncertain,
// until they send as much as a device that can be learned.
func TestPhantoms(t *testing.T) {
	s := newStory("school")
	s.watched(9, 2*day)
	want := s.At(s.now, 0).Opinion
	for n := range 500 {
		s.tell(mac(100+n), &contract.DeviceSeen{})
		s.tell(mac(100+n), &contract.SegmentRecorded{Rows: 10, Unjudged: 10})
		s.tell(mac(100+n), &contract.SegmentRecorded{Rows: 9, Unjudged: 9})
	}
	z := s.At(s.now, 0)
	if z.Opinion != want || z.Devices[100].Counts || !z.Devices[0].Counts {
		t.Errorf("500 phantoms make of the zone %+v, want %+v", z.Opinion, want)
	}
	s.tell(mac(100), &contract.SegmentRecorded{Rows: 1, Unjudged: 1})
	z = s.At(s.now, 0)
	if !z.Devices[9].Counts || z.Uncertainty <= want.Uncertainty {
		t.Errorf("a device with 20 snapshots does not count: %+v", z.Devices[9])
	}
	var alone story
	alone.tell(mac(1), &contract.DeviceSeen{})
	if z := alone.At(alone.now, 0); z.Uncertainty != 1 || len(z.Devices) != 1 {
		t.Errorf("a zone of one phantom: %+v", z)
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
	if z := s.At(s.now, 0); z.Trusted || z.ThresholdFrom != "a bank" {
		t.Errorf("a use case that has no threshold: %+v", z)
	}
	if z := s.At(s.now, 0.5); !z.Trusted || z.Threshold != 0.5 || z.UseCase != "a bank" || z.ThresholdFrom != "trust.threshold" {
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

package trust

import (
	"math"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

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

package gateway

import (
	"strings"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/identity"
	"bellwether/internal/monitor"
	"bellwether/internal/proof"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// with opens the patient's state directory.
func (p *patient) with(f func(*State)) {
	p.Helper()
	s := mustOpen(p, p.dir, StateOptions{Existing: true})
	defer s.Close()
	f(s)
}

// inForce gives the digest of the device's model.
func (p *patient) inForce() (digest zone.Hash) {
	p.Helper()
	p.with(func(s *State) {
		d, _, err := contract.ReadDevice(s.Ledger.State(), p.device.MAC)
		if err != nil || d.State != zone.StateWatching {
			p.Fatalf("the device is %s: %v", d.State, err)
		}
		digest = d.Model
	})
	return digest
}

// proves makes and checks the proof of an alert.
func (p *patient) proves(id string) {
	p.Helper()
	p.with(func(s *State) {
		b, err := s.Prove(p.Context(), id)
		if err != nil {
			p.Fatal(err)
		}
		anchor, err := s.Anchor()
		if err != nil {
			p.Fatal(err)
		}
		_, key, err := identity.ParseAnchor(anchor)
		if err != nil {
			p.Fatal(err)
		}
		if _, err := proof.Verify(b, key, nil); err != nil {
			p.Errorf("the proof of %s: %v", id, err)
		}
	})
}

// A model follows its device past an alarm, goes back, and follows again to the
// very same model; what was proven stays so.
func TestModelFollowsAndGoesBack(t *testing.T) {
	var c Config
	c.Detector.Epochs = 3
	p := newPatient(t, simulate.MiraiScan, c)
	first := p.inForce()
	p.live(0)
	alerts := p.live(20).Alerts
	if len(alerts) == 0 {
		t.Fatal("the scan gave no alert")
	}
	p.live(0)
	a, err := p.change(monitor.Follow)
	if err != nil {
		t.Fatal(err)
	}
	if a.Gates.NearAlarm == 0 || a.Gates.AfterGap == 0 || a.Gates.Recent == 0 || a.Anchor != a.Present || a.Shadow.Rows <= a.Present.Rows {
		t.Errorf("gates %+v, first %+v, in force %+v, shadow %+v", a.Gates, a.Anchor, a.Present, a.Shadow)
	}
	second := p.inForce()
	if second == first || second != a.Shadow.Digest {
		t.Errorf("model %s is in force, the shadow was %s", second.Short(), a.Shadow.Digest.Short())
	}
	if _, err := p.change(monitor.Follow); err == nil || !strings.Contains(err.Error(), "nothing newer") {
		t.Errorf("adapted twice: %v", err)
	}
	verifies(t, p.dir)
	p.proves(alerts[0].ID)
	later := p.live(20).Alerts // judged by the second model
	if len(later) == 0 {
		t.Fatal("the scan gave no alert under the second model")
	}
	p.live(0)
	p.proves(later[0].ID)

	back, err := p.change(monitor.GoBack)
	if err != nil || back.Model.Digest != first {
		t.Fatalf("rolled back to %+v: %v", back, err)
	}
	if _, err := p.change(monitor.GoBack); err == nil || !strings.Contains(err.Error(), "no former model") {
		t.Errorf("rolled back beyond the first model: %v", err)
	}
	if now := p.inForce(); now != first {
		t.Errorf("model %s is in force, want the first", now.Short())
	}
	verifies(t, p.dir)
	p.proves(alerts[0].ID)
	p.proves(later[0].ID)
}

// The same state directory gives the same model and entry, and one that is
// compared only stays as it is.
func TestAdaptIsDeterministic(t *testing.T) {
	var c Config
	c.Detector.Epochs = 3
	p := newPatient(t, simulate.MiraiUDPPlain, c)
	p.live(0)
	twin := *p
	twin.dir = keyedDir(t)
	if err := CopyState(p.dir, twin.dir); err != nil {
		t.Fatal(err)
	}
	before := p.inForce()
	if a, err := p.change(monitor.Compare); err != nil || a.ID != (zone.HID{}) {
		t.Errorf("compared only: %+v, %v", a, err)
	}
	if p.inForce() != before {
		t.Error("to compare has changed the model")
	}
	a, err := p.change(monitor.Follow)
	if err != nil {
		t.Fatal(err)
	}
	b, err := twin.change(monitor.Follow)
	if err != nil || *a != *b {
		t.Errorf("one gives %+v\nits twin %+v, %v", a, b, err)
	}
}

// A device that does what it did has not drifted; one that sends much more,
// without an alarm, has, and the list says in what.
func TestDriftIsNoticed(t *testing.T) {
	var c Config
	c.Detector.Epochs = 3
	p := newPatient(t, simulate.MiraiUDPPlain, c)
	drift := func() Drift {
		var d *Drift
		p.with(func(s *State) {
			list, err := s.Calm(t.Context())
			if err != nil || len(list) != 1 || list[0].Drift == nil {
				t.Fatalf("%+v, %v", list, err)
			}
			d = list[0].Drift
		})
		return *d
	}
	p.live(0)
	if d := drift(); d.Drifted {
		t.Errorf("of a device that does what it did: %+v", d)
	}
	report := p.live(12)
	if d := drift(); !d.Drifted || len(d.Moved) == 0 || len(report.Alerts) != 0 {
		t.Errorf("after a day with much more traffic, and %d alerts: %+v", len(report.Alerts), d)
	}
}

package monitor

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

func accepted(n byte) *contract.ModelAccepted { return &contract.ModelAccepted{Digest: zone.Hash{n}} }

// What the ledger tells, step by step, and the models that can be gone back to.
func TestHistory(t *testing.T) {
	relearn := &contract.OperatorAction{Action: contract.ActionRelearn}
	h := &History{}
	for i, x := range []struct {
		body contract.Body
		want []byte
	}{
		{accepted(1), []byte{1}}, {accepted(2), []byte{1, 2}}, {accepted(3), []byte{1, 2, 3}}, {accepted(2), []byte{1, 2}},
		{accepted(4), []byte{1, 2, 4}}, {accepted(2), []byte{1, 2}}, {accepted(1), []byte{1}},
		{&contract.DeviceRenamed{}, []byte{1}}, {relearn, nil}, {accepted(5), []byte{5}},
	} {
		h.apply(&contract.Tx{Body: x.body})
		var got []byte
		for _, m := range h.Models {
			got = append(got, m.Digest[0])
		}
		if string(got) != string(x.want) {
			t.Errorf("after step %d: models %v, want %v", i, got, x.want)
		}
		former, err := h.Former()
		if n := len(x.want); (err == nil) != (n > 1) || n > 1 && former.Digest[0] != x.want[n-2] {
			t.Errorf("after step %d: the former model is %v, %v", i, former.Digest[0], err)
		}
	}
}

// Every gate keeps out what it is for.
func TestGates(t *testing.T) {
	const start = zone.Time(1_800_000_000_000_000_000)
	at := func(minute float64) zone.Time { return start.Add(time.Duration(minute * float64(time.Minute))) }
	h := &History{Device: camera}
	h.apply(&contract.Tx{Body: &contract.VerdictChanged{To: zone.StateMalicious, Since: at(60)}})
	h.apply(&contract.Tx{Time: at(70), Body: &contract.VerdictChanged{To: zone.StateWatching}})
	v := &sieve{history: h, until: at(200)}
	seen := func(minute float64, packet uint64, s zone.Snapshot) bool {
		s.Time, s.Packet, s.Device = at(minute), packet, camera
		if s.SrcMAC == (zone.MAC{}) {
			s.SrcMAC = camera
		}
		v.watch(&s)
		return v.pass(&s)
	}
	normal := zone.Snapshot{Label: zone.Normal}
	packet := uint64(0)
	for minute := 0.0; minute < 210; minute += 0.5 {
		packet++
		want := minute >= 5 && (minute < 50 || minute > 80) && minute <= 200 && !(minute >= 100 && minute < 105)
		if minute == 100 {
			packet = 0 // the gateway was started again
		}
		if got := seen(minute, packet, normal); got != want {
			t.Errorf("minute %v: passed %v, want %v", minute, got, want)
		}
	}
	v = &sieve{history: h, until: at(200)}
	seen(100, 1, normal)
	for m := 100.5; m < 106; m += 0.5 {
		seen(m, 2, normal)
	}
	if !seen(106, 3, normal) || seen(107.1, 4, normal) || seen(90, 5, normal) {
		t.Error("a minute without packets, or a clock that went back, is no gap")
	}
	if seen(90.1, 6, zone.Snapshot{Label: zone.Malicious}) || seen(90.1, 7, zone.Snapshot{Label: zone.Normal, SrcMAC: plug}) || v.gates.Flagged != 2 {
		t.Errorf("a flagged snapshot or another's passed: %+v", v.gates)
	}
}

// Each bound holds on its own, and what is just within them passes.
func TestBounds(t *testing.T) {
	anchor := &detect.Model{Threshold: 1, Profile: detect.Profile{NewHosts: 50, NewPorts: 60, MaxFlows: 70, MaxBurst: 200, MaxRate: 500}}
	within := func() *shadow {
		return &shadow{Comparison: Comparison{Anchor: Candidate{Highest: 2, Together: 1, Usual: 0.5}}, model: &detect.Model{Profile: detect.Profile{NewHosts: 100, NewPorts: 120, MaxFlows: 140, MaxBurst: 400, MaxRate: 1000}}}
	}
	if err := within().check(anchor); err != nil {
		t.Errorf("within all bounds: %v", err)
	}
	for name, beyond := range map[string]func(*shadow){
		"score":    func(s *shadow) { s.Anchor.Highest = 2.01 },
		"together": func(s *shadow) { s.Anchor.Together = 1.01 },
		"hosts":    func(s *shadow) { s.model.Profile.NewHosts = 101 },
		"ports":    func(s *shadow) { s.model.Profile.NewPorts = 121 },
		"flows":    func(s *shadow) { s.model.Profile.MaxFlows = 141 },
		"burst":    func(s *shadow) { s.model.Profile.MaxBurst = 401 },
		"rate":     func(s *shadow) { s.model.Profile.MaxRate = 1001 },
		"scan":     func(s *shadow) { s.model.Profile.Ports = []detect.PortUse{{Proto: 6, Port: 23, NewHosts: 8}} },
		"peer":     func(s *shadow) { s.model.Profile.MaxPeer = 13 },
		"silent":   func(s *shadow) { s.model.Profile.MaxSilent = 16 },
		"unjudged": func(s *shadow) { s.model.Profile.Ports = make([]detect.PortUse, detect.MaxPorts) },
	} {
		s := within()
		beyond(s)
		var refused *BoundError
		if err := s.check(anchor); !errors.As(err, &refused) {
			t.Errorf("%s: %v, want a BoundError", name, err)
		}
	}
}

// What snapshots reach together is found also where they were scored in parts.
func TestGaugeInParts(t *testing.T) {
	b := learned(t, Options{})
	m := b.m.devices[camera].model
	stored, err := b.m.stored(t.Context(), b.m.devices[camera], 0, 0, nil)
	b.must(err)
	usual := stored[len(stored)/2].Features
	noise := rand.New(rand.NewPCG(3, 4))
	for _, high := range []int{gaugeRows - 30, 2*gaugeRows - 5} {
		rows := make([][zone.Features]float32, 3*gaugeRows+17)
		times := make([]zone.Time, len(rows))
		g := newGauge(m)
		for i := range rows {
			rows[i] = usual
			if i >= high && i < high+50 {
				rows[i][0] = 1e6 * (1 + noise.Float32())
			}
			times[i] = zone.Time(i) * zone.Time(100*time.Millisecond)
			g.add(&zone.Snapshot{Features: rows[i], Time: times[i]})
		}
		scores := make([]float64, len(rows))
		m.Score(rows, scores)
		c := g.candidate(1, gaugeNewest)
		if want := m.Together(times, scores); c.Together != want || want <= m.Threshold || c.Above != 50/float64(len(rows)) || c.Highest < want {
			t.Errorf("%+v, want together %v and 50 above", c, want)
		}
	}
}

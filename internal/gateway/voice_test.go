package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"bellwether/internal/bus"
	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/monitor"
	"bellwether/internal/packet"
	"bellwether/internal/roster"
	"bellwether/internal/zone"
)

// TestVoice: what a member says is learned like packets are, and a member that
// floods another one is malicious by what it says alone: the contract takes
// nothing more from it.
func TestVoice(t *testing.T) {
	s, err := OpenState(t.Context(), t.TempDir(), StateOptions{Identity: Identity{Name: "home", Created: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &watching{state: s, heard: make(chan bus.Heard, heardQueue), roster: roster.New(roster.Options{Gateways: []zone.MAC{{0xdc, 1}}})}
	parts := s.parts()
	alerts := 0
	parts.Roster, parts.OnAlert = w.roster, func(zone.Alert, ledger.Receipt) error { alerts++; return nil }
	c := Config{Learn: LearnConfig{Snapshots: 1000, For: Duration(10 * time.Minute)}}
	o := c.monitorOptions()
	o.ModelDir = s.path(modelDir)
	var jobs sync.WaitGroup
	o.Background = func(job func(context.Context)) { jobs.Go(func() { job(t.Context()) }) }
	past, err := s.past(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if w.monitor, err = monitor.New(t.Context(), o, parts, past); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	at := zone.Time(1_700_000_000e9)
	say := func(n int, gap time.Duration, to zone.MemberID, op contract.Op, size uint32) {
		for range n {
			at = at.Add(gap + time.Duration(r.Int64N(int64(gap/4))))
			w.heard <- bus.Heard{From: "lamp", To: to, Op: op, Size: size + r.Uint32N(16), Received: at}
			if err := w.listen(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	voice, _ := zone.MemberID("lamp").Voice()
	state := func() zone.State {
		if err := w.monitor.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		d, _, err := contract.ReadDevice(s.Ledger.State(), voice)
		if err != nil {
			t.Fatal(err)
		}
		return d.State
	}
	for range 3 { // what was learned beside counts with the next message
		say(1200, time.Second, "hub", contract.OpSend, 100)
		state()
		jobs.Wait()
	}
	if got := state(); got != zone.StateWatching || alerts != 0 {
		t.Fatalf("after a calm day it is %s, %d alerts", got, alerts)
	}
	say(2000, time.Millisecond, "door", contract.OpRequest, 60_000)
	if got := state(); got != zone.StateMalicious || alerts == 0 {
		t.Errorf("after a flood it is %s, %d alerts", got, alerts)
	}
	m := contract.MemberState{Member: "lamp", Until: 1 << 40}
	if err := m.Standing(s.Ledger.State(), 1); err == nil {
		t.Error("the contract still takes what it says")
	}
	members := &membership{state: s}
	for _, action := range []string{contract.ActionRevoke, contract.ActionRelease} {
		if _, err := members.decide(t.Context(), time.Now(), &contract.MemberAction{Action: action, Member: "lamp"}); err != nil {
			t.Fatal(err)
		}
	}
	if aside, err := members.released("lamp"); err != nil || len(aside) != 1 || aside[0].MAC != voice {
		t.Errorf("put aside is %+v (%v), want the verdict about the voice", aside, err)
	}
}

// TestVoiceIsNoAddress: no frame on the wire speaks for a member.
func TestVoiceIsNoAddress(t *testing.T) {
	r := roster.New(roster.Options{})
	p := voiced(bus.Heard{From: "lamp", To: "hub", Op: contract.OpSend})
	if r.IsDevice(&p) || r.IsVoice(p.SrcMAC) {
		t.Error("nobody was heard yet")
	}
	r.Hear(p.SrcMAC, "lamp (messages)")
	if !r.IsDevice(&p) || !r.IsVoice(p.SrcMAC) || r.Known(p.SrcMAC) || r.Name(p.SrcMAC) != "lamp (messages)" {
		t.Error("a voice is no device")
	}
	if !p.SrcMAC.IsLocal() || p.SrcMAC.IsGroup() || !p.Src.IsPrivate() || p.Kind != packet.KindIPv6 {
		t.Errorf("%s %s", p.SrcMAC, p.Src)
	}
}

// BenchmarkHeard: members' messages are observed while they are learned. Of 2,000,
// 512 have a place.
func BenchmarkHeard(b *testing.B) {
	for _, members := range []int{500, 2000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) { benchHeard(b, members) })
	}
}

func benchHeard(b *testing.B, members int) {
	s, err := OpenState(b.Context(), b.TempDir(), StateOptions{Identity: Identity{Name: "home", Created: 1}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	w := &watching{state: s, roster: roster.New(roster.Options{})}
	parts := s.parts()
	parts.Roster = w.roster
	o := Config{}.monitorOptions()
	o.ModelDir = s.path(modelDir)
	past, err := s.past(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if w.monitor, err = monitor.New(b.Context(), o, parts, past); err != nil {
		b.Fatal(err)
	}
	names := make([]zone.MemberID, members)
	for i := range names {
		names[i] = zone.MemberID(fmt.Sprintf("m%04d", i))
	}
	r := rand.New(rand.NewPCG(1, 1))
	at := zone.Time(1_700_000_000e9)
	for i := 0; b.Loop(); i++ {
		at = at.Add(time.Duration(r.Int64N(int64(400 * time.Microsecond))))
		h := bus.Heard{From: names[i%members], To: names[(i+1)%members], Op: contract.OpSend, Size: 250 + r.Uint32N(16), Received: at}
		if err := w.observe(b.Context(), h); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.monitor.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	stored := int64(0)
	for _, seg := range s.Store.Segments() {
		stored += seg.Bytes
	}
	b.ReportMetric(float64(stored)/float64(s.Store.Last()), "stored-B/row")
	b.ReportMetric(float64(s.Store.Last())/float64(w.monitor.Packets()), "rows/message")
}

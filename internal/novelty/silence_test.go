package novelty

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// flood sends n ACKs a millisecond apart to a host and gives how many it takes
// until the reason is silent, 0 if it never is.
func flood(t *testing.T, tr *Tracker, r *rows, from time.Duration, dst netip.Addr, n int) int {
	t.Helper()
	for i := range n {
		s := r.row(from+time.Duration(i)*time.Millisecond, dst, protoTCP, uint16(1000+i), uint16(2000+i), tcpACK)
		f := tr.Add(s, false)
		if f.Reason == zone.ReasonSilent {
			if len(f.Contacts) != i+1 || f.First != f.Contacts[0] || f.Contacts[i] != s.Seq {
				t.Fatalf("packet %d: %+v", i+1, f)
			}
			return i + 1
		}
		if f.Reason != "" {
			t.Fatalf("packet %d: %+v", i+1, f)
		}
	}
	return 0
}

func TestSilentHost(t *testing.T) {
	var r rows
	silentLimit := silentFloor + 1
	p := detect.Profile{Known: []netip.Addr{addr(1)}}
	tr := tracker(p)
	if n := flood(t, tr, &r, 0, addr(9), 100); n != silentLimit {
		t.Errorf("a flood is found after %d packets, want %d", n, silentLimit)
	}
	if n := flood(t, tr, &r, time.Minute, addr(1), 300); n != 0 {
		t.Errorf("packets to a host that the device knew are found after %d", n)
	}
	for i := range 300 { // 10 a second
		if f := tr.Add(r.row(time.Hour+time.Duration(i)*100*time.Millisecond, addr(8), protoUDP, 5000, 6000, 0), false); f.Reason != "" {
			t.Fatalf("slow packet %d: %+v", i+1, f)
		}
	}
	p.MaxSilent = 40
	if n := flood(t, tracker(p), &r, 0, addr(9), 100); n != 81 {
		t.Errorf("with 40 learned a flood is found after %d packets, want 81", n)
	}
}

func TestWhoWasHeardOfIsNotSilent(t *testing.T) {
	answer := func(p packet.Packet) Answer {
		p.Src = addr(9)
		a, ok := AnswerOf(&p)
		if !ok {
			t.Fatalf("%+v says nothing", p)
		}
		return a
	}
	for name, c := range map[string]struct {
		hear func(*Tracker)
		want int
	}{
		"nobody":        {func(*Tracker) {}, silentFloor + 1},
		"another host":  {func(tr *Tracker) { tr.Answered(Answer{from: host(addr(7)), settles: true}, false) }, silentFloor + 1},
		"a TCP ACK":     {func(tr *Tracker) { tr.Answered(answer(packet.Packet{Proto: protoTCP, TCPFlags: tcpACK}), false) }, 0},
		"UDP":           {func(tr *Tracker) { tr.Answered(answer(packet.Packet{Proto: protoUDP}), false) }, 0},
		"an echo reply": {func(tr *Tracker) { tr.Answered(answer(packet.Packet{Proto: protoICMP}), false) }, 0},
		"a ping":        {func(tr *Tracker) { tr.Answered(answer(packet.Packet{Proto: protoICMP, ICMPType: echoRequest}), false) }, 0},
		"a call to all": {func(tr *Tracker) { tr.silence.callers.Called(answer(packet.Packet{Proto: protoUDP})) }, 0},
		"earlier days": {func(tr *Tracker) {
			s := zone.Snapshot{Dst: addr(9), Proto: protoTCP}
			s.Features[columnMean], s.Features[columnMagnitude] = 60, 80
			tr.Met(&s)
		}, 0},
	} {
		var r rows
		tr := tracker(detect.Profile{})
		flood(t, tr, &r, 0, addr(9), silentFloor)
		c.hear(tr)
		if n := flood(t, tr, &r, 2*time.Second, addr(9), 200); n != c.want {
			t.Errorf("%s: found after %d packets, want %d", name, n, c.want)
		}
	}
	for name, p := range map[string]packet.Packet{
		"a reset":              {Proto: protoTCP, TCPFlags: tcpRST | tcpACK},
		"port unreachable":     {Proto: protoICMP, ICMPType: 3},
		"port unreachable (6)": {Proto: protoICMPv6, ICMPType: 1},
	} {
		p.Src = addr(9)
		if _, ok := AnswerOf(&p); ok {
			t.Errorf("%s is an answer", name)
		}
	}
}

// Who begins to look in the middle of a stream hears its other end first.
func TestSilenceWarmsUp(t *testing.T) {
	var r rows
	p := detect.Profile{}
	tr := NewTracker(&p, NewHeard(), none)
	second := func(i int) time.Duration { return time.Duration(i) * time.Second }
	warm := int(silentWarmUp / time.Second)
	for i := range warm + 10 {
		want := 0
		if i >= warm {
			want = silentFloor + 1
		}
		if n := flood(t, tr, &r, second(i), addr(100+i), 100); n != want {
			t.Errorf("second %d: found after %d packets, want %d", i, n, want)
		}
	}
	tr.Blind()
	for i := range warm + 10 {
		want := 0
		if i >= warm {
			want = silentFloor + 1
		}
		if n := flood(t, tr, &r, second(1000+i), addr(200+i), 100); n != want {
			t.Errorf("second %d after a gap: found after %d packets, want %d", i, n, want)
		}
	}
	if n := flood(t, tr, &r, second(10), addr(300), 100); n != 0 {
		t.Errorf("the clock was set back: found after %d packets", n)
	}
}

// What a follower of the first model was taught does not count as known.
func TestFollowersKnowWhatTheFirstKnew(t *testing.T) {
	var r rows
	p := detect.Profile{Known: []netip.Addr{addr(1), addr(9)}, First: []netip.Addr{addr(1)}, Followed: true}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if n := flood(t, tracker(p), &r, 0, addr(9), 100); n != silentFloor+1 {
		t.Errorf("a flood of a host that was taught later is found after %d packets", n)
	}
	if n := flood(t, tracker(p), &r, 0, addr(1), 100); n != 0 {
		t.Errorf("packets to a host that was known first are found after %d", n)
	}
	if n := connections(t, tracker(p), &r, 0, addr(9), 30); n != peerFloor+1 {
		t.Errorf("connections to a host that was taught later are found after %d", n)
	}
}

// A device that refuses what others send it does not flood them.
func TestRefusalsDoNotCount(t *testing.T) {
	var r rows
	tr := tracker(detect.Profile{})
	for i := range 300 {
		at := time.Duration(i) * time.Millisecond
		for _, s := range []*zone.Snapshot{
			r.row(at, addr(9), protoTCP, 80, uint16(i), tcpRST|tcpACK),
			r.row(at, addr(9), protoICMP, 0, 3<<8|3, 0),
			r.row(at, netip.MustParseAddr("239.255.255.250"), protoUDP, 1900, 1900, 0),
		} {
			if f := tr.Add(s, false); f.Reason == zone.ReasonSilent {
				t.Fatalf("%+v: %+v", s, f)
			}
		}
	}
}

// More hosts than have a place: those sent to last are counted.
func TestSilentHostsAreBounded(t *testing.T) {
	var r rows
	tr := tracker(detect.Profile{})
	for i := range 10_000 {
		at := time.Duration(i) * time.Hour
		tr.Add(r.row(at, addr(i), protoUDP, 1000, 2000, 0), false)
		tr.Answered(Answer{from: host(addr(i)), settles: true}, false)
		tr.Add(r.row(at, addr(20_000+i), protoUDP, 1000, 2000, 0), false)
	}
	if q := tr.silence; len(q.slots) > silentHosts || len(q.heard.keys) > maxMet {
		t.Errorf("%d slots, %d heard of", len(q.slots), len(q.heard.keys))
	}
	if n := flood(t, tr, &r, 20_000*time.Hour, netip.MustParseAddr("192.0.2.1"), 100); n != silentFloor+1 {
		t.Errorf("found after %d packets", n)
	}
}

func TestSilentIsLearned(t *testing.T) {
	var r rows
	l := NewLearner()
	for i := range 30 { // nobody answers
		l.Add(r.row(time.Duration(i)*10*time.Millisecond, addr(1), protoUDP, 1000, 2000, 0))
	}
	for i := range 500 { // a stream that is answered from its third packet on
		s := r.row(time.Minute+time.Duration(i)*time.Millisecond, addr(2), protoUDP, 1000, 2000, 0)
		s.Features[columnMean], s.Features[columnMagnitude] = 60, 60
		if i > 2 {
			s.Features[columnMagnitude] = 80
		}
		l.Add(s)
	}
	var p detect.Profile
	l.Fill(&p)
	if p.MaxSilent != 30 || Limit(&p, zone.ReasonSilent) != 60 {
		t.Errorf("%d learned, limit %d; want 30, 60", p.MaxSilent, Limit(&p, zone.ReasonSilent))
	}
}

func TestCheckSilent(t *testing.T) {
	p := detect.Profile{Known: []netip.Addr{addr(1)}}
	evidence := func(change func([]zone.Snapshot)) []zone.Snapshot {
		var r rows
		var out []zone.Snapshot
		for i := range silentFloor + 1 {
			out = append(out, *r.row(time.Duration(i)*time.Millisecond, addr(9), protoTCP, 1, uint16(i), tcpACK))
		}
		change(out)
		return out
	}
	rows := evidence(func([]zone.Snapshot) {})
	if n, err := Check(&p, zone.ReasonSilent, rows); n != silentFloor+1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	text, f := Describe(&p, zone.ReasonSilent, rows)
	if want := "sends 16 packets in 0s to 198.18.0.9, which it did not contact while it was learned and which sends nothing back"; !strings.HasPrefix(text, want) || f.Name != "packets_to_silent_host_1s" {
		t.Errorf("%q, %+v", text, f)
	}
	for want, change := range map[string]func([]zone.Snapshot){
		"the last to":     func(s []zone.Snapshot) { s[2].Dst = addr(8) },
		"the device knew": func(s []zone.Snapshot) { s[2].Dst, s[len(s)-1].Dst = addr(1), addr(1) },
		"counted twice":   func(s []zone.Snapshot) { s[2].Seq = s[1].Seq },
		"from the last":   func(s []zone.Snapshot) { s[0].Time -= 2e9 },
		"does not turn":   func(s []zone.Snapshot) { s[2].TCPFlags = tcpRST },
	} {
		rows := evidence(change)
		if want == "the device knew" {
			for i := range rows {
				rows[i].Dst = addr(1)
			}
		}
		if _, err := Check(&p, zone.ReasonSilent, rows); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	if _, err := Check(&p, zone.ReasonSilent, rows[1:]); err == nil {
		t.Error("15 packets were enough")
	}
}

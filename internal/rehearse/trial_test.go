package rehearse

import (
	"testing"
	"time"

	"bellwether/internal/gateway"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// at gives a moment of the tests' traffic, and its text.
func at(second float64) (zone.Time, string) {
	t := homeStart.Add(time.Duration(second * 1e9))
	return t, t.String()
}

func alertAt(second float64, packet uint64, end float64) gateway.AlertReport {
	_, start := at(second)
	a := gateway.AlertReport{Start: start, FirstPacket: packet, Reason: "why"}
	if end > 0 {
		_, s := at(end)
		a.End = &s
	}
	return a
}

// attacked is an attack of ten packets, one each second from second 100 on, the
// odd ones among packets 200 to 219 of the capture; all but the first are
// flagged. The window is 4.
func attacked() *poll {
	start, _ := at(100)
	p := &poll{strike: &strike{Overlay: simulate.Overlay{Kind: simulate.MiraiSYN, Start: start, Duration: 10 * time.Second}, first: start}}
	for i := range 20 {
		when, _ := at(100 + float64(i)/2 - 0.5)
		row := ballot{at: when, packet: uint64(200 + i), flagged: i%2 == 1 && i > 1}
		if i%2 == 1 {
			p.sent = append(p.sent, row.packet)
		}
		p.rows = append(p.rows, row)
	}
	return p
}

func TestTrials(t *testing.T) {
	device := func(alerts ...gateway.AlertReport) gateway.DeviceReport {
		return gateway.DeviceReport{Window: 4, SpanSeconds: 60, Alerts: alerts}
	}
	for _, c := range []struct {
		name           string
		alerts, calm   []gateway.AlertReport
		found, already bool
		seconds        float64
		sent, caught   int
	}{
		{"nothing", nil, nil, false, false, 0, 0, 0},
		{"at the third packet", []gateway.AlertReport{alertAt(102, 205, 0)}, nil, true, false, 2, 3, 7},
		{"at a benign packet", []gateway.AlertReport{alertAt(101.5, 204, 0)}, nil, true, false, 1.5, 2, 7},
		{"over before the end", []gateway.AlertReport{alertAt(102, 205, 105)}, nil, true, false, 2, 3, 2},
		{"within the grace", []gateway.AlertReport{alertAt(169, 300, 0)}, nil, true, false, 69, 10, 0},
		{"too late", []gateway.AlertReport{alertAt(171, 300, 0)}, nil, false, false, 0, 0, 0},
		{"in alarm before", []gateway.AlertReport{alertAt(50, 90, 103)}, nil, false, true, 0, 0, 0},
		{"calm again before", []gateway.AlertReport{alertAt(50, 90, 99), alertAt(102, 205, 0)}, nil, true, false, 2, 3, 7},
		{"a false alarm anyway", []gateway.AlertReport{alertAt(102, 205, 0)}, []gateway.AlertReport{alertAt(102, 150, 0)}, false, false, 0, 0, 7},
	} {
		got, err := attacked().trial(device(c.alerts...), device(c.calm...))
		if err != nil {
			t.Fatal(err)
		}
		if got.Found != c.found || got.Already != c.already || got.Seconds != c.seconds || got.Sent != c.sent || got.Caught != c.caught {
			t.Errorf("%s: %+v", c.name, got)
		}
		// Every second row is flagged: two of four are no majority.
		if got.Packets != 10 || got.Flagged != 9 || got.Windows != 7 || got.Voted != 0 {
			t.Errorf("%s: %d packets, %d flagged, %d windows, %d voted", c.name, got.Packets, got.Flagged, got.Windows, got.Voted)
		}
	}
	bad := alertAt(102, 205, 0)
	bad.Start = "yesterday"
	if _, err := attacked().trial(device(bad), device()); err == nil {
		t.Error("an alert without a time was understood")
	}
}

func TestVotedWindows(t *testing.T) {
	p := attacked()
	for i := range p.rows {
		p.rows[i].flagged = i > 5
	}
	got, err := p.trial(gateway.DeviceReport{Window: 4, SpanSeconds: 60}, gateway.DeviceReport{})
	// The fourth attack packet is row 7: two of four. The others have a majority.
	if err != nil || got.Windows != 7 || got.Voted != 6 || got.Caught != 6 || got.WindowTPR() != 6.0/7 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestQuiet: an alarm goes on for quiet after its last cause, and no other is
// raised until then.
func TestQuiet(t *testing.T) {
	p := attacked()
	p.quiet = 10 * time.Second
	got, err := p.trial(gateway.DeviceReport{Window: 4, SpanSeconds: 60, Alerts: []gateway.AlertReport{alertAt(102, 205, 105)}}, gateway.DeviceReport{})
	if err != nil || !got.Found || got.Caught != 7 {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = p.trial(gateway.DeviceReport{Window: 4, SpanSeconds: 60, Alerts: []gateway.AlertReport{alertAt(50, 90, 99)}}, gateway.DeviceReport{})
	if err != nil || !got.Already || got.Caught != 6 { // the last row comes as it ends
		t.Errorf("in alarm still: %+v, %v", got, err)
	}
}

// TestMuteVote: where the vote raises no alert, its windows are not caught.
func TestMuteVote(t *testing.T) {
	p := attacked()
	p.mute = true
	for i := range p.rows {
		p.rows[i].flagged = true
	}
	got, err := p.trial(gateway.DeviceReport{Window: 4, SpanSeconds: 60, Alerts: []gateway.AlertReport{alertAt(107, 215, 0)}}, gateway.DeviceReport{})
	if err != nil || got.Windows != 7 || got.Voted != 7 || got.Caught != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCounted(t *testing.T) {
	trials := []Trial{
		{Found: true, Seconds: 1, Sent: 10, Packets: 10, Flagged: 5, Windows: 4, Caught: 4},
		{Found: true, Seconds: 3, Sent: 30, Packets: 10, Flagged: 10, Windows: 4, Caught: 2},
		{Packets: 10, Windows: 4},
		{Already: true, Packets: 10, Windows: 4, Caught: 4},
		{Attack: "other"},
	}
	got := counted(trials, func(t *Trial) bool { return t.Attack == "" })
	want := Count{Trials: 4, Found: 2, Already: 1, Missed: 1, Seconds: 2, Packets: 20, PacketTPR: 0.5, WindowTPR: 0.5, Windowed: 3, AllWindows: 0.5}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestTimeline(t *testing.T) {
	var tl timeline
	for _, s := range []float64{0, 60, 30, 100, 10000, 10100} { // one clock that stepped back, one gap
		when, _ := at(s)
		tl.add(when)
	}
	if len(tl) != 2 || tl.length() != 200*time.Second {
		t.Fatalf("%v, %v", tl, tl.length())
	}
	for _, c := range []struct{ passed, second float64 }{{0, 0}, {100, 100}, {150, 10050}, {200, 10100}, {500, 10100}} {
		if want, _ := at(c.second); tl.after(time.Duration(c.passed*1e9)) != want {
			t.Errorf("after %v s it is %v, want second %v", c.passed, tl.after(time.Duration(c.passed*1e9)), c.second)
		}
	}
	from, _ := at(40)
	until, _ := at(10020)
	if got := tl.between(from, until).length().Round(time.Millisecond); got != 80*time.Second {
		t.Errorf("%v between, want 80 s", got)
	}
}

func TestMomentsAreThinnedOut(t *testing.T) {
	var m moments
	for i := range 100_000 {
		when, _ := at(float64(i))
		m.add(when)
	}
	if n := len(m.at); n < maxMoments/2 || n > maxMoments {
		t.Errorf("%d moments are kept", n)
	}
	step := m.at[1].Sub(m.at[0])
	for i := range m.at[1:] {
		if m.at[i+1].Sub(m.at[i]) != step {
			t.Fatalf("moments %d and %d are %v apart, the first two %v", i, i+1, m.at[i+1].Sub(m.at[i]), step)
		}
	}
	if last, _ := at(99_999); last.Sub(m.at[len(m.at)-1]) > step {
		t.Errorf("the last moment is %v before the end", last.Sub(m.at[len(m.at)-1]))
	}
}

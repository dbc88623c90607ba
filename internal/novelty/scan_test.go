package novelty

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

const ntp = 123

// timekeeper is the profile of a device that turned to 11 new silent time
// servers in 10 minutes.
func timekeeper(known ...int) detect.Profile {
	p := telnet(known...)
	p.NewHosts = 11
	p.Ports = []detect.PortUse{{Proto: protoTCP, Port: 443, NewHosts: 1}, {Proto: protoUDP, Port: ntp, NewHosts: 11}}
	return p
}

func (r *rows) ask(at time.Duration, dst int) *zone.Snapshot {
	return r.row(at, addr(dst), protoUDP, ntp, ntp, 0)
}

// A device that turned to many new hosts of one service is held to the floor on
// every other: on those that it never used, and on those where it did nothing like it.
func TestScanOfOneService(t *testing.T) {
	for name, c := range map[string]struct {
		service func(i int) Service
		at      int // number of the host that it is found at, 0: not
	}{
		"never used":         {func(int) Service { return Service{protoTCP, 23} }, 8},
		"used":               {func(int) Service { return Service{protoTCP, 443} }, 8},
		"its own":            {func(int) Service { return Service{protoUDP, ntp} }, 0},
		"ARP":                {func(int) Service { return Service{protoARP, 0} }, 8},
		"ping":               {func(int) Service { return Service{protoICMP, 8 << 8} }, 8},
		"without ports":      {func(int) Service { return Service{47, 0} }, 8},
		"nine to one":        {func(i int) Service { return Service{protoTCP, []uint16{23, 2323}[i%10/9]} }, 8},
		"one to nine":        {func(i int) Service { return Service{protoTCP, []uint16{2323, 23}[min(i%10, 1)]} }, 9},
		"each host another":  {func(i int) Service { return Service{protoUDP, uint16(20000 + i)} }, 0},
		"a port of each two": {func(i int) Service { return Service{protoUDP, uint16(20000 + i/2)} }, 0},
	} {
		var r rows
		p := timekeeper()
		tr, at := tracker(p), 0
		var all []zone.Snapshot
		for i := range 30 {
			v := c.service(i)
			s := r.row(time.Duration(i)*time.Minute, addr(i), v.Proto, 40000, v.Port, tcpSYN)
			if v.Proto == protoARP {
				s.DstMAC = zone.MAC{255, 255, 255, 255, 255, 255}
			}
			all = append(all, *s)
			f := tr.Add(s, at > 0)
			if at > 0 || f.Reason == "" {
				continue
			}
			at = i + 1
			var named []zone.Snapshot
			for _, seq := range f.Contacts {
				named = append(named, all[seq-1])
			}
			if n, err := Check(&p, f.Reason, named); f.Reason != zone.ReasonScan || err != nil || n != hostFloor+1 || f.First != named[0].Seq {
				t.Errorf("%s: %d, %v of %+v", name, n, err, f)
			}
		}
		if at != c.at {
			t.Errorf("%s: found at host %d, want %d", name, at, c.at)
		}
	}
}

// A new host counts for each service, whatever it was asked before; not if it
// has answered, and not if it is known.
func TestScanCountsNewHosts(t *testing.T) {
	for name, c := range map[string]struct {
		before func(r *rows, tr *Tracker, i int)
		want   bool
	}{
		"asked another service before": {func(r *rows, tr *Tracker, i int) { tr.Add(r.ask(0, i), false) }, true},
		"answered another service": {func(r *rows, tr *Tracker, i int) {
			tr.Add(r.ask(0, i), false)
			a, _ := AnswerOf(&packet.Packet{Kind: packet.KindIPv4, Proto: protoUDP, SrcPort: ntp, Src: addr(i)})
			tr.Answered(a, false)
		}, false},
		"met": {func(r *rows, tr *Tracker, i int) { tr.Met(r.ask(0, i)) }, false},
	} {
		var r rows
		tr, found := tracker(timekeeper()), false
		for i := range 8 {
			c.before(&r, tr, i)
		}
		for i := range 8 {
			found = tr.Add(r.syn(time.Second, i, 23), false).Reason == zone.ReasonScan
		}
		if found != c.want {
			t.Errorf("%s: found %v", name, found)
		}
	}
}

// An answer settles what the host was asked before.
func TestScanIsSettled(t *testing.T) {
	var r rows
	tr := tracker(timekeeper())
	for i := range 100 {
		if f := tr.Add(r.syn(time.Duration(i)*time.Second, i, 23), false); f.Reason != "" {
			t.Fatalf("host %d: %+v", i+1, f)
		}
		a, _ := AnswerOf(&packet.Packet{Kind: packet.KindIPv4, Proto: protoTCP, SrcPort: 23, Src: addr(i), TCPFlags: tcpSYN | tcpACK})
		tr.Answered(a, false)
	}
	if n := len(tr.scan.pending) + len(tr.scan.keys) + len(tr.scan.hosts) + len(tr.scan.counts); n != 0 {
		t.Errorf("%d things are remembered of hosts that answered", n)
	}
}

// Hosts of a scan that was found are new when it is repeated.
func TestScanAgain(t *testing.T) {
	var r rows
	tr := tracker(timekeeper())
	for round := range 3 {
		for i := range 20 {
			f := tr.Add(r.syn(time.Duration(round)*time.Hour+time.Duration(i)*time.Second, i, 23), i > hostFloor)
			if got, want := f.Reason == zone.ReasonScan, i >= hostFloor; got != want {
				t.Fatalf("round %d, host %d: %+v", round, i+1, f)
			}
		}
	}
}

// A device that met more hosts than can be listed is still judged where it never
// was; so is one that used more services, by what is known of those left out.
func TestLimitOn(t *testing.T) {
	many := make([]detect.PortUse, detect.MaxPorts)
	for i := range many {
		many[i] = detect.PortUse{Proto: protoUDP, Port: uint16(1000 + i), NewHosts: 5}
	}
	known := make([]int, detect.MaxKnown)
	for i := range known {
		known[i] = i
	}
	p, social := timekeeper(), timekeeper(known...)
	busy := detect.Profile{Ports: many}
	both := detect.Profile{Ports: many, Known: social.Known}
	wild := detect.Profile{Ports: []detect.PortUse{{Proto: protoTCP, Port: 23, NewHosts: maxContacts}}}
	for _, c := range []struct {
		p    *detect.Profile
		v    Service
		want int
	}{
		{&p, Service{protoUDP, ntp}, 22}, {&p, Service{protoTCP, 443}, 7}, {&p, Service{protoTCP, 23}, 7},
		{&social, Service{protoUDP, ntp}, 0}, {&social, Service{protoTCP, 23}, 7},
		{&busy, Service{protoUDP, 1000}, 10}, {&busy, Service{protoTCP, 23}, 10},
		{&both, Service{protoUDP, 1000}, 0}, {&both, Service{protoTCP, 23}, 0},
		{&wild, Service{protoTCP, 23}, 0},
	} {
		if got := LimitOn(c.p, c.v); got != c.want {
			t.Errorf("%s, %d known hosts, %d services: %d, want %d", c.v, len(c.p.Known), len(c.p.Ports), got, c.want)
		}
		limits := newScanLimits(c.p)
		if got := limits.on(c.v); got != c.want {
			t.Errorf("%s: a tracker has %d, want %d", c.v, got, c.want)
		}
	}
	var r rows
	tr := tracker(social)
	for i := range 8 {
		f := tr.Add(r.syn(time.Duration(i)*time.Minute, 5000+i, 23), false)
		if got, want := f.Reason == zone.ReasonScan, i == hostFloor; got != want {
			t.Fatalf("host %d: %+v", i+1, f)
		}
	}
}

// Each of both counts can be switched off without the other.
func TestScanAlone(t *testing.T) {
	for _, off := range []string{zone.ReasonHosts, zone.ReasonScan} {
		var r rows
		p := telnet()
		tr := NewTracker(&p, NewHeard(), func(reason string) bool { return reason == off })
		got := ""
		for i := range 8 {
			got = tr.Add(r.syn(0, i, 23), false).Reason
		}
		if want := map[string]string{zone.ReasonHosts: zone.ReasonScan, zone.ReasonScan: zone.ReasonHosts}[off]; got != want {
			t.Errorf("without %s: %q, want %q", off, got, want)
		}
	}
}

func TestScanIsBounded(t *testing.T) {
	for name, p := range map[string]detect.Profile{"plain": telnet(), "wide": {Ports: []detect.PortUse{{Proto: protoUDP, Port: 9, NewHosts: maxContacts / 2}}}} {
		var r rows
		tr := tracker(p)
		for i := range 20_000 {
			tr.Add(r.syn(time.Duration(i)*time.Microsecond, i%700, uint16(i)), i > 100)
		}
		n := tr.scan
		if len(n.pending) > n.most || len(n.keys) != len(n.pending) || len(n.hosts) > n.most || len(n.counts) > n.most || n.most > maxEndpoints {
			t.Errorf("%s: %d endpoints, %d keys, %d hosts, %d services, at most %d", name, len(n.pending), len(n.keys), len(n.hosts), len(n.counts), n.most)
		}
		sum := 0
		for _, k := range n.counts {
			sum += k
		}
		for _, k := range n.hosts {
			sum += k
		}
		if sum != 2*len(n.pending) {
			t.Errorf("%s: %d are counted of %d", name, sum, len(n.pending))
		}
	}
}

// What a device did on one service while it was learned widens no other's limit.
func TestLearnScan(t *testing.T) {
	l := NewLearner()
	var r rows
	for i := range 20 { // while it boots
		l.Add(r.syn(time.Duration(i)*time.Millisecond, i, 8080))
	}
	for i := range 200 {
		at := 20*time.Minute + time.Duration(i)*5*time.Minute
		for k := range 3 {
			l.Add(r.ask(at, 1000+3*i+k))
		}
		l.Add(r.syn(at, 1000+3*i, 443)) // one of these hosts
		l.Add(r.syn(at, 1, 23))         // which is known
	}
	got := l.NewHosts()
	if want := map[Service]int{{protoUDP, ntp}: 9, {protoTCP, 443}: 3}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestCheckScan(t *testing.T) {
	var r rows
	p := timekeeper(500)
	for want, change := range map[string]func(rows []zone.Snapshot) []zone.Snapshot{
		"":                func(s []zone.Snapshot) []zone.Snapshot { return s },
		"do not exceed":   func(s []zone.Snapshot) []zone.Snapshot { return s[1:] },
		"limit of 22":     func(s []zone.Snapshot) []zone.Snapshot { s[0].Proto, s[0].DstPort = protoUDP, ntp; return s },
		"TCP port 2323":   func(s []zone.Snapshot) []zone.Snapshot { s[3].DstPort = 2323; return s },
		"counted twice":   func(s []zone.Snapshot) []zone.Snapshot { s[3].Dst = s[2].Dst; return s },
		"device knew":     func(s []zone.Snapshot) []zone.Snapshot { s[3].Dst = addr(500); return s },
		"does not turn":   func(s []zone.Snapshot) []zone.Snapshot { s[3].TCPFlags = tcpACK; return s },
		"than 10m0s from": func(s []zone.Snapshot) []zone.Snapshot { s[0].Time -= zone.Time(time.Hour); return s },
		"is no count":     func(s []zone.Snapshot) []zone.Snapshot { return nil },
	} {
		var scan []zone.Snapshot
		for i := range 8 {
			scan = append(scan, *r.syn(time.Hour+time.Duration(i)*time.Minute, i, 23))
		}
		n, err := Check(&p, zone.ReasonScan, change(scan))
		if want == "" && (err != nil || n != 8) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want an error with %q, got %d, %v", want, n, err)
		}
	}
}

func TestDescribeScan(t *testing.T) {
	var r rows
	p := timekeeper()
	for want, v := range map[string]Service{
		"turns to 8 hosts it never contacted before on TCP port 23 in 7m0s, with no answer; it never used that port while it was learned": {protoTCP, 23},
		"turns to 8 hosts it never contacted before on TCP port 443 in 7m0s, with no answer; at most 1 there in 10 min before":            {protoTCP, 443},
		"turns to 8 hosts it never contacted before by ARP in 7m0s, with no answer; it never did so while it was learned":                 {protoARP, 0},
	} {
		var scan []zone.Snapshot
		for i := range 8 {
			scan = append(scan, *r.row(time.Duration(i)*time.Minute, addr(i), v.Proto, 40000, v.Port, tcpSYN))
		}
		use, _ := p.Use(v.Proto, v.Port)
		text, f := Describe(&p, zone.ReasonScan, scan)
		if text != want || f.Name != "new_hosts_of_service_10min" || f.Observed != 8 || f.High != float64(use.NewHosts) {
			t.Errorf("got %q, %+v\nwant %q", text, f, want)
		}
	}
}

// A window gives its keys back in order, however they came and went.
func TestWindow(t *testing.T) {
	var r rows
	w := newWindow[host](4, ContactSpan)
	for i := range 6 {
		s := r.syn(time.Duration(i)*time.Minute, i, 23)
		if oldest, full := w.push(host(s.Dst), s); full != (i >= 4) || full && oldest != host(addr(i-4)) {
			t.Fatalf("contact %d pushes out %v, %v", i, oldest, full)
		}
	}
	if w.take(host(addr(0))) || !w.take(host(addr(3))) || w.holds(host(addr(3))) || !w.holds(host(addr(2))) {
		t.Error("3 was there, 0 was not")
	}
	gone := w.drop(zone.Time(13 * time.Minute))
	var left []host
	for _, c := range w.pending {
		left = append(left, c.key)
	}
	if len(gone) != 1 || gone[0].key != host(addr(2)) || !slices.Equal(left, []host{host(addr(4)), host(addr(5))}) || len(w.keys) != 2 {
		t.Errorf("gone %v, left %v", gone, left)
	}
	if w.drop(zone.Time(time.Hour)); len(w.pending)+len(w.keys) != 0 || w.holds(host(netip.Addr{})) {
		t.Error("an hour later something is left")
	}
}

// Of a device that is held to the floor for all services together, none of them
// says more: there, scan is no source of alarms of its own.
func TestScanAddsNothingToTheFloor(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	found := 0
	for range 300 {
		var made rows
		tr, at := tracker(telnet(1)), time.Duration(0)
		for range 300 {
			at += time.Duration(r.Int64N(int64(4 * time.Minute)))
			s := made.syn(at, r.IntN(200), []uint16{23, 23, 80, 443}[r.IntN(4)])
			f := tr.Add(s, false)
			if f.Reason == zone.ReasonScan {
				t.Fatalf("%+v", f)
			}
			if f.Reason != "" {
				found++
				break
			}
			if r.IntN(4) == 0 {
				tr.Answered(Answer{host(s.Dst), ServiceOf(s), true}, false)
			}
		}
	}
	if found < 20 {
		t.Errorf("%d of 300 devices went over the limit: this test sees too little", found)
	}
}

package novelty

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// connections opens n to a host, 100 ms apart and each with its SYN repeated, and
// gives how many it takes until the reason is peer, 0 if it never is.
func connections(t *testing.T, tr *Tracker, r *rows, from time.Duration, dst netip.Addr, n int) int {
	t.Helper()
	for i := range n {
		at := from + time.Duration(i)*100*time.Millisecond
		for range 2 {
			s := r.row(at, dst, protoTCP, uint16(40000+i), 80, tcpSYN)
			f := tr.Add(s, false)
			tr.Answered(Answer{from: host(dst), service: ServiceOf(s), settles: true}, false)
			if f.Reason == zone.ReasonPeer {
				if len(f.Contacts) != i+1 || f.First != f.Contacts[0] || f.Contacts[i] != s.Seq {
					t.Fatalf("connection %d: %+v", i+1, f)
				}
				return i + 1
			}
			if f.Reason != "" {
				t.Fatalf("connection %d: %+v", i+1, f)
			}
		}
	}
	return 0
}

func TestPeer(t *testing.T) {
	var r rows
	p := detect.Profile{Known: []netip.Addr{addr(1)}, Ports: []detect.PortUse{{Proto: protoTCP, Port: 80}}}
	if n := connections(t, tracker(p), &r, 0, addr(9), 30); n != peerFloor+1 {
		t.Errorf("connections to a new host are found after %d, want %d, though it answers", n, peerFloor+1)
	}
	if n := connections(t, tracker(p), &r, 0, addr(1), flowFloor); n != 0 {
		t.Errorf("connections to a known host are found after %d", n)
	}
	tr := tracker(p)
	for i := range 50 { // one in two seconds
		if n := connections(t, tr, &r, time.Duration(i)*2*time.Second, addr(9), 1); n != 0 {
			t.Fatalf("slow connection %d is found", i+1)
		}
	}
	for i := range 60 { // a client that tries again once a second
		s := r.row(time.Hour+time.Duration(i)*time.Second, addr(7), protoTCP, uint16(40000+i), 8883, tcpSYN)
		if f := tr.Add(s, false); f.Reason != "" {
			t.Fatalf("trying again, %d: %+v", i+1, f)
		}
	}
	p.MaxPeer = 10
	if n := connections(t, tracker(p), &r, 0, addr(9), 30); n != 21 {
		t.Errorf("with 10 learned: found after %d, want 21", n)
	}
}

func TestPeersAreBounded(t *testing.T) {
	var r rows
	tr := NewTracker(&detect.Profile{}, NewHeard(), func(reason string) bool { return reason != zone.ReasonPeer })
	for i := range 100_000 {
		tr.Add(r.row(time.Duration(i)*time.Microsecond, addr(i), protoTCP, uint16(i), 80, tcpSYN), false)
	}
	if n := len(tr.peers.pending); n > peerHosts*(peerFloor+1) {
		t.Errorf("%d connections are remembered", n)
	}
}

func TestPeerIsLearned(t *testing.T) {
	var r rows
	l := NewLearner()
	for i := range 12 {
		l.Add(r.row(time.Duration(i)*100*time.Millisecond, addr(1), protoTCP, uint16(40000+i), 443, tcpSYN))
		l.Add(r.row(time.Duration(i)*100*time.Millisecond, addr(2+i), protoTCP, uint16(50000+i), 443, tcpSYN))
	}
	var p detect.Profile
	l.Fill(&p)
	if p.MaxPeer != 12 || Limit(&p, zone.ReasonPeer) != 24 {
		t.Errorf("%d learned, limit %d; want 12, 24", p.MaxPeer, Limit(&p, zone.ReasonPeer))
	}
}

func TestCheckPeer(t *testing.T) {
	p := detect.Profile{Known: []netip.Addr{addr(1)}}
	evidence := func(change func([]zone.Snapshot)) []zone.Snapshot {
		var r rows
		var out []zone.Snapshot
		for i := range peerFloor + 1 {
			out = append(out, *r.row(time.Duration(i)*800*time.Millisecond, addr(9), protoTCP, uint16(40000+i), 80, tcpSYN))
		}
		change(out)
		return out
	}
	rows := evidence(func([]zone.Snapshot) {})
	if n, err := Check(&p, zone.ReasonPeer, rows); n != peerFloor+1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	text, f := Describe(&p, zone.ReasonPeer, rows)
	if want := "opens 13 connections in 9.6s to 198.18.0.9, which it did not contact while it was learned, on TCP port 80"; !strings.HasPrefix(text, want) || f.High != 0 {
		t.Errorf("%q, %+v", text, f)
	}
	for want, change := range map[string]func([]zone.Snapshot){
		"the last to":     func(s []zone.Snapshot) { s[2].Dst = addr(8) },
		"does not turn":   func(s []zone.Snapshot) { s[2].TCPFlags = tcpACK },
		"does not count":  func(s []zone.Snapshot) { s[2].Proto = protoUDP },
		"counted twice":   func(s []zone.Snapshot) { s[2].SrcPort = s[1].SrcPort },
		"10s from the":    func(s []zone.Snapshot) { s[0].Time -= 5e9 },
		"the device knew": func(s []zone.Snapshot) { p.Known = append(p.Known, addr(9)) },
	} {
		if _, err := Check(&p, zone.ReasonPeer, evidence(change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		p.Known = p.Known[:1]
	}
}

package simulate

import (
	"time"

	"bellwether/internal/zone"
)

// The shapes in this file are those of BASHLITE (Gafgyt, Qbot), as the published
// client.c of 2014 and 2015 and its many copies have them, and as Meidan et al.,
// N-BaIoT (IEEE Pervasive Computing 2018, table 2) name its five attacks: scan,
// junk, UDP, TCP and combo.

// The port that BASHLITE's bot masters mostly chose is any; one is as good as
// another here.
const bashlitePort = 8080

func bashliteKinds() []Kind {
	return family("client.c of BASHLITE as published in 2014 and 2015; Meidan et al., N-BaIoT, IEEE Pervasive Computing 17(3), 2018, table 2", brief,
		Kind{Name: BashliteScan, About: "Telnet connections to random public addresses", Rate: 20, start: (*assault).bashliteScan},
		Kind{Name: BashliteJunk, About: "TCP connections to one port, 1024 random bytes each", Rate: 40, start: (*assault).bashliteJunk},
		Kind{Name: BashliteUDP, About: "UDP flood of one port with random capital letters", Rate: 1000, start: (*assault).bashliteUDP},
		Kind{Name: BashliteTCP, About: "TCP flood of one port with all flags set", Rate: 1000, start: (*assault).bashliteTCP},
		Kind{Name: BashliteCombo, About: "junk to one port, and connections that are left open", Rate: 60, start: (*assault).bashliteCombo},
	)
}

// bashliteScan: ordinary sockets that connect to port 23 of random public
// addresses. The operating system repeats a SYN that nobody answers after one
// second and after three.
func (a *assault) bashliteScan() habit {
	return a.paced(func(now zone.Time) {
		to := a.anywhere()
		luck := a.r.float()
		rtt := a.r.span(30*time.Millisecond, 260*time.Millisecond)
		if luck < 0.006 {
			a.login(now, to, 23, rtt)
			return
		}
		t := a.connection(now, to, 23, rtt)
		if luck < 0.04 {
			t.flag(true, syn)
			t.turn(true)
			t.flag(false, rst|ack)
			return
		}
		a.retry(&t, 0, time.Second, 2*time.Second)
	})
}

// retry sends a SYN after each of the waits, every time with the same sequence
// number.
func (a *assault) retry(t *talk, waits ...time.Duration) {
	for _, wait := range waits {
		again := *t.f
		t.f = &again
		t.f.near.id++
		t.at = t.at.Add(wait)
		t.flag(true, syn)
	}
}

// bashliteJunk: connections to one port, each of which carries 1024 random bytes
// at a time for as long as the victim takes them.
func (a *assault) bashliteJunk() habit {
	return a.paced(func(now zone.Time) {
		t := a.connection(now, a.victim(), bashlitePort, 25*time.Millisecond)
		t.open()
		for range a.r.between(2, 6) {
			t.tell(true, 1024, opaque, nil)
		}
		t.flag(false, rst|ack)
	})
}

// bashliteUDP: one destination port, random source ports, 1024 capital letters.
func (a *assault) bashliteUDP() habit {
	letters := make([]byte, 1024)
	for i := range letters {
		letters[i] = 'A' + byte(a.r.below(26))
	}
	return a.paced(func(now zone.Time) {
		f := a.single(protoUDP, a.victim(), bashlitePort)
		f.fragment = true
		a.shoot(now, f, 0, 0, letters)
	})
}

// bashliteTCP: raw segments to one port with a random source port and sequence
// number each, with SYN, RST, FIN, ACK and PSH all set.
func (a *assault) bashliteTCP() habit {
	window := a.r.uint16()
	return a.paced(func(now zone.Time) {
		f := a.single(protoTCP, a.victim(), bashlitePort)
		f.fragment, f.near.window, f.far.seq = true, window, 0
		a.shoot(now, f, syn|rst|fin|ack|psh, 0, nil)
	})
}

// bashliteCombo: junk, and between it connections that carry nothing and are
// left open until the victim gives up.
func (a *assault) bashliteCombo() habit {
	return a.paced(func(now zone.Time) {
		t := a.connection(now, a.victim(), bashlitePort, 25*time.Millisecond)
		t.open()
		if a.r.chance(0.5) {
			t.wait(4 * time.Second)
			t.shut(false)
			return
		}
		t.tell(true, 1024, opaque, nil)
		t.flag(false, rst|ack)
	})
}

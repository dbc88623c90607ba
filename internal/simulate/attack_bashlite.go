package simulate

import (
	"net/netip"
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

// bashliteScan: ordinary sockets that connect to port 23 of random public
// addresses. The operating system repeats a SYN that nobody answers after one
// second and after three.
func (a *assault) bashliteScan() habit {
	return a.paced(func(now zone.Time) {
		to := a.r.addr4()
		for !isPublic(to.As4()) {
			to = a.r.addr4()
		}
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
		a.retry(&t)
	})
}

// retry sends a SYN three times, every time with the same sequence number.
func (a *assault) retry(t *talk) {
	for _, wait := range []time.Duration{0, time.Second, 2 * time.Second} {
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

// spoofedFlood: a SYN flood whose source addresses are random, as Mirai sends it
// when its master gives the source 255.255.255.255.
func (a *assault) spoofedFlood() habit {
	return a.synFlood(func() netip.Addr {
		ip := a.r.addr4()
		for !isPublic(ip.As4()) {
			ip = a.r.addr4()
		}
		return ip
	})
}

package simulate

import (
	"net/netip"
	"time"

	"bellwether/internal/zone"
)

// The shapes in this file are those of BASHLITE (Gafgyt, Qbot) and were checked
// against a published copy of its client.c, combo against a descendant that has
// it. Meidan et al., N-BaIoT (2018) name the five attacks. Ports, sizes and
// rates of floods are the master's or the device's, not the source's.
// docs/attacks.md has the list.

// bashlitePort is the port under attack: the master has to name one, and one is
// as good as another here.
const bashlitePort = 8080

// bashliteBytes is the size of a UDP flood's packets, which the master has to
// name too, and of a piece of junk.
const bashliteBytes = 1024

func bashliteKinds() []Kind {
	return family("client.c of BASHLITE in published copies, checked; port, size and rates of floods assumed; the names as in Meidan et al., N-BaIoT, IEEE Pervasive Computing 17(3), 2018", brief,
		Kind{Name: BashliteScan, About: "Telnet connections to all addresses of random public networks", Rate: 20, start: (*assault).bashliteScan},
		Kind{Name: BashliteJunk, About: "TCP connections to one port, 1024 random capital letters again and again", Rate: 40, start: (*assault).bashliteJunk},
		Kind{Name: BashliteUDP, About: "UDP flood of one port with capital letters over one socket", Rate: 1000, start: (*assault).bashliteUDP},
		Kind{Name: BashliteTCP, About: "TCP flood of one port with all flags set", Rate: 1000, start: (*assault).bashliteTCP},
		Kind{Name: BashliteCombo, About: "junk to one port, and then connections that are left open", Rate: 60, start: (*assault).bashliteCombo},
	)
}

// bashliteScan: ordinary sockets that connect to port 23 of all 256 addresses of
// a random network, and then of the next. They wait for over ten seconds, in
// which the operating system repeats a SYN that nobody answers three times. The
// source has up to 512 of them, which it opens all at once and again when they
// are given up; here they are spread over the time, which is harder to notice.
func (a *assault) bashliteScan() habit {
	next := a.neighbours()
	return a.paced(func(now zone.Time) {
		to := next()
		if rtt := a.knock(now, to, 23, time.Second, 2*time.Second, 4*time.Second); rtt > 0 {
			a.bashliteLogin(now, to, rtt)
		}
	})
}

// neighbours gives the addresses of a random public network one after the other,
// from .0 to .255, and then those of another.
func (a *assault) neighbours() func() netip.Addr {
	var ip [4]byte
	left := 0
	return func() netip.Addr {
		if left == 0 {
			ip, left = a.anywhere().As4(), 256
		}
		ip[3] = byte(256 - left)
		left--
		return netip.AddrFrom4(ip)
	}
}

// bashliteLogin tries six names with fourteen passwords each, every one over a
// connection of its own.
func (a *assault) bashliteLogin(at zone.Time, to netip.Addr, rtt time.Duration) {
	options := []byte{0xff, 0xfc, 1, 0xff, 0xfc, 31, 0xff, 0xfe, 1, 0xff, 0xfe, 3}
	for try := 0; try < 6*14 && at < a.end; try++ {
		at = a.guess(at, to, 23, rtt, options)
	}
}

// capitals gives pieces of so many random capital letters.
func (a *assault) capitals(size int) func() []byte {
	letters := make([]byte, 4*size)
	for i := range letters {
		letters[i] = 'A' + byte(a.r.below(26))
	}
	return func() []byte { return letters[a.r.below(3*size):][:size] }
}

// bashliteJunk: connections to one port, each of which carries 1024 random
// capital letters at a time for as long as the victim takes them.
func (a *assault) bashliteJunk() habit { return a.paced(a.junk()) }

func (a *assault) junk() func(now zone.Time) {
	piece := a.capitals(bashliteBytes)
	return func(now zone.Time) {
		t := a.connection(now, a.victim(), bashlitePort, 25*time.Millisecond)
		t.open()
		for range a.r.between(2, 6) {
			t.tell(true, 0, opaque, piece())
		}
		t.flag(false, rst|ack)
	}
}

// bashliteUDP: an ordinary socket, as for an attack that does not hide the
// device's address, and in every packet the same capital letters.
func (a *assault) bashliteUDP() habit {
	letters, from, h := a.capitals(bashliteBytes)(), a.ephemeral(), a.host()
	return a.paced(func(now zone.Time) {
		f := a.single(protoUDP, a.victim(), bashlitePort)
		f.near.port = from
		h.hit(now, f, 0, 0, letters)
	})
}

// bashliteTCP: raw segments to one port with the longest time to live, a random
// source port and sequence number each, one window, and SYN, RST, FIN, ACK and
// PSH all set. Nobody answers a segment with RST.
func (a *assault) bashliteTCP() habit {
	window := a.r.uint16()
	return a.paced(func(now zone.Time) {
		f := a.single(protoTCP, a.victim(), bashlitePort)
		f.fragment, f.near.ttl, f.near.window, f.far.seq = true, 255, window, 0
		a.shoot(now, f, syn|rst|fin|ack|psh, 0, nil)
	})
}

// bashliteCombo: junk for half of the time, and then connections that carry
// nothing and are left open until the victim gives up. That it does so after
// some seconds is an assumption.
func (a *assault) bashliteCombo() habit {
	junk, half := a.junk(), a.Start.Add(a.Duration/2)
	return a.paced(func(now zone.Time) {
		if now < half {
			junk(now)
			return
		}
		t := a.connection(now, a.victim(), bashlitePort, 25*time.Millisecond)
		t.open()
		t.wait(4 * time.Second)
		t.shut(false)
	})
}

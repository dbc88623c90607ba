package simulate

import (
	"time"

	"bellwether/internal/zone"
)

func quietKinds() []Kind {
	const own = "no family's: made to stay below thresholds on rates"
	quiet := func(k Kind) Kind { k.Quiet = true; return k }
	return family(own, 15*time.Minute,
		quiet(Kind{Name: TelnetScan, About: "three Telnet SYNs a second to random public addresses", Rate: 3, Lasts: 2 * time.Minute, start: (*assault).telnetScan}),
		quiet(Kind{Name: SlowScan, About: "one Telnet host a minute, at a random public address", Rate: 1.0 / 60, start: (*assault).slowScan}),
		quiet(Kind{Name: Beacon, About: "a look whether there are orders, once a minute", Source: miraiSource, Rate: 1.0 / 60, start: (*assault).beacon}),
		Kind{Name: Exfiltration, About: "one long upload over TLS to a server never seen before", Rate: 150, Lasts: brief, start: (*assault).exfiltration},
		quiet(Kind{Name: QuietExfiltration, About: "the same upload, with no more bytes a second than the device usually sends", Rate: 0.1, start: (*assault).quietExfiltration}),
		quiet(Kind{Name: Mimicry, About: "packets of the device's own sizes at its own pace to a server never seen before", Rate: 1, start: (*assault).mimicry}),
	)
}

// telnetScan: SYNs to port 23 at an even, low pace, from a raw socket as
// miraiScan has it.
func (a *assault) telnetScan() habit {
	port, window := uint16(a.r.between(1024, 65535)), a.r.uint16()
	return a.paced(func(now zone.Time) {
		f := a.single(protoTCP, a.anywhere(), 23)
		f.fragment, f.near.port, f.near.window = true, port, window
		a.probe(now, f)
	})
}

// slowScan: connections to port 23 of random public addresses from ordinary
// sockets, one host a minute, to stay below every threshold on rates.
func (a *assault) slowScan() habit {
	return a.paced(func(now zone.Time) {
		to := a.anywhere()
		if rtt := a.knock(now, to, 23, time.Second, 2*time.Second); rtt > 0 {
			a.bashliteLogin(now, to, rtt)
		}
	})
}

// beacon: one connection to the master on port 23 that says 1, a zero for a
// device without a name, and then two zeros that come back, ten seconds later
// and from then on exactly once a minute, as Mirai's bot/main.c keeps it.
func (a *assault) beacon() habit {
	const rtt = 60 * time.Millisecond
	gap := time.Duration(1e9 / a.Rate)
	var f *flow
	return func(now zone.Time) time.Duration {
		if now >= a.end {
			return -1
		}
		if f == nil {
			t := a.connection(now, a.victim(), 23, rtt)
			t.open()
			t.tell(true, 0, opaque, []byte{0, 0, 0, 1})
			t.tell(true, 0, opaque, []byte{0})
			f = t.f
			return gap / 6
		}
		t := talk{e: a.e, r: a.r, f: f, at: max(now, f.busy.Add(time.Millisecond)), rtt: rtt}
		t.exchange(true, 0, 0, opaque, []byte{0, 0}, []byte{0, 0})
		return gap + a.r.about(rtt, 0.25)
	}
}

// exfiltration: one TLS connection that sends and sends. The rate counts the
// device's full segments; every second one is acknowledged.
func (a *assault) exfiltration() habit {
	var f *flow
	const rtt = 55 * time.Millisecond
	sent := 0
	return a.paced(func(now zone.Time) {
		if f == nil {
			t := a.connection(now, a.victim(), 443, rtt)
			t.open()
			t.secure("drop.example", 2900)
			f = t.f
			return
		}
		if now < f.busy && sent == 0 {
			return
		}
		sent++
		a.e.packet(now, segment{flow: f, up: true, flags: ack, size: segmentBytes, form: tls})
		if sent%2 == 0 {
			a.e.packet(now.Add(a.r.about(rtt, 0.2)), segment{flow: f, flags: ack})
		}
	})
}

// quietExfiltration: the bytes a second are those that the device usually
// sends, all of them in full segments.
func (a *assault) quietExfiltration() habit {
	if bytes, took := total(a.Usual); bytes > 0 && took > 0 {
		a.Rate = min(max(float64(bytes)/segmentBytes/took.Seconds(), 1.0/600), 1000)
	}
	return a.exfiltration()
}

// total gives the payload of packets, and how long they take.
func total(packets []Sending) (bytes int64, took time.Duration) {
	for _, p := range packets {
		bytes += int64(p.Size)
		took += p.Wait
	}
	return bytes, took
}

// mimicry: one TLS connection on which packets go up that have the sizes and
// the gaps of the device's usual ones, from any place in their order on.
func (a *assault) mimicry() habit {
	usual := a.Usual
	if _, took := total(usual); took == 0 {
		usual = []Sending{{time.Second, 120}}
	}
	var f *flow
	const rtt = 40 * time.Millisecond
	next := a.r.below(len(usual))
	return func(now zone.Time) time.Duration {
		if now >= a.end {
			return -1
		}
		if f == nil {
			t := a.connection(now, a.victim(), 443, rtt)
			t.open()
			t.secure("cloud.example", 2900)
			f = t.f
			return f.busy.Sub(now) + rtt
		}
		s := usual[next]
		next = (next + 1) % len(usual)
		a.e.packet(now, segment{flow: f, up: true, flags: ack, size: min(s.Size, segmentBytes), form: tls})
		if s.Size > 0 {
			a.e.packet(now.Add(a.r.about(rtt, 0.2)), segment{flow: f, flags: ack})
		}
		return max(usual[next].Wait, 50*time.Microsecond)
	}
}

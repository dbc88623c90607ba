package simulate

import (
	"net/netip"
	"time"

	"bellwether/internal/zone"
)

// assault is an attack that is under way.
type assault struct {
	Overlay
	e     *engine
	r     random
	end   zone.Time
	noise noise
	port  uint16 // the last ephemeral port
}

// paced strikes at about the attack's rate: gaps vary by up to a third.
func (a *assault) paced(strike func(now zone.Time)) habit {
	gap := time.Duration(1e9 / a.Rate)
	return func(now zone.Time) time.Duration {
		if now >= a.end {
			return -1
		}
		strike(now)
		return a.r.about(gap, 1.0/3)
	}
}

// bursts strikes as a loop does that looks at a clock of whole seconds: all of
// a second's packets back to back.
func (a *assault) bursts(strike func(now zone.Time)) habit {
	size := max(1, int(a.Rate+0.5))
	period := time.Duration(float64(size) * 1e9 / a.Rate)
	return func(now zone.Time) time.Duration {
		if now >= a.end {
			return -1
		}
		at := now
		for range size {
			strike(at)
			at = at.Add(a.r.span(20*time.Microsecond, 60*time.Microsecond))
		}
		return period
	}
}

// victim is the target, or the documentation address that stands in for one.
func (a *assault) victim() netip.Addr {
	if a.Target.IsValid() {
		return a.Target
	}
	return netip.AddrFrom4([4]byte{203, 0, 113, 66})
}

// prepare sets up a flow from the device to an address outside.
func (a *assault) prepare(f *flow, proto uint8, to netip.Addr, port uint16) *flow {
	f.device, f.attack, f.proto = a.MAC, a.Kind, proto
	f.near = end{mac: a.MAC, ip: a.IP, port: a.r.uint16(), id: a.r.uint16(), window: 502, seq: a.r.uint32()}
	f.far = end{mac: a.GatewayMAC, ip: to, port: port, ttl: 45 + uint8(a.r.below(12)), id: a.r.uint16(), window: 501, seq: a.r.uint32()}
	f.noise = noise(a.noise.next())
	return f
}

// single is a flow for one packet, which has to be marked as the last.
func (a *assault) single(proto uint8, to netip.Addr, port uint16) *flow {
	return a.prepare(a.e.once(), proto, to, port)
}

// connection starts a conversation over a TCP flow of its own, as the operating
// system's sockets do it.
func (a *assault) connection(at zone.Time, to netip.Addr, port uint16, rtt time.Duration) talk {
	f := a.prepare(new(flow), protoTCP, to, port)
	f.style = linux
	f.near.port = a.ephemeral()
	return talk{e: a.e, r: a.r, f: f, at: at, rtt: rtt}
}

func (a *assault) ephemeral() uint16 {
	a.port++
	if a.port > 60999 {
		a.port = 32768
	}
	return a.port
}

// shoot queues a packet that nobody answers.
func (a *assault) shoot(at zone.Time, f *flow, flags uint8, size int, body []byte) {
	a.e.packet(at, segment{flow: f, up: true, flags: flags, size: max(size, len(body)), body: body, last: true})
}

// probe queues a SYN that a few hosts refuse. Where a host accepts it, probe
// says after what time the answer is there; otherwise 0.
func (a *assault) probe(at zone.Time, f *flow) time.Duration {
	luck := a.r.float()
	answer := a.r.span(30*time.Millisecond, 260*time.Millisecond)
	a.e.packet(at, segment{flow: f, up: true, flags: syn, last: luck >= 0.04})
	switch {
	case luck < 0.006:
		a.e.packet(at.Add(answer), segment{flow: f, flags: syn | ack, last: true})
		return answer
	case luck < 0.04:
		a.e.packet(at.Add(answer), segment{flow: f, flags: rst | ack, last: true})
	}
	return 0
}

// login is a Telnet session in which a few passwords are tried.
func (a *assault) login(at zone.Time, to netip.Addr, port uint16, rtt time.Duration) {
	t := a.connection(at, to, port, rtt)
	t.open()
	t.tell(false, 0, opaque, []byte{0xff, 0xfd, 1, 0xff, 0xfd, 31, 0xff, 0xfb, 1, 0xff, 0xfb, 3})
	t.tell(true, 0, opaque, []byte{0xff, 0xfc, 1, 0xff, 0xfc, 31, 0xff, 0xfe, 1, 0xff, 0xfe, 3})
	for range a.r.between(1, 4) {
		t.tell(false, 0, opaque, []byte("login: "))
		t.exchange(true, 0, 0, opaque, a.word(), []byte("Password: "))
		t.exchange(true, 0, 0, opaque, a.word(), []byte("\r\nLogin incorrect\r\n"))
	}
	t.shut(false)
}

func (a *assault) word() []byte { return append(a.r.letters(nil, a.r.between(4, 8)), '\r', '\n') }

// anywhere draws an address that may be on the Internet.
func (a *assault) anywhere() netip.Addr {
	for {
		if ip := a.r.addr4(); isPublic(ip.As4()) {
			return ip
		}
	}
}

// isPublic says whether an address may be on the Internet at all, by the list
// that both families' scanners share.
func isPublic(ip [4]byte) bool {
	a, b := ip[0], ip[1]
	switch {
	case a == 0, a == 10, a == 127, a >= 224:
		return false
	case a == 100 && b >= 64 && b < 128, a == 169 && b == 254, a == 172 && b >= 16 && b < 32,
		a == 192 && b == 168, a == 198 && (b == 18 || b == 19):
		return false
	}
	return true
}

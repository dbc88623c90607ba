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

// Of the addresses that a scan draws, so many take a connection, and so many
// take or refuse one. Both are assumptions.
const (
	accepts = 0.006
	answers = 0.04
)

// probe queues a SYN from a raw socket. Where a host accepts it, the device's
// kernel, which knows of no connection, resets it, and probe says after what
// time the answer is there; otherwise 0.
func (a *assault) probe(at zone.Time, f *flow) time.Duration {
	luck := a.r.float()
	answer := a.r.span(30*time.Millisecond, 260*time.Millisecond)
	a.e.packet(at, segment{flow: f, up: true, flags: syn, last: luck >= answers})
	switch {
	case luck < accepts:
		r := a.single(protoTCP, f.far.ip, f.far.port)
		r.near.port, r.near.seq, r.near.window = f.near.port, f.near.seq+1, 0
		a.e.packet(at.Add(answer), segment{flow: f, flags: syn | ack, last: true})
		a.shoot(at.Add(answer+2*time.Millisecond), r, rst, 0, nil)
		return answer
	case luck < answers:
		a.refuse(at.Add(answer), f)
	}
	return 0
}

// refuse queues the reset of a host whose port is closed.
func (a *assault) refuse(at zone.Time, f *flow) {
	f.far.seq, f.far.window = 0, 0
	a.e.packet(at, segment{flow: f, flags: rst | ack, last: true})
}

// knock is a try to connect over an ordinary socket. Where nobody answers, the
// operating system repeats the SYN after each of the waits. For a host that
// accepts, knock queues nothing and gives the time to it and back; otherwise 0.
func (a *assault) knock(at zone.Time, to netip.Addr, port uint16, waits ...time.Duration) time.Duration {
	luck := a.r.float()
	rtt := a.r.span(30*time.Millisecond, 260*time.Millisecond)
	if luck < accepts {
		return rtt
	}
	t := a.connection(at, to, port, rtt)
	t.flag(true, syn)
	if luck < answers {
		a.refuse(at.Add(rtt), t.f)
		return 0
	}
	a.retry(&t, waits...)
	return 0
}

// retry sends a SYN again after each of the waits, every time with the same
// sequence number.
func (a *assault) retry(t *talk, waits ...time.Duration) {
	for _, wait := range waits {
		again := *t.f
		t.f = &again
		t.f.near.id++
		t.at = t.at.Add(wait)
		t.flag(true, syn)
	}
}

// guess is a Telnet session in which one name and password are tried, and after
// them some words. The host takes each two for a further name and password; it
// closes after the last, or the device does where it sent no words. guess says
// when that is over.
func (a *assault) guess(at zone.Time, to netip.Addr, port uint16, rtt time.Duration, options []byte, words ...string) zone.Time {
	t := a.connection(at, to, port, rtt)
	t.open()
	t.tell(false, 0, opaque, []byte{0xff, 0xfd, 1, 0xff, 0xfd, 31, 0xff, 0xfb, 1, 0xff, 0xfb, 3})
	t.tell(true, 0, opaque, options)
	words = append([]string{a.word(), a.word()}, words...)
	for i := 0; i < len(words); i += 2 {
		t.tell(false, 0, opaque, []byte("login: "))
		t.exchange(true, 0, 0, opaque, []byte(words[i]+"\r\n"), []byte("Password: "))
		t.exchange(true, 0, 0, opaque, []byte(words[i+1]+"\r\n"), []byte("\r\nLogin incorrect\r\n"))
	}
	t.shut(len(words) == 2)
	return t.at
}

func (a *assault) word() string { return string(a.r.letters(nil, a.r.between(4, 8))) }

// anywhere draws an address that may be on the Internet.
func (a *assault) anywhere() netip.Addr {
	for {
		if ip := a.r.addr4(); isPublic(ip.As4()) {
			return ip
		}
	}
}

// isPublic says whether an address may be on the Internet at all: what both
// families' lists of exclusions mean, less their slips.
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

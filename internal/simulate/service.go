package simulate

import (
	"net/netip"
	"time"

	"bellwether/internal/zone"
)

// service is a server outside that a device knows by name.
type service struct {
	name  string
	port  uint16
	net   byte // its addresses are 198.18.net.0/24
	rtt   time.Duration
	moves float64 // the chance that a look-up gives an address that is new
	addr  netip.Addr
}

// lookUp asks the gateway for the service's address, and gives the moment at
// which the answer is there.
func (t *thing) lookUp(at zone.Time, s *service) zone.Time {
	if !s.addr.IsValid() || t.r.chance(s.moves) {
		s.addr = netip.AddrFrom4([4]byte{198, 18, s.net, byte(t.r.between(2, 250))})
	}
	id := t.r.uint16()
	talk := t.talk(t.gateway(protoUDP, t.ephemeral(), 53), at, 8*time.Millisecond)
	talk.query(0, 0, appendQuestion(nil, id, flagsQuery, s.name, typeA), appendAnswer(nil, id, s.name, s.addr))
	talk.turn(false)
	return talk.at
}

// to makes a flow to a service whose address is known.
func (t *thing) to(s *service, proto uint8) *flow {
	hops := 48 + s.net%10
	return t.flow(proto, t.ephemeral(), end{mac: t.home.mac, ip: s.addr, port: s.port, ttl: hops})
}

// visit is one HTTPS request on a connection of its own.
func (t *thing) visit(at zone.Time, s *service, up, down int) {
	at = t.lookUp(at, s)
	talk := t.talk(t.to(s, protoTCP), at, s.rtt)
	talk.open()
	talk.secure(s.name, 2600+int(s.net)*7)
	talk.ask(up, down, tls)
	talk.shut(true)
}

// clock is one question to a time server (RFC 5905, section 7.3).
func (t *thing) clock(at zone.Time, s *service) {
	at = t.lookUp(at, s)
	f := t.to(s, protoUDP)
	f.near.port = 123
	talk := t.talk(f, at, s.rtt)
	ask, answer := make([]byte, 48), make([]byte, 48)
	ask[0], answer[0], answer[1] = 0x23, 0x24, 2
	talk.query(0, 0, ask, answer)
}

// line is a TCP connection that a device keeps, with or without TLS, and
// renews now and then.
type line struct {
	t      *thing
	s      *service
	secret bool
	flow   *flow
	renew  zone.Time
	greet  func(*talk) // right after the connection stands; nil for nothing
}

// talk starts a conversation over the line, which is made or renewed first if
// need be.
func (l *line) talk(at zone.Time) talk {
	if l.flow != nil && at < l.renew {
		return l.t.talk(l.flow, at, l.s.rtt)
	}
	if l.flow != nil {
		last := l.t.talk(l.flow, at, l.s.rtt)
		last.shut(l.t.r.chance(0.5))
		at = last.at
	}
	at = l.t.lookUp(at, l.s)
	l.flow = l.t.to(l.s, protoTCP)
	l.renew = at.Add(l.t.home.pace(10*time.Minute) + l.t.r.exponential(l.t.home.pace(20*time.Minute)))
	talk := l.t.talk(l.flow, at, l.s.rtt)
	talk.open()
	if l.secret {
		talk.secure(l.s.name, 2600+int(l.s.net)*7)
	}
	if l.greet != nil {
		l.greet(&talk)
	}
	talk.turn(true)
	return talk
}

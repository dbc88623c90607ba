package simulate

import (
	"encoding/binary"
	"net/netip"
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// The shapes in this file were checked against the Mirai source as it was
// published on 30 September 2016 (bot/scanner.c, bot/attack_*.c, bot/rand.c).
// Numbers that a bot master may choose have the values that the source takes
// when he does not. How fast a device floods is not in it: it floods as fast as
// it can, and the rates here are assumptions. docs/attacks.md has the list.

// miraiSource is what the kinds say of themselves.
const miraiSource = "Mirai's bot/scanner.c, bot/attack_*.c and bot/main.c as published on 30 September 2016, checked; rates of floods assumed"

func miraiKinds() []Kind {
	return family(miraiSource, brief,
		Kind{Name: MiraiScan, About: "Telnet SYNs to random public addresses, in bursts once a second", Rate: 160, start: (*assault).miraiScan},
		Kind{Name: MiraiSYN, About: "SYN flood of one victim, random ports", Rate: 1000, start: (*assault).miraiSYN},
		Kind{Name: MiraiACK, About: "ACK flood with 512 random bytes, random ports", Rate: 1000, start: (*assault).miraiACK},
		Kind{Name: MiraiUDP, About: "UDP flood with 512 random bytes, random ports", Rate: 1000, start: (*assault).miraiUDP},
		Kind{Name: MiraiUDPPlain, About: "UDP flood with 512 random bytes over one socket", Rate: 1500, start: (*assault).miraiUDPPlain},
		Kind{Name: MiraiGREIP, About: "GRE flood: UDP packets between random addresses in IP in GRE", Rate: 1000, start: (*assault).miraiGREIP},
		Kind{Name: MiraiDNS, About: "DNS water torture: look-ups of random names of one domain", Rate: 200, start: (*assault).miraiDNS},
		Kind{Name: MiraiVSE, About: "Valve source engine query flood on port 27015", Rate: 800, start: (*assault).miraiVSE},
		Kind{Name: MiraiHTTP, About: "HTTP GET flood over one connection after the other", Rate: 30, start: (*assault).miraiHTTP},
		Kind{Name: SpoofedFlood, About: "SYN flood from random source addresses", Rate: 1000, start: (*assault).spoofedFlood},
	)
}

// miraiScan: from one raw socket with a source port (of at least 1024) and a
// window chosen once, 160 SYNs whenever the second changes; every tenth to port
// 2323, the others to 23; no TCP options; the sequence number is the
// destination address. To a host that accepts it connects when it wakes for
// the next second.
func (a *assault) miraiScan() habit {
	port, window := uint16(a.r.between(1024, 65535)), a.r.uint16()
	sent := 0
	return a.bursts(func(now zone.Time) {
		to, dst := a.miraiTarget(), uint16(23)
		if sent%10 == 0 {
			dst = 2323
		}
		sent++
		f := a.single(protoTCP, netip.AddrFrom4(to), dst)
		f.fragment = true
		f.near.port, f.near.window, f.near.seq = port, window, binary.BigEndian.Uint32(to[:])
		if answer := a.probe(now, f); answer > 0 {
			a.miraiLogin(now.Add(time.Second), netip.AddrFrom4(to), dst, answer)
		}
	})
}

// miraiLogin tries ten names with their passwords, each over a connection of its
// own. After a prompt come the words that open a shell, whether the host
// understands them or not.
func (a *assault) miraiLogin(at zone.Time, to netip.Addr, port uint16, rtt time.Duration) {
	options := []byte{0xff, 0xfc, 1, 0xff, 0xfb, 31, 0xff, 0xfa, 31, 0, 80, 0, 24, 0xff, 0xf0, 0xff, 0xfd, 1, 0xff, 0xfd, 3}
	for try := 0; try < 10 && at < a.end; try++ {
		at = a.guess(at, to, port, rtt, options, "enable", "system", "shell", "sh")
	}
}

// miraiTarget draws an address outside the scanner's list of exclusions: what is
// not public, and networks of General Electric, Hewlett-Packard, the US postal
// service and the US Department of Defense.
func (a *assault) miraiTarget() [4]byte {
	for {
		ip := a.r.addr4().As4()
		switch ip[0] {
		case 3, 15, 16, 56, 6, 7, 11, 21, 22, 26, 28, 29, 30, 33, 55, 214, 215:
			continue
		}
		if isPublic(ip) {
			return ip
		}
	}
}

// miraiSYN: random ports and sequence numbers, and the options of a Linux SYN
// whose segment size and timestamp were drawn once; the window is zero.
func (a *assault) miraiSYN() habit {
	next, h := a.synFlood(), a.host()
	return a.paced(func(now zone.Time) { h.hit(now, next(), syn, 0, nil) })
}

func (a *assault) synFlood() func() *flow {
	mss, stamp := uint16(a.r.between(1400, 1415)), a.r.uint32()
	return func() *flow {
		f := a.single(protoTCP, a.victim(), a.r.uint16())
		f.style, f.mss, f.near.stamp, f.near.window = stamped, mss, stamp, 0
		return f
	}
}

// spoofedFlood: a SYN flood whose source addresses are any at all, as the master
// asks for it by the source 255.255.255.255. Answers go to those.
func (a *assault) spoofedFlood() habit {
	next := a.synFlood()
	return a.paced(func(now zone.Time) {
		f := next()
		f.near.ip = a.r.addr4()
		a.shoot(now, f, syn, 0, nil)
	})
}

// miraiACK: random ports, sequence and acknowledgement numbers, one window, 512
// random bytes.
func (a *assault) miraiACK() habit {
	window, h := a.r.uint16(), a.host()
	return a.paced(func(now zone.Time) {
		f := a.single(protoTCP, a.victim(), a.r.uint16())
		f.fragment, f.near.window = true, window
		h.hit(now, f, ack, 512, nil)
	})
}

// miraiUDP: random ports, 512 random bytes.
func (a *assault) miraiUDP() habit {
	h := a.host()
	return a.paced(func(now zone.Time) {
		f := a.single(protoUDP, a.victim(), a.r.uint16())
		f.fragment = true
		h.hit(now, f, 0, 512, nil)
	})
}

// miraiUDPPlain: the variant with fewer options and more packets, an ordinary
// socket connected to one random port.
func (a *assault) miraiUDPPlain() habit {
	from, to, h := a.r.uint16(), a.r.uint16(), a.host()
	return a.paced(func(now zone.Time) {
		f := a.single(protoUDP, a.victim(), to)
		f.near.port = from
		h.hit(now, f, 0, 512, nil)
	})
}

// miraiGREIP: GRE around an IPv4 packet from one random address to another
// random one each time, with 512 random bytes of UDP.
func (a *assault) miraiGREIP() habit {
	from := a.r.addr4()
	return a.paced(func(now zone.Time) {
		to := a.r.addr4()
		b := make([]byte, 4, 4+20+8+512)
		binary.BigEndian.PutUint16(b[2:], packet.EtherTypeIPv4)
		b = appendIPv4(b, from, to, protoUDP, 64, a.r.uint16(), true)
		b = binary.BigEndian.AppendUint32(b, a.r.uint32()) // both ports
		b = append(b, 0, 0, 0, 0)
		payload := len(b)
		b = b[:payload+512]
		a.noise.fill(b[payload:])
		closeUpper(closeIPv4(b[4:]), from, to, protoUDP)
		a.shoot(now, a.single(protoGRE, a.victim(), 0), 0, 0, b)
	})
}

// miraiDNS: look-ups of twelve random letters and digits under the victim's
// domain, sent to the device's resolver, or to one of four public ones where it
// knows none. That the resolver answers three of ten is an assumption.
func (a *assault) miraiDNS() habit {
	resolver := a.Target
	if !resolver.IsValid() {
		public := [][4]byte{{8, 8, 8, 8}, {74, 82, 42, 42}, {64, 6, 64, 6}, {4, 2, 2, 2}}
		resolver = netip.AddrFrom4(public[a.r.below(len(public))])
	}
	return a.paced(func(now zone.Time) {
		name := a.miraiLabel() + ".victim.example"
		f, id := a.single(protoUDP, resolver, 53), a.r.uint16()
		f.fragment = true
		body := appendQuestion(nil, id, flagsQuery, name, typeA)
		answered := a.r.chance(0.3)
		a.e.packet(now, segment{flow: f, up: true, size: len(body), body: body, last: !answered})
		if answered {
			answer := appendQuestion(nil, id, flagsNXDomain, name, typeA)
			late := a.r.span(15*time.Millisecond, 400*time.Millisecond)
			a.e.packet(now.Add(late), segment{flow: f, size: len(answer), body: answer, last: true})
		}
	})
}

// miraiLabel draws twelve of the 32 characters that Mirai's names are made of:
// a to w and 0 to 8.
func (a *assault) miraiLabel() string {
	label := make([]byte, 12)
	for i := range label {
		if n := a.r.below(32); n < 23 {
			label[i] = 'a' + byte(n)
		} else {
			label[i] = '0' + byte(n-23)
		}
	}
	return string(label)
}

// miraiVSE: the query that game servers on port 27015 answer at length.
func (a *assault) miraiVSE() habit {
	query := []byte("\xff\xff\xff\xffTSource Engine Query\x00")
	return a.paced(func(now zone.Time) {
		f := a.single(protoUDP, a.victim(), 27015)
		f.fragment = true
		a.shoot(now, f, 0, 0, query)
	})
}

// miraiHTTP: GET requests with a browser's headers over one connection, which is
// made anew when the server does not keep it. The rate counts requests. That the
// server keeps a connection for up to ten of them is an assumption.
func (a *assault) miraiHTTP() habit {
	request := []byte("GET / HTTP/1.1\r\n" +
		"User-Agent: Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/51.0.2704.103 Safari/537.36\r\n" +
		"Host: victim.example\r\nConnection: keep-alive\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.8\r\n\r\n")
	var f *flow
	left := 0
	return a.paced(func(now zone.Time) {
		if left == 0 {
			t := a.connection(now, a.victim(), 80, 24*time.Millisecond)
			t.open()
			f, left = t.f, a.r.between(1, 10)
		}
		left--
		answer := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: keep-alive\r\n\r\n"
		if left == 0 {
			answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
		}
		t := talk{e: a.e, r: a.r, f: f, at: max(now, f.busy.Add(time.Millisecond)), rtt: 24 * time.Millisecond}
		t.exchange(true, 0, a.r.between(300, 1900), opaque, request, []byte(answer))
		if left == 0 {
			t.shut(false)
		}
	})
}

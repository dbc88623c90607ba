package simulate

import (
	"net/netip"
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// slowScan: what miraiScan does, one host a minute from ordinary sockets, to stay
// below every threshold on rates.
func (a *assault) slowScan() habit {
	return a.paced(func(now zone.Time) {
		to := a.r.addr4()
		for !isPublic(to.As4()) {
			to = a.r.addr4()
		}
		t := a.connection(now, to, 23, 0)
		a.retry(&t)
	})
}

// beacon: one connection to the master on port 23, and two bytes there and back
// once a minute, as Mirai keeps it (Antonakakis et al., section 3).
func (a *assault) beacon() habit {
	var f *flow
	const rtt = 60 * time.Millisecond
	return a.paced(func(now zone.Time) {
		t := talk{e: a.e, r: a.r, f: f, at: now, rtt: rtt}
		if f == nil {
			t = a.connection(now, a.victim(), 23, rtt)
			t.open()
			t.tell(true, 0, opaque, []byte{0, 0, 0, 1})
			f = t.f
		}
		t.exchange(true, 0, 0, opaque, []byte{0, 0}, []byte{0, 0})
	})
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

// local is the address on the device's network that an ARP attack is about.
func (a *assault) local() netip.Addr {
	if a.Target.IsValid() {
		return a.Target
	}
	ip := a.IP.As4()
	ip[3] = 1
	return netip.AddrFrom4(ip)
}

func (a *assault) arp(at zone.Time, to zone.MAC, body []byte) {
	f := a.e.once()
	f.device, f.attack, f.ether = a.MAC, a.Kind, packet.EtherTypeARP
	f.near.mac, f.far.mac = a.MAC, to
	a.e.packet(at, segment{flow: f, up: true, body: body, last: true})
}

// arpScan: requests for one address after the other, round and round. Those who
// are there answer only in the traffic that this one is laid over.
func (a *assault) arpScan() habit {
	ip := a.IP.As4()
	own := ip[3]
	ip[3] = 0
	return a.paced(func(now zone.Time) {
		ip[3] = ip[3]%254 + 1
		if ip[3] == own {
			ip[3] = ip[3]%254 + 1
		}
		a.arp(now, broadcast(), arpBody(arpRequest, a.MAC, a.IP, zone.MAC{}, netip.AddrFrom4(ip)))
	})
}

// arpSpoof: unasked replies to everybody that the gateway's address is at the
// device.
func (a *assault) arpSpoof() habit {
	claimed := a.local()
	return a.paced(func(now zone.Time) {
		a.arp(now, broadcast(), arpBody(arpReply, a.MAC, claimed, broadcast(), claimed))
	})
}

// addressMisuse: a station that is not the device sends small UDP packets to the
// victim from the device's IP address. Only the source MAC tells. The frames'
// Device is the one whose address is misused.
func (a *assault) addressMisuse() habit {
	intruder := documentationMAC(0xee)
	if intruder == a.MAC {
		intruder[5]++
	}
	from := a.ephemeral()
	return a.paced(func(now zone.Time) {
		f := a.single(protoUDP, a.victim(), 4444)
		f.near.mac, f.near.port = intruder, from
		answered := a.r.chance(0.5)
		a.e.packet(now, segment{flow: f, up: true, size: a.r.between(60, 400), last: !answered})
		if answered {
			a.e.packet(now.Add(a.r.span(20*time.Millisecond, 40*time.Millisecond)), segment{flow: f, size: a.r.between(40, 900), last: true})
		}
	})
}

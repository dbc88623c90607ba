package simulate

import (
	"net/netip"
	"time"

	"bellwether/internal/zone"
)

// thermostat reports over HTTPS every five minutes, keeps a line for commands
// and sets its clock.
func thermostat(t *thing) {
	api := &service{name: "api.thermostat.example", port: 443, net: 50, rtt: 36 * time.Millisecond, moves: 0.3}
	t.steady(5*time.Minute, func(at zone.Time) { t.visit(at, api, t.r.between(620, 760), t.r.between(280, 360)) })
	push := &line{t: t, s: &service{name: "push.thermostat.example", port: 9543, net: 51, rtt: 37 * time.Millisecond, moves: 0.3}, secret: true}
	t.steady(16*time.Second, func(at zone.Time) {
		talk := push.talk(at)
		talk.ask(t.r.between(58, 66), 52, tls)
	})
	t.sometimes(4*time.Minute, func(at zone.Time) {
		talk := push.talk(at)
		talk.exchange(false, t.r.between(210, 340), t.r.between(120, 170), tls, nil, nil)
	})
	ntp := timeServer(52)
	t.steady(4*time.Minute, func(at zone.Time) { t.clock(at, ntp) })
	t.announce(3*time.Minute, "_hap._tcp.local")
}

// airSensor tells its readings to the gateway by CoAP (RFC 7252) over IPv6.
func airSensor(t *thing) {
	near, far := t.v6, linkLocal(t.home.mac)
	coap := t.flow(protoUDP, 5683, end{mac: t.home.mac, ip: far, port: 5683})
	coap.near.ip = near
	id := uint16(0)
	t.steady(7*time.Second, func(at zone.Time) {
		id++
		talk := t.talk(coap, at, 3*time.Millisecond)
		ask := []byte{0x40, 2, byte(id >> 8), byte(id), 0xb3, 'a', 'i', 'r', 0xff, '4', byte('0' + t.r.below(10)), byte('0' + t.r.below(10))}
		ask = append(ask, "ppm"[:t.r.between(0, 3)]...)
		talk.query(0, 0, ask, []byte{0x60, 0x44, byte(id >> 8), byte(id)})
	})
	t.sometimes(2*time.Minute, func(at zone.Time) {
		f := t.flow(protoICMPv6, 0, end{mac: t.home.mac, ip: far, ttl: 255})
		f.near.ip, f.near.ttl = near, 255
		talk := t.talk(f, at, time.Millisecond)
		talk.query(0, 0, neighbour(135, far, t.MAC), neighbour(136, far, t.home.mac))
	})
	update := &service{name: "update.air.example", port: 443, net: 55, rtt: 50 * time.Millisecond, moves: 0.3}
	t.sometimes(10*time.Minute, func(at zone.Time) { t.visit(at, update, t.r.between(250, 300), t.r.between(150, 220)) })
	here := t.group(netip.AddrFrom4([4]byte{192, 168, 77, 255}), 4210, 4210)
	t.steady(time.Minute, func(at zone.Time) {
		talk := t.talk(here, at, 0)
		talk.datagram(true, 44, opaque, []byte("air1"))
	})
}

// smokeDetector wakes up, says that it lives, and sleeps again.
func smokeDetector(t *thing) {
	api := &service{name: "safe.smoke.example", port: 443, net: 58, rtt: 52 * time.Millisecond, moves: 0.4}
	t.steady(40*time.Minute, func(at zone.Time) { t.visit(at, api, t.r.between(300, 340), 180) })
}

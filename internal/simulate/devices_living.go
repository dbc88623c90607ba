package simulate

import (
	"fmt"
	"net/netip"
	"time"

	"bellwether/internal/zone"
)

// speaker listens: a request is speech up and an answer down. It looks for
// other devices all the time.
func speaker(t *thing) {
	voice := &line{t: t, s: &service{name: "voice.speaker.example", port: 443, net: 60, rtt: 19 * time.Millisecond, moves: 0.4}, secret: true}
	t.sometimes(4*time.Minute, func(at zone.Time) {
		talk := voice.talk(at)
		for range t.r.between(20, 45) {
			talk.say(true, t.r.between(320, 520), tls, nil)
			talk.wait(60 * time.Millisecond)
		}
		talk.turn(true)
		talk.say(false, t.r.between(8, 40)*segmentBytes, tls, nil)
		talk.turn(false)
		talk.flag(true, ack)
	})
	t.steady(30*time.Second, func(at zone.Time) {
		talk := voice.talk(at)
		talk.ask(75, 75, tls)
	})
	search := t.group(ssdpGroup(), 1900, t.ephemeral())
	search.near.ttl = 2
	ask := []byte("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: ssdp:all\r\n\r\n")
	t.steady(2*time.Minute, func(at zone.Time) {
		talk := t.talk(search, at, 0)
		for range 3 {
			talk.datagram(true, 0, opaque, ask)
			talk.wait(100 * time.Millisecond)
		}
	})
	t.announce(90*time.Second, "_cast._tcp.local")
	ntp := timeServer(61)
	t.steady(8*time.Minute, func(at zone.Time) { t.clock(at, ntp) })
}

// hub bridges a ZigBee network: it calls out by UDP broadcast, notifies by
// SSDP, and mirrors its lamps to the cloud.
func hub(t *thing) {
	cloud := &line{t: t, s: &service{name: "bridge.hub.example", port: 443, net: 65, rtt: 26 * time.Millisecond, moves: 0.3}, secret: true}
	t.steady(30*time.Second, func(at zone.Time) {
		talk := cloud.talk(at)
		talk.ask(t.r.between(90, 420), 60, tls)
	})
	t.sometimes(3*time.Minute, func(at zone.Time) {
		talk := cloud.talk(at)
		for range t.r.between(2, 6) {
			talk.exchange(false, t.r.between(150, 260), t.r.between(90, 130), tls, nil, nil)
			talk.wait(400 * time.Millisecond)
		}
	})
	here := t.group(netip.AddrFrom4([4]byte{192, 168, 77, 255}), 1982, 1982)
	t.steady(10*time.Second, func(at zone.Time) {
		talk := t.talk(here, at, 0)
		talk.datagram(true, t.r.between(120, 150), opaque, []byte("zbr1"))
	})
	notify := t.group(ssdpGroup(), 1900, t.ephemeral())
	notify.near.ttl = 2
	body := fmt.Appendf(nil, "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=100\r\nLOCATION: http://%s:80/description.xml\r\nNTS: ssdp:alive\r\n\r\n", t.IP)
	t.steady(100*time.Second, func(at zone.Time) {
		talk := t.talk(notify, at, 0)
		for range 4 {
			talk.datagram(true, 0, opaque, body)
			talk.wait(50 * time.Millisecond)
		}
	})
	ntp := timeServer(66)
	t.steady(6*time.Minute, func(at zone.Time) { t.clock(at, ntp) })
	t.announce(2*time.Minute, "_bridge._tcp.local")
}

// vacuum tells where it stands, and uploads its map while it is out.
func vacuum(t *thing) {
	ot := &service{name: "ot.vacuum.example", port: 8053, net: 70, rtt: 41 * time.Millisecond, moves: 0.3}
	var beat *flow
	t.steady(12*time.Second, func(at zone.Time) {
		if beat == nil || t.r.chance(0.02) {
			at = t.lookUp(at, ot)
			beat = t.to(ot, protoUDP)
		}
		talk := t.talk(beat, at, ot.rtt)
		talk.query(t.r.between(32, 48), 32, []byte{0x21, 0x31, 0, 0x20}, []byte{0x21, 0x31, 0, 0x20})
	})
	cloud := &line{t: t, s: &service{name: "api.vacuum.example", port: 443, net: 71, rtt: 43 * time.Millisecond, moves: 0.3}, secret: true}
	t.steady(45*time.Second, func(at zone.Time) {
		talk := cloud.talk(at)
		talk.ask(t.r.between(150, 230), 70, tls)
	})
	t.sometimes(6*time.Minute, func(at zone.Time) {
		talk := cloud.talk(at)
		talk.tell(true, t.r.between(6, 18)*1100, tls, nil)
	})
	t.announce(5*time.Minute, "_vacuum._udp.local")
}

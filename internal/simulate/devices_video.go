package simulate

import (
	"fmt"
	"time"

	"bellwether/internal/zone"
)

// footage is a camera's video: RTP over UDP in clips, with more and larger
// packets while its scene is bright. Light comes and goes at random, so that
// every hour is like every other.
type footage struct {
	t      *thing
	s      *service
	bright bool
	flow   *flow
}

func (v *footage) light(at zone.Time) { v.bright = !v.bright }

// clip queues one recording.
func (v *footage) clip(at zone.Time, seconds time.Duration) {
	if v.flow == nil || v.t.r.chance(0.2) {
		at = v.t.lookUp(at, v.s)
		v.flow = v.t.to(v.s, protoUDP)
	}
	talk := v.t.talk(v.flow, at, v.s.rtt)
	gap, low, high := 110*time.Millisecond, 380, 760
	if v.bright {
		gap, low, high = 65*time.Millisecond, 820, 1220
	}
	end := talk.at.Add(v.t.r.about(seconds, 0.4))
	report := talk.at.Add(time.Second)
	for talk.at < end {
		talk.datagram(true, v.t.r.between(low, high), rtp, nil)
		talk.wait(gap)
		if talk.at >= report { // RTCP receiver report (RFC 3550, section 6.4.2)
			talk.datagram(false, 0, opaque, []byte{0x81, 201, 0, 7, 31: 0})
			report = report.Add(2 * time.Second)
		}
	}
}

// webcam streams clips of what moves, and keeps an RTSP session to its
// recorder (RFC 7826) and a connection to its maker.
func webcam(t *thing) {
	video := &footage{t: t, s: &service{name: "media.webcam.example", port: 16400, net: 10, rtt: 22 * time.Millisecond, moves: 0.3}, bright: true}
	t.sometimes(12*time.Minute, video.light)
	t.sometimes(150*time.Second, func(at zone.Time) { video.clip(at, 7*time.Second) })
	session := &line{t: t, s: &service{name: "rtsp.webcam.example", port: 554, net: 11, rtt: 21 * time.Millisecond, moves: 0.2}}
	turn := 0
	t.steady(30*time.Second, func(at zone.Time) {
		turn++
		talk := session.talk(at)
		ask := fmt.Appendf(nil, "OPTIONS * RTSP/1.0\r\nCSeq: %d\r\nSession: 5e110053\r\n\r\n", turn)
		answer := fmt.Appendf(nil, "RTSP/1.0 200 OK\r\nCSeq: %d\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n", turn)
		talk.exchange(true, 0, 0, opaque, ask, answer)
	})
	cloud := &line{t: t, s: &service{name: "api.webcam.example", port: 443, net: 12, rtt: 35 * time.Millisecond, moves: 0.3}, secret: true}
	t.steady(time.Minute, func(at zone.Time) {
		talk := cloud.talk(at)
		talk.ask(t.r.between(180, 260), t.r.between(90, 140), tls)
	})
	ntp := timeServer(13)
	t.steady(5*time.Minute, func(at zone.Time) { t.clock(at, ntp) })
}

// doorbell keeps itself reachable by SIP-like requests (RFC 3261) and sends
// video when somebody passes.
func doorbell(t *thing) {
	video := &footage{t: t, s: &service{name: "turn.doorbell.example", port: 3478, net: 20, rtt: 28 * time.Millisecond, moves: 0.5}, bright: true}
	t.sometimes(15*time.Minute, video.light)
	t.sometimes(6*time.Minute, func(at zone.Time) { video.clip(at, 5*time.Second) })
	registrar := &service{name: "sip.doorbell.example", port: 5060, net: 21, rtt: 31 * time.Millisecond, moves: 0.2}
	var sip *flow
	call := 0
	t.steady(20*time.Second, func(at zone.Time) {
		if sip == nil || t.r.chance(0.01) {
			at = t.lookUp(at, registrar)
			sip = t.to(registrar, protoUDP)
		}
		call++
		talk := t.talk(sip, at, registrar.rtt)
		head := fmt.Sprintf("Via: SIP/2.0/UDP %s:%d\r\nFrom: <sip:bell@doorbell.example>\r\nTo: <sip:bell@doorbell.example>\r\nCall-ID: %08x\r\nCSeq: %d OPTIONS\r\nContent-Length: 0\r\n\r\n", t.IP, sip.near.port, 0x5e000000+call, call)
		talk.query(0, 0, []byte("OPTIONS sip:doorbell.example SIP/2.0\r\n"+head), []byte("SIP/2.0 200 OK\r\n"+head))
	})
	api := &service{name: "api.doorbell.example", port: 443, net: 22, rtt: 33 * time.Millisecond, moves: 0.4}
	t.sometimes(8*time.Minute, func(at zone.Time) { t.visit(at, api, t.r.between(400, 900), t.r.between(300, 700)) })
	t.announce(4*time.Minute, "_doorbell._tcp.local")
}

// television idles on a few connections and loads programme in bursts.
func television(t *thing) {
	stream := &line{t: t, s: &service{name: "cdn.tv.example", port: 443, net: 30, rtt: 14 * time.Millisecond, moves: 0.6}, secret: true}
	t.sometimes(150*time.Second, func(at zone.Time) {
		talk := stream.talk(at)
		for range t.r.between(2, 5) {
			talk.ask(t.r.between(380, 620), t.r.between(12, 40)*segmentBytes, tls)
			talk.wait(time.Second)
		}
	})
	guide := &service{name: "guide.tv.example", port: 443, net: 31, rtt: 40 * time.Millisecond, moves: 0.4}
	t.sometimes(4*time.Minute, func(at zone.Time) { t.visit(at, guide, t.r.between(300, 800), t.r.between(900, 9000)) })
	adverts := &service{name: "metrics.tv.example", port: 443, net: 32, rtt: 45 * time.Millisecond, moves: 0.3}
	t.steady(3*time.Minute, func(at zone.Time) { t.visit(at, adverts, t.r.between(700, 1900), 160) })
	t.announce(2*time.Minute, "_remote._tcp.local")
	ntp := timeServer(33)
	t.steady(10*time.Minute, func(at zone.Time) { t.clock(at, ntp) })
}

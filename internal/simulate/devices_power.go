package simulate

import (
	"fmt"
	"net/netip"
	"time"

	"bellwether/internal/zone"
)

// MQTT control packets (MQTT 3.1.1, section 2.2).
func mqttPing() []byte             { return []byte{0xc0, 0} }
func mqttPingAnswer() []byte       { return []byte{0xd0, 0} }
func mqttPublished(id byte) []byte { return []byte{0x40, 2, 0, id} }

// mqttPublish is a message of quality of service 1 with a payload.
func mqttPublish(topic string, id byte, payload string) []byte {
	b := []byte{0x32, byte(2 + len(topic) + 2 + len(payload)), 0, byte(len(topic))}
	b = append(b, topic...)
	return append(append(b, 0, id), payload...)
}

// mqttHello is a connection's first exchange.
func mqttHello(client string) func(*talk) {
	body := []byte{0x10, byte(12 + len(client)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(client))}
	body = append(body, client...)
	return func(talk *talk) { talk.exchange(true, 0, 0, opaque, body, []byte{0x20, 2, 0, 0}) }
}

// bulb keeps an MQTT session, tells its state, is switched and faded, and
// calls out on the local network.
func bulb(t *thing) {
	broker := &line{t: t, s: &service{name: "mqtt.bulb.example", port: 1883, net: 40, rtt: 38 * time.Millisecond, moves: 0.3}}
	broker.greet = mqttHello("bulb-5e0053")
	t.steady(time.Minute, func(at zone.Time) {
		talk := broker.talk(at)
		talk.exchange(true, 0, 0, opaque, mqttPing(), mqttPingAnswer())
	})
	id := byte(0)
	state := func(talk *talk) {
		id = id%200 + 1
		level := fmt.Sprintf(`{"on":%t,"level":%d}`, t.r.chance(0.5), t.r.between(1, 100))
		talk.exchange(true, 0, 0, opaque, mqttPublish("home/bulb/state", id, level), mqttPublished(id))
	}
	t.steady(40*time.Second, func(at zone.Time) {
		talk := broker.talk(at)
		state(&talk)
	})
	t.sometimes(5*time.Minute, func(at zone.Time) {
		talk := broker.talk(at)
		talk.exchange(false, 0, 0, opaque, mqttPublish("home/bulb/set", 1, `{"on":true,"fade":4}`), mqttPublished(1))
		for range t.r.between(1, 5) {
			state(&talk)
			talk.wait(800 * time.Millisecond)
		}
	})
	here := t.group(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 6667, 6667)
	t.steady(10*time.Second, func(at zone.Time) {
		talk := t.talk(here, at, 0)
		talk.datagram(true, 172, opaque, []byte{0, 0, 0x55, 0xaa})
	})
	ntp := timeServer(41)
	t.steady(15*time.Minute, func(at zone.Time) { t.clock(at, ntp) })
}

// plug waits for commands by long polls over HTTP and reports the power that it
// measures.
func plug(t *thing) {
	cloud := &line{t: t, s: &service{name: "poll.plug.example", port: 80, net: 45, rtt: 42 * time.Millisecond, moves: 0.3}}
	poll := []byte("GET /v1/wait?device=5e0053 HTTP/1.1\r\nHost: poll.plug.example\r\nConnection: keep-alive\r\n\r\n")
	nothing := []byte("HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n")
	command := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"on\": true}")
	t.steady(20*time.Second, func(at zone.Time) {
		talk := cloud.talk(at)
		talk.tell(true, 0, opaque, poll)
		talk.wait(t.home.pace(12 * time.Second))
		answer := nothing
		if t.r.chance(0.1) {
			answer = command
		}
		talk.tell(false, 0, opaque, answer)
	})
	meter := &service{name: "meter.plug.example", port: 20002, net: 46, rtt: 44 * time.Millisecond, moves: 0.2}
	var report *flow
	t.steady(15*time.Second, func(at zone.Time) {
		if report == nil || t.r.chance(0.01) {
			at = t.lookUp(at, meter)
			report = t.to(meter, protoUDP)
		}
		talk := t.talk(report, at, meter.rtt)
		talk.query(t.r.between(96, 112), 20, []byte("plg1"), []byte("plg1"))
	})
	seq := uint16(0)
	t.steady(2*time.Minute, func(at zone.Time) {
		seq++
		t.ping(at, seq)
	})
}

// lock sleeps most of its life.
func lock(t *thing) {
	cloud := &line{t: t, s: &service{name: "gate.lock.example", port: 8883, net: 48, rtt: 47 * time.Millisecond, moves: 0.3}, secret: true}
	t.steady(4*time.Minute, func(at zone.Time) {
		talk := cloud.talk(at)
		talk.ask(48, 36, tls)
	})
	t.sometimes(15*time.Minute, func(at zone.Time) {
		talk := cloud.talk(at)
		talk.ask(t.r.between(140, 210), 64, tls)
		talk.wait(5 * time.Second)
		talk.ask(t.r.between(120, 160), 64, tls)
	})
}

package simulate

import (
	"net/netip"
	"time"

	"bellwether/internal/zone"
)

// model is a kind of device.
type model struct {
	name, kind string
	style      style
	live       func(*thing) // gives it its habits
}

// catalogue lists the devices of the home.
func catalogue() []model {
	return []model{
		{"Porch webcam", "webcam", linux, webcam},
		{"Kitchen bulb", "smart bulb", sparse, bulb},
		{"Washer plug", "smart plug", sparse, plug},
		{"Hall thermostat", "thermostat", linux, thermostat},
		{"Front doorbell", "doorbell", linux, doorbell},
		{"Living room speaker", "voice assistant", linux, speaker},
		{"ZigBee hub", "hub", linux, hub},
		{"Bedroom TV", "smart TV", linux, television},
		{"Back door lock", "door lock", sparse, lock},
		{"Robot vacuum", "robot vacuum", linux, vacuum},
		{"Air sensor", "air sensor", sparse, airSensor},
		{"Attic smoke detector", "smoke detector", sparse, smokeDetector},
	}
}

// timeServer is where a device gets the time from.
func timeServer(net byte) *service {
	return &service{name: "time.example", port: 123, net: net, rtt: 18 * time.Millisecond, moves: 0.3}
}

func mdnsGroup() netip.Addr { return netip.AddrFrom4([4]byte{224, 0, 0, 251}) }
func ssdpGroup() netip.Addr { return netip.AddrFrom4([4]byte{239, 255, 255, 250}) }

// announce is the multicast of a device that wants to be found: mDNS over both
// IP versions, and the report that it joined the group.
func (t *thing) announce(period time.Duration, serviceType string) {
	body := appendPointer(nil, serviceType, t.hostName())
	v6 := netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0xfb})
	flow4, flow6 := t.group(mdnsGroup(), 5353, 5353), t.group(v6, 5353, 5353)
	flow4.near.ttl = 255
	report := netip.AddrFrom4([4]byte{224, 0, 0, 22})
	join := t.flow(protoIGMP, 0, end{mac: groupMAC(report), ip: report})
	join.near.ttl = 1
	t.steady(period, func(at zone.Time) {
		t.send(flow4, at, body)
		t.send(flow6, at.Add(t.r.span(time.Millisecond, 3*time.Millisecond)), body)
		if t.r.chance(0.3) {
			t.send(join, at.Add(t.r.span(100*time.Millisecond, 900*time.Millisecond)), joinReport(mdnsGroup()))
		}
	})
}

// ping is an echo request to the gateway and its answer.
func (t *thing) ping(at zone.Time, seq uint16) {
	f := t.gateway(protoICMP, 0, 0)
	t.send(f, at, echo(8, 0x5e, seq))
	answer := echo(0, 0x5e, seq)
	t.home.engine.packet(at.Add(t.r.span(300*time.Microsecond, 2*time.Millisecond)), segment{flow: f, size: len(answer), body: answer})
}

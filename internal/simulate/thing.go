package simulate

import (
	"net/netip"
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// thing is a device that lives.
type thing struct {
	Device
	home    *Home
	r       random
	style   style
	v6      netip.Addr
	port    uint16
	settled zone.Time // when it had its lease
}

// steady makes the device do something about every period of a quiet home.
func (t *thing) steady(period time.Duration, do func(at zone.Time)) {
	period = t.home.pace(period)
	t.home.engine.wake(t.settled.Add(t.r.span(0, period)), func(now zone.Time) time.Duration {
		do(now)
		return t.r.about(period, 0.08)
	})
}

// sometimes makes the device do something at random moments, on average every
// mean of a quiet home and never sooner than a fifth of that after the last.
func (t *thing) sometimes(mean time.Duration, do func(at zone.Time)) {
	mean = t.home.pace(mean)
	again := func() time.Duration { return mean/5 + t.r.exponential(mean-mean/5) }
	t.home.engine.wake(t.settled.Add(again()), func(now zone.Time) time.Duration {
		do(now)
		return again()
	})
}

// ephemeral gives the next source port.
func (t *thing) ephemeral() uint16 {
	t.port++
	if t.port > 60999 {
		t.port = 32768
	}
	return t.port
}

// flow makes a flow from the device to any far end.
func (t *thing) flow(proto uint8, port uint16, far end) *flow {
	f := &flow{
		device: t.MAC,
		near:   end{mac: t.MAC, ip: t.IP, port: port, id: t.r.uint16(), window: 502, seq: t.r.uint32()},
		far:    far,
		proto:  proto,
		style:  t.style,
		noise:  noise(t.r.uint64() | 1),
	}
	f.far.id, f.far.seq, f.far.window = t.r.uint16(), t.r.uint32(), 501
	if t.style == sparse {
		f.near.window = 5840
	}
	return f
}

// group makes a UDP flow to a multicast group or the broadcast address.
func (t *thing) group(to netip.Addr, port, own uint16) *flow {
	mac := broadcast()
	if to.IsMulticast() {
		mac = groupMAC(to)
	}
	f := t.flow(protoUDP, own, end{mac: mac, ip: to, port: port})
	if !to.Is4() {
		f.near.ip = t.v6
		f.near.ttl = 255
	}
	return f
}

// gateway makes a flow to the gateway itself.
func (t *thing) gateway(proto uint8, own, port uint16) *flow {
	return t.flow(proto, own, end{mac: t.home.mac, ip: t.home.ip, port: port})
}

// talk starts a conversation over a flow, after what is already queued there.
func (t *thing) talk(f *flow, at zone.Time, rtt time.Duration) talk {
	if f.busy >= at {
		at = f.busy.Add(2 * time.Millisecond)
	}
	return talk{e: t.home.engine, r: t.r, f: f, at: at, rtt: rtt}
}

// send queues one packet up.
func (t *thing) send(f *flow, at zone.Time, body []byte) {
	t.home.engine.packet(at, segment{flow: f, up: true, size: len(body), body: body})
}

// arp queues an ARP packet up.
func (t *thing) arp(at zone.Time, op byte, senderIP netip.Addr, to zone.MAC, target zone.MAC, targetIP netip.Addr) {
	f := &flow{device: t.MAC, ether: packet.EtherTypeARP, near: end{mac: t.MAC}, far: end{mac: to}}
	t.send(f, at, arpBody(op, t.MAC, senderIP, target, targetIP))
}

// resolve is an ARP request for the gateway and its answer.
func (t *thing) resolve(at zone.Time) {
	t.arp(at, arpRequest, t.IP, broadcast(), zone.MAC{}, t.home.ip)
	f := &flow{device: t.MAC, ether: packet.EtherTypeARP, near: end{mac: t.MAC}, far: end{mac: t.home.mac}}
	answer := arpBody(arpReply, t.home.mac, t.home.ip, t.MAC, t.IP)
	t.home.engine.packet(at.Add(t.r.span(100*time.Microsecond, time.Millisecond)), segment{flow: f, body: answer})
}

// beResolved is the gateway's ARP request and the device's answer.
func (t *thing) beResolved(at zone.Time) {
	f := &flow{device: t.MAC, ether: packet.EtherTypeARP, near: end{mac: t.MAC}, far: end{mac: t.home.mac}}
	question := arpBody(arpRequest, t.home.mac, t.home.ip, zone.MAC{}, t.IP)
	t.home.engine.packet(at, segment{flow: f, body: question})
	t.arp(at.Add(t.r.span(2*time.Millisecond, 6*time.Millisecond)), arpReply, t.IP, t.home.mac, t.home.mac, t.home.ip)
}

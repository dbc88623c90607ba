package simulate

import (
	"fmt"
	"iter"
	"net/netip"
	"time"

	"bellwether/internal/zone"
)

// DefaultActivity makes a household in which most devices send 2,000 packets
// within 45 minutes.
const DefaultActivity = 5

// HomeOptions says which home is made.
type HomeOptions struct {
	// Seed decides everything that is left to chance.
	Seed uint64
	// Start is when the first device joins. The zero value is the Unix epoch.
	Start zone.Time
	// Activity is how many times as often as in a quiet real home the
	// devices do what they do; the packets of one conversation keep their
	// own pace. 0 is DefaultActivity; values outside 0.05 to 20 are moved to
	// the nearer of these.
	Activity float64
}

// Attack is what an infected device does for a while.
type Attack struct {
	Kind     string // one of Kinds
	Start    zone.Time
	Duration time.Duration
	Rate     float64    // packets or requests per second; 0 is the kind's own
	Target   netip.Addr // IPv4; the zero value is the kind's own
}

// Home is a simulated household: a dozen devices behind a gateway that is also
// their DHCP server and resolver. All devices live by one stationary process
// each: nothing drifts. A Home is not safe for concurrent use.
type Home struct {
	options HomeOptions
	engine  *engine
	things  []*thing
	subnet  netip.Prefix
	mac     zone.MAC
	ip      netip.Addr
}

// NewHome makes a home. Its first frame is a little after options.Start.
func NewHome(options HomeOptions) *Home {
	if options.Activity == 0 {
		options.Activity = DefaultActivity
	}
	options.Activity = min(max(options.Activity, 0.05), 20)
	h := &Home{
		options: options,
		engine:  newEngine(options.Start),
		subnet:  netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 77, 0}), 24),
		mac:     documentationMAC(1),
		ip:      netip.AddrFrom4([4]byte{192, 168, 77, 1}),
	}
	for i, m := range catalogue() {
		h.add(i, m)
	}
	return h
}

// documentationMAC is one of the addresses that RFC 9542 keeps for examples.
func documentationMAC(n byte) zone.MAC { return zone.MAC{0, 0, 0x5e, 0, 0x53, n} }

func (h *Home) add(i int, m model) {
	t := &thing{
		Device: Device{
			MAC:  documentationMAC(byte(0x10 + i)),
			IP:   netip.AddrFrom4([4]byte{192, 168, 77, byte(20 + i)}),
			Name: m.name,
			Kind: m.kind,
		},
		home:  h,
		r:     newRandom(h.options.Seed, m.name),
		style: m.style,
	}
	t.v6 = linkLocal(t.MAC)
	t.port = uint16(t.r.between(32768, 50000))
	joins := h.options.Start.Add(time.Duration(i)*1500*time.Millisecond + t.r.span(0, time.Second))
	t.settled = t.join(joins)
	m.live(t)
	h.things = append(h.things, t)
}

// Devices lists the devices in the order in which they join.
func (h *Home) Devices() []Device {
	out := make([]Device, len(h.things))
	for i, t := range h.things {
		out[i] = t.Device
	}
	return out
}

// Gateway gives the gateway's addresses on the home's network.
func (h *Home) Gateway() (zone.MAC, netip.Addr) { return h.mac, h.ip }

// Subnet is the home's IPv4 network.
func (h *Home) Subnet() netip.Prefix { return h.subnet }

// Frames gives the frames that pass before until, in the order of time. Asked
// again, it goes on after the last frame that it gave.
func (h *Home) Frames(until zone.Time) iter.Seq[*Frame] {
	return func(yield func(*Frame) bool) { h.engine.run(until, yield) }
}

// Infect makes a device attack on top of what it does anyway; benign traffic
// stays what it would have been, to the byte. What lies before the last frame that
// Frames gave is not made up for: an attack that should have begun by then begins
// at once, and ends when it should. Infect refuses a device that is not in the
// home and whatever Overlay.Check refuses; then nothing is changed.
func (h *Home) Infect(mac zone.MAC, plan []Attack) error {
	var t *thing
	for _, other := range h.things {
		if other.MAC == mac {
			t = other
		}
	}
	if t == nil {
		return fmt.Errorf("cannot infect %s: no device of the simulated home has this address", mac)
	}
	overlays := make([]Overlay, 0, len(plan))
	for i, a := range plan {
		o := h.overlay(t, i, a)
		if err := o.Check(); err != nil {
			return fmt.Errorf("cannot infect %s: attack %d of its plan: %w", mac, i+1, err)
		}
		overlays = append(overlays, o)
	}
	for _, o := range overlays {
		o.begin(h.engine)
	}
	return nil
}

func (h *Home) overlay(t *thing, i int, a Attack) Overlay {
	o := Overlay{
		MAC: t.MAC, IP: t.IP, GatewayMAC: h.mac, Kind: a.Kind, Start: a.Start, Duration: a.Duration,
		Rate: a.Rate, Target: a.Target, Seed: h.options.Seed + uint64(i),
	}
	if !o.Target.IsValid() && a.Kind == MiraiDNS {
		o.Target = h.ip
	}
	return o
}

// pace gives how long to wait in this home for what comes round every d in a
// quiet one.
func (h *Home) pace(d time.Duration) time.Duration {
	return time.Duration(float64(d) / h.options.Activity)
}

package gateway

import (
	"iter"
	"net/netip"

	"bellwether/internal/monitor"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// attackRates is at how many rates each kind of attack is tried on a shadow model:
// twice its own, its own, half of it, and so on.
const attackRates = 4

// attacks gives the attacks of package simulate by a device, for shadow models to be
// tried on. The same device gets the same attacks. Those that try to stay unseen are
// no measure of a model, nor are those that a wrong source address gives away at once.
func attacks(mac zone.MAC, ip netip.Addr) (out [][]monitor.Attack) {
	for _, k := range simulate.Kinds() {
		if k.Quiet || k.Name == simulate.SpoofedFlood || k.Name == simulate.AddressMisuse {
			continue
		}
		var kind []monitor.Attack
		rate := 2 * k.Rate
		for range attackRates {
			o := simulate.Overlay{MAC: mac, IP: ip, GatewayMAC: zone.MAC{0, 0, 0x5e, 0, 0x53, 0xff}, Kind: k.Name, Duration: k.Lasts, Rate: rate}
			kind = append(kind, monitor.Attack{Kind: k.Name, Rate: rate, Packets: packets(o.Frames())})
			rate /= 2
		}
		out = append(out, kind)
	}
	return out
}

// packets decodes frames. A packet is valid until the next.
func packets(frames iter.Seq[*simulate.Frame]) iter.Seq[*packet.Packet] {
	return func(yield func(*packet.Packet) bool) {
		var p packet.Packet
		for f := range frames {
			p.Time, p.Length = f.Time, len(f.Data)
			packet.Decode(packet.LinkEthernet, f.Data, &p)
			if !yield(&p) {
				return
			}
		}
	}
}

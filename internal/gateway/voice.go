package gateway

import (
	"context"

	"bellwether/internal/bus"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// heardQueue bounds the messages that wait for the packet loop.
const heardQueue = 4096

// voiceProto is the IP protocol that stands for a message: 253, for
// experimentation (RFC 3692). No packet of it is sent.
const voiceProto = 253

// hears takes a message from the hub, which does not wait.
func (w *watching) hears(h bus.Heard) {
	if w.Events.Message != nil {
		w.Events.Message(h)
	}
	if w.Config.Members.Unwatched || h.From == zone.Master {
		return
	}
	select {
	case w.heard <- h:
	default:
		w.missed.Add(1)
	}
}

// listen has the monitor observe the messages that wait.
func (w *watching) listen(ctx context.Context) error {
	for range heardQueue {
		select {
		case h := <-w.heard:
			if err := w.observe(ctx, h); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// observe gives a message to the monitor: what a member says is behaviour (paper,
// section 4.3), under addresses of its own beside its device's.
func (w *watching) observe(ctx context.Context, h bus.Heard) error {
	p := voiced(h)
	w.roster.Hear(p.SrcMAC, string(h.From)+" (messages)")
	return w.monitor.Observe(ctx, &p)
}

// voiced gives the packet that stands for a message: from and to the members'
// voices, its operation as the port, its payload's size as the length.
func voiced(h bus.Heard) packet.Packet {
	p := packet.Packet{Time: h.Received, Length: int(h.Size), Captured: int(h.Size), Kind: packet.KindIPv6, HasMAC: true, EtherType: 0x86dd,
		Proto: voiceProto, SrcPort: uint16(h.Op), DstPort: uint16(h.Op), HasPorts: true}
	p.SrcMAC, p.Src = h.From.Voice()
	p.DstMAC, p.Dst = h.To.Voice()
	return p
}

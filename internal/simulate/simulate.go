// Package simulate makes the traffic of a smart home that does not exist,
// byte by byte, and labelled attack traffic to lay over it or over a real
// capture.
//
// Every frame is a complete Ethernet II frame with valid lengths and checksums,
// as an access point's interface shows it: not padded to 60 bytes, without a
// frame check sequence. It is meant to go through the same path as a captured
// frame; nothing here knows what a feature or a detector is.
//
// A [Home] is a household of devices behind one gateway. An [Overlay] is one
// attack by one device. Both are functions of their seed: the same options give
// the same bytes on every machine. Time is virtual and belongs to the caller;
// there is no clock, and the package opens no socket: its frames can be written
// to a capture file, not sent.
//
// Nobody real is named. The devices' and the gateway's MAC addresses are from
// 00:00:5e:00:53:00/40 (RFC 9542, section 2.1.4: globally administered, for
// documentation), cloud servers live in 198.18.0.0/15 (RFC 2544, benchmarks)
// under names in .example (RFC 6761), and an attack's default victim is in
// 203.0.113.0/24 (RFC 5737). Random targets of scans are any public address, as
// with the real thing.
package simulate

import (
	"iter"
	"net/netip"

	"bellwether/internal/zone"
)

// Frame is one Ethernet frame at its moment.
type Frame struct {
	Time zone.Time
	// Data is the frame from the destination MAC on. It is valid until the
	// next frame is asked for.
	Data []byte
	// Attack is the kind of attack that the frame belongs to, empty for
	// benign traffic. Answers to an attack carry its kind too.
	Attack string
	// Device is the device that the frame belongs to, in either direction.
	Device zone.MAC
}

// Device is one simulated device.
type Device struct {
	MAC  zone.MAC
	IP   netip.Addr // IPv4, leased when it joins
	Name string     // as its owner calls it
	Kind string     // what it is, such as "webcam"
}

// Merge gives the frames of a and b in the order of time; of two frames at the
// same moment, a's comes first. Both have to be in the order of time
// themselves.
func Merge(a, b iter.Seq[*Frame]) iter.Seq[*Frame] {
	return func(yield func(*Frame) bool) {
		next, stop := iter.Pull(b)
		defer stop()
		g, more := next()
		for f := range a {
			for ; more && g.Time < f.Time; g, more = next() {
				if !yield(g) {
					return
				}
			}
			if !yield(f) {
				return
			}
		}
		for ; more; g, more = next() {
			if !yield(g) {
				return
			}
		}
	}
}

package simulate

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// end is one side of a flow, as the gateway's interface sees it.
type end struct {
	mac    zone.MAC // next hop: the gateway's for everything outside
	ip     netip.Addr
	port   uint16
	ttl    uint8 // 0 is 64
	id     uint16
	window uint16 // TCP
	seq    uint32 // TCP: of the next segment; RTP: of the next packet
	stamp  uint32 // TCP: the last timestamp value
}

// style is how a TCP implementation writes its options.
type style uint8

const (
	bare    style = iota // none at all, as raw sockets send
	sparse               // the maximum segment size only, as small stacks send
	linux                // the twenty bytes of Linux, and timestamps ever after
	stamped              // as linux, but only the first packet was ever made
)

// flow is what the packets between two ends have in common.
type flow struct {
	device    zone.MAC // whose it is
	attack    string
	near, far end // the device and the other side
	ether     uint16
	proto     uint8
	fragment  bool // may be fragmented
	style     style
	mss       uint16 // announced; 0 is 1460
	noise     noise
	busy      zone.Time // of the last packet that was queued
}

// form is what follows a segment's own bytes.
type form uint8

const (
	opaque form = iota // noise
	tls                // one TLS application data record
	rtp                // an RTP header before the bytes
)

// segment is one packet of a flow.
type segment struct {
	flow  *flow
	body  []byte // the first bytes of the payload; not to be changed until sent
	size  int    // of the payload, at least len(body)
	flags uint8  // TCP
	form  form
	up    bool // from the near end to the far one
	last  bool // the flow is not used any more
}

// appendFrame appends the Ethernet frame of a segment that passes now.
func (f *flow) appendFrame(b []byte, at zone.Time, s *segment) []byte {
	src, dst := &f.near, &f.far
	if !s.up {
		src, dst = dst, src
	}
	b = append(append(b, dst.mac[:]...), src.mac[:]...)
	if f.ether != 0 {
		b = binary.BigEndian.AppendUint16(b, f.ether)
		return append(b, s.body...)
	}
	ttl := src.ttl
	if ttl == 0 {
		ttl = 64
	}
	src.id++
	if src.ip.Is4() {
		b = binary.BigEndian.AppendUint16(b, packet.EtherTypeIPv4)
		b = appendIPv4(b, src.ip, dst.ip, f.proto, ttl, src.id, !f.fragment)
		b = f.appendUpper(b, at, s, src, dst)
		closeUpper(closeIPv4(b[ethernetHeader:]), src.ip, dst.ip, f.proto)
		return b
	}
	b = binary.BigEndian.AppendUint16(b, packet.EtherTypeIPv6)
	b = appendIPv6(b, src.ip, dst.ip, f.proto, ttl)
	b = f.appendUpper(b, at, s, src, dst)
	closeUpper(closeIPv6(b[ethernetHeader:]), src.ip, dst.ip, f.proto)
	return b
}

func (f *flow) appendUpper(b []byte, at zone.Time, s *segment, src, dst *end) []byte {
	switch f.proto {
	case protoTCP:
		b = f.appendTCP(b, at, s, src, dst)
	case protoUDP:
		b = append(b, byte(src.port>>8), byte(src.port), byte(dst.port>>8), byte(dst.port), 0, 0, 0, 0)
	}
	return f.appendPayload(b, at, s, src)
}

// appendTCP appends a TCP header (RFC 9293) and moves the sender's sequence
// number on. It acknowledges all that has passed the other way.
func (f *flow) appendTCP(b []byte, at zone.Time, s *segment, src, dst *end) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, src.port)
	b = binary.BigEndian.AppendUint16(b, dst.port)
	b = binary.BigEndian.AppendUint32(b, src.seq)
	if s.flags&ack != 0 {
		b = binary.BigEndian.AppendUint32(b, dst.seq)
	} else {
		b = append(b, 0, 0, 0, 0)
	}
	b = append(b, 0, s.flags, byte(src.window>>8), byte(src.window), 0, 0, 0, 0)
	b = f.appendOptions(b, at, s.flags, src, dst)
	b[start+12] = byte((len(b) - start) / 4 << 4)
	src.seq += uint32(s.size)
	if s.flags&(syn|fin) != 0 {
		src.seq++
	}
	return b
}

func (f *flow) appendOptions(b []byte, at zone.Time, flags uint8, src, dst *end) []byte {
	if f.style == bare || flags&rst != 0 {
		return b
	}
	first := flags&syn != 0
	if first {
		mss := f.mss
		if mss == 0 {
			mss = 1460
		}
		b = append(b, 2, 4, byte(mss>>8), byte(mss))
	}
	if f.style == sparse {
		return b
	}
	if f.style == linux {
		src.stamp = uint32(uint64(at) / uint64(time.Millisecond))
	}
	if first {
		b = append(b, 4, 2, 8, 10)
	} else {
		b = append(b, 1, 1, 8, 10)
	}
	b = binary.BigEndian.AppendUint32(b, src.stamp)
	b = binary.BigEndian.AppendUint32(b, dst.stamp)
	if first {
		b = append(b, 1, 3, 3, 6)
	}
	return b
}

// appendPayload appends the segment's own bytes and then noise in its form.
func (f *flow) appendPayload(b []byte, at zone.Time, s *segment, src *end) []byte {
	b = append(b, s.body...)
	rest := s.size - len(s.body)
	if rest <= 0 {
		return b
	}
	start := len(b)
	b = slices.Grow(b, rest)[:start+rest]
	fill := b[start:]
	switch {
	case s.form == tls && rest > 5: // RFC 8446, section 5.1
		copy(fill, []byte{23, 3, 3, byte((rest - 5) >> 8), byte(rest - 5)})
		fill = fill[5:]
	case s.form == rtp && rest > 12: // RFC 3550, section 5.1: dynamic payload type 96
		copy(fill, []byte{0x80, 96, byte(src.seq >> 8), byte(src.seq)})
		binary.BigEndian.PutUint32(fill[4:], uint32(uint64(at)/11111)) // 90 kHz
		binary.BigEndian.PutUint32(fill[8:], 0x5e110000|uint32(src.port))
		fill = fill[12:]
		src.seq++
	}
	f.noise.fill(fill)
	return b
}

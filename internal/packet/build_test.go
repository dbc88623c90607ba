package packet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"

	"bellwether/internal/zone"
)

var be = binary.BigEndian

// The hosts of the frames that tests build.
const (
	nearMAC = "\x02\x00\x00\x00\x00\x01"
	farMAC  = "\x02\x00\x00\x00\x00\x02"
	near4   = "\xc0\x00\x02\x01"
	far4    = "\xc6\x33\x64\x07"
	near6   = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	far6    = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
)

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func u16(values ...uint16) (b []byte) {
	for _, v := range values {
		b = be.AppendUint16(b, v)
	}
	return b
}

// ethernet is a frame from near to far of the given EtherType or length.
func ethernet(t uint16, rest ...[]byte) []byte {
	return cat([]byte(farMAC+nearMAC), u16(t), cat(rest...))
}

// ip4 is an IPv4 packet with options of a length divisible by 4.
func ip4(proto byte, fragment uint16, options string, rest ...[]byte) []byte {
	body := cat(rest...)
	h := []byte{0x45 + byte(len(options)/4), 0}
	h = append(h, u16(uint16(20+len(options)+len(body)), 0x1234, fragment)...)
	h = append(h, 64, proto, 0, 0)
	return cat(h, []byte(near4+far4+options), body)
}

func ip6(next byte, rest ...[]byte) []byte {
	body := cat(rest...)
	h := append([]byte{0x60, 0, 0, 0}, u16(uint16(len(body)))...)
	return cat(append(h, next, 64), []byte(near6+far6), body)
}

func tcp(flags byte, options string, payload string) []byte {
	h := cat(u16(40000, 443), []byte{0, 0, 1, 2, 0, 0, 0, 9, byte(5+len(options)/4) << 4, flags}, u16(1024, 0, 0))
	return cat(h, []byte(options+payload))
}

func udp(payload string) []byte {
	return cat(u16(5353, 53, uint16(8+len(payload)), 0), []byte(payload))
}

// extension is an IPv6 extension header of 8*(1+units) bytes.
func extension(next byte, units byte) []byte {
	return cat([]byte{next, units}, make([]byte, 6+8*int(units)))
}

func fragment6(next byte, offset uint16) []byte {
	return cat([]byte{next, 0}, u16(offset<<3|1), []byte{0, 0, 0, 7})
}

func arp(op uint16) []byte {
	return cat(u16(1, 0x0800), []byte{6, 4}, u16(op), []byte(nearMAC+near4+farMAC+far4))
}

func decoded(link LinkType, frame []byte) (p Packet) {
	p = Packet{Time: 99, Length: 1000, SrcPort: 1, Truncated: true, Payload: []byte("old")}
	Decode(link, frame, &p)
	return p
}

// base is what every packet between near and far has.
func base(frame []byte, mac bool) Packet {
	p := Packet{Time: 99, Length: 1000, Captured: len(frame), HasMAC: mac}
	if mac {
		p.SrcMAC, p.DstMAC = zone.MAC([]byte(nearMAC)), zone.MAC([]byte(farMAC))
	}
	return p
}

func (p Packet) asIPv4(proto uint8) Packet {
	p.Kind, p.EtherType, p.Proto = KindIPv4, EtherTypeIPv4, proto
	p.Src, p.Dst = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	return p
}

func (p Packet) asIPv6(proto uint8) Packet {
	p.Kind, p.EtherType, p.Proto = KindIPv6, EtherTypeIPv6, proto
	p.Src, p.Dst = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	return p
}

func (p Packet) asUDP(payload string) Packet {
	p.SrcPort, p.DstPort, p.HasPorts, p.Payload = 5353, 53, true, []byte(payload)
	return p
}

// equal compares all fields; a nil payload equals an empty one.
func equal(a, b Packet) bool {
	if !bytes.Equal(a.Payload, b.Payload) {
		return false
	}
	a.Payload, b.Payload = nil, nil
	return reflect.DeepEqual(a, b)
}

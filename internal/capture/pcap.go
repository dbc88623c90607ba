package capture

import (
	"encoding/binary"
	"fmt"
	"strings"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// pcapVariant is one of the pcap formats, told apart by the magic number.
type pcapVariant struct {
	name   string
	magic  uint32
	header int       // bytes of a record header
	unit   zone.Time // of the second half of a time stamp
}

// pcapMagic finds byte order and variant (draft-ietf-opsawg-pcap; the modified
// variant is that of Alexey Kuznetsov's libpcap patches). It gives nil for
// anything else.
func pcapMagic(b [4]byte) (binary.ByteOrder, *pcapVariant) {
	variants := [...]pcapVariant{
		{"pcap", 0xa1b2c3d4, 16, 1000},
		{"pcap-ns", 0xa1b23c4d, 16, 1},
		{"pcap-modified", 0xa1b2cd34, 24, 1000},
	}
	for i := range variants {
		switch variants[i].magic {
		case binary.LittleEndian.Uint32(b[:]):
			return binary.LittleEndian, &variants[i]
		case binary.BigEndian.Uint32(b[:]):
			return binary.BigEndian, &variants[i]
		}
	}
	return nil, nil
}

// pcapHeader is the length of the file header.
const pcapHeader = 24

// pcap reads the records of one pcap file.
type pcap struct {
	src   *source
	order binary.ByteOrder
	v     *pcapVariant
	link  packet.LinkType
}

func newPcap(src *source, name string, order binary.ByteOrder, v *pcapVariant) (*pcap, error) {
	b, err := src.record(pcapHeader, "the file header")
	if err != nil {
		return nil, err
	}
	if major := order.Uint16(b[4:]); major != 2 {
		return nil, src.damage(nil, "pcap version %d.%d: want 2.4", major, order.Uint16(b[6:]))
	}
	// The upper half of the link field holds flags about check sequences.
	p := &pcap{src: src, order: order, v: v, link: packet.LinkType(order.Uint32(b[20:]) & 0xffff)}
	if !p.link.Supported() {
		return nil, unsupported(name, p.link)
	}
	src.take(pcapHeader)
	return p, nil
}

// unsupported is the error for a capture of which nothing can be read.
func unsupported(name string, l packet.LinkType) error {
	var names []string
	for _, t := range packet.LinkTypes() {
		names = append(names, t.String())
	}
	return fmt.Errorf("%s holds frames of link type %d, which is not supported: want %s", name, uint32(l), strings.Join(names, ", "))
}

func (p *pcap) next(fr *Frame) error {
	h, err := p.src.record(p.v.header, "a record header")
	if err != nil {
		return err
	}
	sec, sub := p.order.Uint32(h), p.order.Uint32(h[4:])
	captured, length := p.order.Uint32(h[8:]), p.order.Uint32(h[12:])
	if sec|sub|captured|length == 0 {
		return p.src.damage(nil, "the record header is all zeros, as after a power cut while writing")
	}
	if err := p.src.sane(captured, length); err != nil {
		return err
	}
	n := p.v.header + int(captured)
	b, err := p.src.record(n, "a record")
	if err != nil {
		return err
	}
	p.src.take(n)
	fr.Time = zone.Time(sec)*1e9 + zone.Time(sub)*p.v.unit
	fr.Link = p.link
	fr.Length = int(max(captured, length))
	fr.Data = b[p.v.header:]
	return nil
}

// maxWire is the largest length on the wire that is believed. Offloading cards
// hand over frames larger than any wire's, but none near this.
const maxWire = 16 << 20

// sane checks the two lengths of a frame.
func (s *source) sane(captured, length uint32) error {
	if captured > MaxFrame {
		return s.damage(nil, "a frame of %d captured bytes: the limit is %d", captured, MaxFrame)
	}
	if length > maxWire {
		return s.damage(nil, "a frame of %d bytes on the wire: the limit is %d", length, maxWire)
	}
	return nil
}

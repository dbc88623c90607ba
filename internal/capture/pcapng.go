package capture

import (
	"encoding/binary"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// Block types (draft-ietf-opsawg-pcapng, section 4).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

// pcapngMagic is the section header's block type, the same in both orders.
var pcapngMagic = [4]byte{0x0a, 0x0d, 0x0d, 0x0a}

// Limits of one section and one block.
const (
	maxBlock      = 16 << 20
	maxInterfaces = 1 << 16
)

// pcapng reads the blocks of one pcapng file.
type pcapng struct {
	src    *source
	order  binary.ByteOrder
	ifaces []ngInterface // of the current section
	last   zone.Time     // of the last frame that had one, for simple packets
	err    error         // met while reading ahead
}

// ngInterface is what the frames of an interface need.
type ngInterface struct {
	link   packet.LinkType
	snap   uint32 // 0 is unlimited
	perSec uint64 // time stamp units in a second
	offset int64  // seconds to add
}

// newPcapng reads ahead to the first frame, to tell a capture of which nothing
// can be read. Damage met there is left for next.
func newPcapng(src *source, name string) (*pcapng, error) {
	p := &pcapng{src: src}
	for p.err == nil {
		b, kind, err := p.block()
		if err == nil && isFrame(kind) {
			break
		}
		if err == nil {
			err = p.administer(kind, b)
		}
		if p.err = err; err == nil {
			p.src.take(len(b))
		}
	}
	if p.src.off == 0 {
		return nil, p.err // not even the section header is right
	}
	for i := range p.ifaces {
		if p.ifaces[i].link.Supported() {
			return p, nil
		}
	}
	if len(p.ifaces) > 0 {
		return nil, unsupported(name, p.ifaces[0].link)
	}
	return p, nil
}

func isFrame(kind uint32) bool {
	return kind == blockEnhanced || kind == blockSimple || kind == blockPacket
}

func (p *pcapng) next(fr *Frame) error {
	for p.err == nil {
		var b []byte
		var kind uint32
		if b, kind, p.err = p.block(); p.err != nil {
			break
		}
		if isFrame(kind) {
			p.err = p.frame(kind, b[8:len(b)-4], fr)
		} else {
			p.err = p.administer(kind, b)
		}
		if p.err != nil {
			break
		}
		p.src.take(len(b))
		if isFrame(kind) {
			return nil
		}
	}
	return p.err
}

// block gives the block at the source's position, whole, without taking it.
func (p *pcapng) block() (b []byte, kind uint32, err error) {
	h, err := p.src.record(12, "a block header")
	if err != nil {
		return nil, 0, err
	}
	if [4]byte(h) == pcapngMagic {
		if err = p.section(h); err != nil {
			return nil, 0, err
		}
	}
	kind = p.order.Uint32(h)
	total := p.order.Uint32(h[4:])
	if total < 12 || total%4 != 0 || total > maxBlock {
		return nil, 0, p.src.damage(nil, "a block of %d bytes: want a multiple of 4, from 12 to %d", total, maxBlock)
	}
	if b, err = p.src.record(int(total), "a block"); err != nil {
		return nil, 0, err
	}
	if again := p.order.Uint32(b[total-4:]); again != total {
		return nil, 0, p.src.damage(nil, "a block says %d bytes at its start, %d at its end", total, again)
	}
	return b, kind, nil
}

// section learns the byte order from a section header's first twelve bytes.
func (p *pcapng) section(h []byte) error {
	const byteOrderMagic uint32 = 0x1a2b3c4d
	switch byteOrderMagic {
	case binary.LittleEndian.Uint32(h[8:]):
		p.order = binary.LittleEndian
	case binary.BigEndian.Uint32(h[8:]):
		p.order = binary.BigEndian
	default:
		return p.src.damage(nil, "a section header with byte order % x", h[8:12])
	}
	return nil
}

// administer follows a block that holds no frame. Kinds that say nothing about
// frames, and unknown ones, are skipped.
func (p *pcapng) administer(kind uint32, b []byte) error {
	switch kind {
	case blockSection:
		if len(b) < 28 {
			return p.src.damage(nil, "a section header of %d bytes: want at least 28", len(b))
		}
		if major := p.order.Uint16(b[12:]); major != 1 {
			return p.src.damage(nil, "pcapng version %d.%d: want 1.0", major, p.order.Uint16(b[14:]))
		}
		p.ifaces = p.ifaces[:0]
	case blockInterface:
		return p.addInterface(b[8 : len(b)-4])
	}
	return nil
}

// frame reads a packet block's body.
func (p *pcapng) frame(kind uint32, b []byte, fr *Frame) error {
	switch kind {
	case blockEnhanced:
		if len(b) < 20 {
			return p.tooShort(kind, b)
		}
		return p.stamped(p.order.Uint32(b), b, fr)
	case blockPacket:
		if len(b) < 20 {
			return p.tooShort(kind, b)
		}
		return p.stamped(uint32(p.order.Uint16(b)), b, fr)
	}
	return p.simple(b, fr)
}

func (p *pcapng) tooShort(kind uint32, b []byte) error {
	return p.src.damage(nil, "a packet block of type %d with %d bytes of content", kind, len(b))
}

// stamped reads the body of an enhanced or an obsolete packet block, alike but
// for the interface's number.
func (p *pcapng) stamped(iface uint32, b []byte, fr *Frame) error {
	if uint64(iface) >= uint64(len(p.ifaces)) {
		return p.src.damage(nil, "a frame of interface %d, where %d are described", iface, len(p.ifaces))
	}
	in := &p.ifaces[iface]
	t, ok := in.time(uint64(p.order.Uint32(b[4:]))<<32 | uint64(p.order.Uint32(b[8:])))
	if !ok {
		return p.src.damage(nil, "a time stamp outside the years 1678 to 2262")
	}
	p.last, fr.Time = t, t
	return p.fill(in, p.order.Uint32(b[12:]), p.order.Uint32(b[16:]), b[20:], fr)
}

// simple reads a simple packet block's body. It has neither time nor captured
// length: the first is taken from the frame before, the second follows from the
// first interface's snap length.
func (p *pcapng) simple(b []byte, fr *Frame) error {
	if len(b) < 4 {
		return p.tooShort(blockSimple, b)
	}
	if len(p.ifaces) == 0 {
		return p.src.damage(nil, "a frame before any interface is described")
	}
	in := &p.ifaces[0]
	length := p.order.Uint32(b)
	captured := length
	if in.snap != 0 {
		captured = min(length, in.snap)
	}
	fr.Time = p.last
	return p.fill(in, captured, length, b[4:], fr)
}

func (p *pcapng) fill(in *ngInterface, captured, length uint32, b []byte, fr *Frame) error {
	if err := p.src.sane(captured, length); err != nil {
		return err
	}
	if int(captured) > len(b) {
		return p.src.damage(nil, "a frame of %d captured bytes in a block with room for %d", captured, len(b))
	}
	fr.Link = in.link
	fr.Length = int(max(captured, length))
	fr.Data = b[:captured]
	return nil
}

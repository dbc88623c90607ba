package capture

import (
	"math"
	"math/bits"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// Options of an interface description block (draft-ietf-opsawg-pcapng,
// section 4.2).
const (
	optionEnd        = 0
	optionResolution = 9  // if_tsresol
	optionOffset     = 14 // if_tsoffset
)

// addInterface reads an interface description block's body.
func (p *pcapng) addInterface(b []byte) error {
	if len(b) < 8 {
		return p.src.damage(nil, "an interface description with %d bytes of content: want at least 8", len(b))
	}
	if len(p.ifaces) == maxInterfaces {
		return p.src.damage(nil, "more than %d interfaces in one section", maxInterfaces)
	}
	in := ngInterface{
		link:   packet.LinkType(p.order.Uint16(b)),
		snap:   p.order.Uint32(b[4:]),
		perSec: 1e6,
	}
	for b = b[8:]; len(b) >= 4; {
		code, length := p.order.Uint16(b), int(p.order.Uint16(b[2:]))
		if code == optionEnd {
			break
		}
		padded := 4 + (length+3)&^3
		if padded > len(b) {
			return p.src.damage(nil, "option %d of an interface reaches beyond its block", code)
		}
		if err := p.interfaceOption(&in, code, b[4:4+length]); err != nil {
			return err
		}
		b = b[padded:]
	}
	p.ifaces = append(p.ifaces, in)
	return nil
}

func (p *pcapng) interfaceOption(in *ngInterface, code uint16, v []byte) error {
	switch {
	case code == optionResolution && len(v) == 1:
		perSec, ok := resolution(v[0])
		if !ok {
			return p.src.damage(nil, "an interface with time stamp resolution %#02x, finer than 64 bits can count", v[0])
		}
		in.perSec = perSec
	case code == optionOffset && len(v) == 8:
		in.offset = int64(p.order.Uint64(v))
	case code == optionResolution || code == optionOffset:
		return p.src.damage(nil, "option %d of an interface has %d bytes", code, len(v))
	}
	return nil
}

// resolution gives the units in a second: a power of 2 when the top bit is set,
// else a power of 10.
func resolution(v byte) (perSec uint64, ok bool) {
	if v&0x80 != 0 {
		return 1 << (v & 0x7f), v&0x7f < 64
	}
	if v > 19 {
		return 0, false
	}
	perSec = 1
	for range v {
		perSec *= 10
	}
	return perSec, true
}

// time converts a time stamp, rounding down to nanoseconds. It reports false
// for what zone.Time cannot hold.
func (in *ngInterface) time(stamp uint64) (zone.Time, bool) {
	const limit = math.MaxInt64/1_000_000_000 - 1
	sec, sub := stamp/in.perSec, stamp%in.perSec
	if sec > limit || in.offset > limit || in.offset < -limit {
		return 0, false
	}
	total := int64(sec) + in.offset
	if total > limit || total < -limit {
		return 0, false
	}
	high, low := bits.Mul64(sub, 1e9)
	nanos, _ := bits.Div64(high, low, in.perSec)
	return zone.Time(total*1e9) + zone.Time(nanos), true
}

package simulate

import (
	"encoding/binary"
	"fmt"
	"testing"

	"bellwether/internal/packet"
)

// wordSum is RFC 1071 as it stands there, to hold the generator's own sums
// against.
func wordSum(parts ...[]byte) uint16 {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	if len(all)%2 == 1 {
		all = append(all, 0)
	}
	sum := uint32(0)
	for i := 0; i < len(all); i += 2 {
		sum += uint32(all[i])<<8 | uint32(all[i+1])
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// checkFrame says what is wrong with a frame's lengths and checksums.
func checkFrame(b []byte) error {
	if len(b) < 14 || len(b) > 1514 {
		return fmt.Errorf("%d bytes long", len(b))
	}
	body := b[14:]
	switch kind := binary.BigEndian.Uint16(b[12:]); kind {
	case packet.EtherTypeARP:
		if len(body) != 28 {
			return fmt.Errorf("ARP body of %d bytes", len(body))
		}
		return nil
	case packet.EtherTypeIPv4:
		return checkIPv4(body)
	case packet.EtherTypeIPv6:
		return checkIPv6(body)
	default:
		return fmt.Errorf("EtherType %#04x", kind)
	}
}

func checkIPv4(b []byte) error {
	header := int(b[0]&15) * 4
	if b[0]>>4 != 4 || header < 20 || header > len(b) || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
		return fmt.Errorf("IPv4 lengths: header %d, total %d, have %d", header, binary.BigEndian.Uint16(b[2:]), len(b))
	}
	if s := wordSum(b[:header]); s != 0xffff {
		return fmt.Errorf("IPv4 checksum sums to %#04x", s)
	}
	upper := b[header:]
	pseudo := append(append([]byte{}, b[12:20]...), 0, b[9], byte(len(upper)>>8), byte(len(upper)))
	return checkUpper(b[9], upper, pseudo)
}

func checkIPv6(b []byte) error {
	if b[0]>>4 != 6 || int(binary.BigEndian.Uint16(b[4:])) != len(b)-40 {
		return fmt.Errorf("IPv6 length %d, have %d", binary.BigEndian.Uint16(b[4:]), len(b)-40)
	}
	upper := b[40:]
	pseudo := append(append([]byte{}, b[8:40]...), 0, 0, byte(len(upper)>>8), byte(len(upper)), 0, 0, 0, b[6])
	return checkUpper(b[6], upper, pseudo)
}

func checkUpper(proto uint8, b, pseudo []byte) error {
	switch proto {
	case protoICMP, protoIGMP:
		pseudo = nil
	case protoGRE:
		return checkIPv4(b[4:])
	case protoUDP:
		if int(binary.BigEndian.Uint16(b[4:])) != len(b) || b[6]|b[7] == 0 {
			return fmt.Errorf("UDP length %d, have %d, checksum %x", binary.BigEndian.Uint16(b[4:]), len(b), b[6:8])
		}
	case protoTCP:
		if n := int(b[12]>>4) * 4; n < 20 || n > len(b) {
			return fmt.Errorf("TCP header of %d bytes in %d", n, len(b))
		}
	case protoICMPv6:
	default:
		return fmt.Errorf("IP protocol %d", proto)
	}
	if s := wordSum(pseudo, b); s != 0xffff {
		return fmt.Errorf("checksum of protocol %d sums to %#04x", proto, s)
	}
	return nil
}

func TestChecksOfChecks(t *testing.T) {
	o := testOverlay(MiraiUDP)
	for f := range o.Frames() {
		if err := checkFrame(f.Data); err != nil {
			t.Fatalf("good frame: %v", err)
		}
		for _, i := range []int{17, 25, 30, 39, 41, 100} {
			bad := append([]byte{}, f.Data...)
			bad[i] ^= 4
			if checkFrame(bad) == nil {
				t.Errorf("byte %d changed, and no check noticed", i)
			}
		}
		break
	}
}

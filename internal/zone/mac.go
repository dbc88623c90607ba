package zone

import (
	"fmt"
	"net"
)

// MAC is an IEEE 802 MAC-48 address. The zero value is no address.
type MAC [6]byte

// ParseMAC reads a MAC-48 address in any notation that net.ParseMAC reads.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return MAC{}, fmt.Errorf("%q is not a MAC address: want six bytes like 64:16:66:49:3e:cb", s)
	}
	return MAC(hw), nil
}

// String gives the address as aa:bb:cc:dd:ee:ff.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText gives the address as String does.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText writes, and nothing else.
func (m *MAC) UnmarshalText(b []byte) error {
	p, err := ParseMAC(string(b))
	if err != nil {
		return err
	}
	if p.String() != string(b) {
		return fmt.Errorf("MAC address %q is not written as %s", b, p)
	}
	*m = p
	return nil
}

// IsGroup reports a multicast or broadcast address (IEEE 802, I/G bit).
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// IsLocal reports a locally administered address (U/L bit), as telephones
// make up at random.
func (m MAC) IsLocal() bool { return m[0]&2 != 0 }

// Less orders addresses by their bytes.
func (m MAC) Less(o MAC) bool { return m.uint64() < o.uint64() }

func (m MAC) uint64() uint64 {
	return uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 | uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5])
}

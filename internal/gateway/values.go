package gateway

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"

	"bellwether/internal/zone"
)

// MAC, Prefix, Duration and Bytes are read from YAML strings. What is wrong
// with one is said with its line.
type (
	// MAC is a device address like 64:16:66:49:3e:cb.
	MAC zone.MAC
	// Prefix is a subnet like 192.168.4.0/24.
	Prefix netip.Prefix
	// Duration is a length of time like 90s, 10m or 24h, not negative.
	Duration time.Duration
	// Bytes is a size like 512MiB, 4GiB or a plain number.
	Bytes int64
)

// wrong is the error of a value, at its line.
func wrong(n ast.Node, format string, args ...any) error {
	t := n.GetToken()
	return fmt.Errorf("line %d: %q %s", t.Position.Line, t.Value, fmt.Sprintf(format, args...))
}

// UnmarshalYAML reads a MAC address.
func (m *MAC) UnmarshalYAML(n ast.Node) error {
	p, err := zone.ParseMAC(n.GetToken().Value)
	if err != nil {
		return wrong(n, "is not a MAC address: want one like 64:16:66:49:3e:cb")
	}
	*m = MAC(p)
	return nil
}

// MarshalText writes the address as UnmarshalYAML reads it.
func (m MAC) MarshalText() ([]byte, error) { return zone.MAC(m).MarshalText() }

// MarshalText writes the subnet as UnmarshalYAML reads it.
func (p Prefix) MarshalText() ([]byte, error) { return netip.Prefix(p).MarshalText() }

// UnmarshalYAML reads a subnet.
func (p *Prefix) UnmarshalYAML(n ast.Node) error {
	v, err := netip.ParsePrefix(n.GetToken().Value)
	if err != nil {
		return wrong(n, "is not a subnet: want one like 192.168.4.0/24")
	}
	*p = Prefix(v.Masked())
	return nil
}

// UnmarshalYAML reads a length of time.
func (d *Duration) UnmarshalYAML(n ast.Node) error {
	v, err := time.ParseDuration(n.GetToken().Value)
	if err != nil || v < 0 {
		return wrong(n, "is not a length of time: want one like 90s, 10m or 24h")
	}
	*d = Duration(v)
	return nil
}

var sizes = regexp.MustCompile(`^([0-9]{1,12})(KiB|MiB|GiB|TiB|)$`)

// UnmarshalYAML reads a size.
func (b *Bytes) UnmarshalYAML(n ast.Node) error {
	parts := sizes.FindStringSubmatch(n.GetToken().Value)
	if parts == nil {
		return wrong(n, "is not a size: want one like 512MiB or 4GiB")
	}
	v, _ := strconv.ParseInt(parts[1], 10, 64)
	shift := map[string]uint{"": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[parts[2]]
	if v > (1<<62)>>shift {
		return wrong(n, "is too large")
	}
	*b = Bytes(v << shift)
	return nil
}

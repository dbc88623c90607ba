package capture

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
)

// upInterface finds an interface by name and checks that it is up.
func upInterface(name string) (*net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("capture from %s: list interfaces: %w", name, err)
	}
	var names []string
	for i := range all {
		if all[i].Name != name {
			names = append(names, all[i].Name)
			continue
		}
		if all[i].Flags&net.FlagUp == 0 {
			return nil, fmt.Errorf("capture from %s: the interface is down: bring it up with `ip link set %s up`", name, name)
		}
		return &all[i], nil
	}
	return nil, fmt.Errorf("capture from %q: no such interface: there are %s", name, strings.Join(names, ", "))
}

// isBigEndian reports the machine's byte order.
func isBigEndian() bool {
	return binary.NativeEndian.Uint16([]byte{0, 1}) == 1
}

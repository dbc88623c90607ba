package gateway

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"bellwether/internal/roster"
	"bellwether/internal/zone"
)

// surroundings fills in what the operator left out: the interface's subnets, and
// as gateways this machine and its default router there. It gives the interface's
// index.
func surroundings(name string, o *roster.Options) (index int, err error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("interface %s: %w", name, err)
	}
	if len(o.Subnets) == 0 {
		if o.Subnets, err = subnets(iface); err != nil {
			return 0, fmt.Errorf("addresses of interface %s: %w", name, err)
		}
	}
	if len(o.Gateways) > 0 {
		return iface.Index, nil
	}
	if len(iface.HardwareAddr) == 6 {
		o.Gateways = append(o.Gateways, zone.MAC(iface.HardwareAddr))
	}
	routes, _ := os.ReadFile("/proc/net/route")
	arp, _ := os.ReadFile("/proc/net/arp")
	if router, ok := defaultRouter(name, routes); ok {
		if mac, ok := neighbour(router, name, arp); ok {
			o.Gateways = append(o.Gateways, mac)
		}
	}
	return iface.Index, nil
}

func subnets(iface *net.Interface) ([]netip.Prefix, error) {
	addrs, err := iface.Addrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out, nil
}

// defaultRouter reads the IPv4 default gateway of an interface from the lines
// of /proc/net/route: interface, destination, gateway, …, in little-endian hexadecimal.
func defaultRouter(name string, table []byte) (netip.Addr, bool) {
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) < 3 || f[0] != name || f[1] != "00000000" {
			continue
		}
		b, err := hex.DecodeString(f[2])
		if err == nil && len(b) == 4 {
			return netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}), true
		}
	}
	return netip.Addr{}, false
}

// neighbour finds an address's MAC in the lines of /proc/net/arp: IP address,
// type, flags, MAC address, mask, device.
func neighbour(a netip.Addr, name string, table []byte) (zone.MAC, bool) {
	in := bufio.NewScanner(bytes.NewReader(table))
	for in.Scan() {
		f := strings.Fields(in.Text())
		if len(f) < 6 || f[0] != a.String() || f[5] != name {
			continue
		}
		mac, err := zone.ParseMAC(f[3])
		return mac, err == nil && mac != (zone.MAC{})
	}
	return zone.MAC{}, false
}

package detect

import (
	"net/netip"
	"testing"
)

func TestProfileOwns(t *testing.T) {
	p := sampleProfile()
	for a, want := range map[string]bool{
		"192.168.1.7":        true,
		"::ffff:192.168.1.7": true,
		"192.168.1.8":        false,
		"fe80::7%eth0":       true,
		"fe80::8":            false,
		"2001:db8:0:1::1":    true,
		"2001:db8:0:2::1":    false,
	} {
		if got := p.Owns(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	if p.Owns(netip.Addr{}) {
		t.Error("no address is the device's own")
	}
}

func TestProfileUse(t *testing.T) {
	p := sampleProfile()
	for _, want := range p.Ports {
		if got, ok := p.Use(want.Proto, want.Port); !ok || got != want {
			t.Errorf("port %d of protocol %d: %+v, %v", want.Port, want.Proto, got, ok)
		}
	}
	if got, ok := p.Use(6, 53); ok || got != (PortUse{}) {
		t.Errorf("a port that is not listed: %+v, %v", got, ok)
	}
}

func TestProfileValidate(t *testing.T) {
	p := sampleProfile()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (&Profile{}).Validate(); err != nil {
		t.Errorf("empty: %v", err)
	}
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for name, change := range map[string]func(*Profile){
		"unsorted":       func(p *Profile) { p.Addresses[0], p.Addresses[1] = p.Addresses[1], p.Addresses[0] },
		"twice":          func(p *Profile) { p.Addresses[1] = p.Addresses[0] },
		"invalid":        func(p *Profile) { p.Addresses[0] = netip.Addr{} },
		"mapped":         func(p *Profile) { p.Addresses = []netip.Addr{addr("::ffff:1.2.3.4")} },
		"zone":           func(p *Profile) { p.Addresses = []netip.Addr{addr("fe80::1%eth0")} },
		"many":           func(p *Profile) { p.Addresses = make([]netip.Addr, MaxAddresses+1) },
		"IPv4 prefix":    func(p *Profile) { p.Prefixes[0] = prefix("10.0.0.0/24") },
		"long prefix":    func(p *Profile) { p.Prefixes[0] = prefix("2001:db8::/65") },
		"host bits":      func(p *Profile) { p.Prefixes[0] = netip.PrefixFrom(addr("2001:db8::1"), 64) },
		"same prefix":    func(p *Profile) { p.Prefixes = append(p.Prefixes, p.Prefixes[0]) },
		"hosts":          func(p *Profile) { p.NewHosts = -1 },
		"unsorted known": func(p *Profile) { p.Known[0], p.Known[1] = p.Known[1], p.Known[0] },
		"many known":     func(p *Profile) { p.Known = make([]netip.Addr, MaxKnown+1) },
		"rate":           func(p *Profile) { p.MaxRate = -1 },
		"bytes":          func(p *Profile) { p.MaxBytes = -1 },
		"many ports":     func(p *Profile) { p.Ports = make([]PortUse, MaxPorts+1) },
		"unsorted ports": func(p *Profile) { p.Ports[0], p.Ports[1] = p.Ports[1], p.Ports[0] },
		"port hosts":     func(p *Profile) { p.Ports[0].MaxHosts = -1 },
		"new port hosts": func(p *Profile) { p.Ports[0].NewHosts = -1 },
	} {
		p := sampleProfile().clone()
		change(&p)
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

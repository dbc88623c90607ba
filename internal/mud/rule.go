package mud

import (
	"maps"
	"slices"
	"strings"
)

// rule reads an access control entry (RFC 8519, section 4.1, and the matches
// that RFC 8520 adds).
func (p *parser) rule(a ace, from bool) Rule {
	o := a.node.object()
	r := Rule{Name: o.text("name"), IPv6: a.v6, Proto: -1, ICMPType: -1, ICMPCode: -1}
	if a.typ != "ipv4-acl-type" && a.typ != "ipv6-acl-type" {
		r.cannot(printable(a.typ))
	}
	if n, ok := o.take("matches"); ok {
		p.matches(&r, n.object(), from)
	}
	p.actions(&r, &o)
	o.rest()
	return r
}

func (p *parser) actions(r *Rule, o *object) {
	n, ok := o.take("actions")
	if !ok {
		p.fail(n.path, "it is missing: want {\"forwarding\": \"accept\"}")
		return
	}
	actions := n.object()
	switch f := actions.text("forwarding"); strings.TrimPrefix(f, "ietf-access-control-list:") {
	case "accept":
	case "drop", "reject":
		r.Drop = true
	default:
		p.fail(n.path+"/forwarding", "%.40q: want accept, drop or reject", f)
	}
	actions.rest()
}

func (p *parser) matches(r *Rule, o object, from bool) {
	if n, ok := o.takeAny("ietf-mud", "mud"); ok {
		p.class(r, n.object())
	}
	name := "ipv4"
	if r.IPv6 {
		name = "ipv6"
	}
	if n, ok := o.take(name); ok {
		p.network(r, n.object(), from)
	}
	if n, ok := o.take("tcp"); ok {
		p.transport(r, n.object(), protoTCP, from)
	}
	if n, ok := o.take("udp"); ok {
		p.transport(r, n.object(), protoUDP, from)
	}
	if n, ok := o.take("icmp"); ok {
		p.icmp(r, n.object())
	}
	r.narrow(&o, "")
}

// narrow notes the matches that cannot be checked.
func (r *Rule) narrow(o *object, where string) {
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		r.cannot(where + printable(name))
	}
	o.members = nil
}

// class reads the abstractions of RFC 8520, section 5.
func (p *parser) class(r *Rule, o object) {
	for _, class := range []string{"manufacturer", "model", "controller"} {
		if _, ok := o.members[class]; ok {
			p.peer(r, Peer{Class: class, Of: printable(o.text(class))}, o.path)
		}
	}
	for _, class := range []string{"same-manufacturer", "my-controller", "local-networks"} {
		if _, ok := o.take(class); ok { // [null], which YANG's JSON has for a leaf without a value
			p.peer(r, Peer{Class: class}, o.path)
		}
	}
	if _, ok := o.members["direction-initiated"]; ok {
		p.direction(r, o.text("direction-initiated"), o.path)
	}
	r.narrow(&o, "mud:")
}

func (p *parser) peer(r *Rule, peer Peer, path string) {
	if r.Peer != (Peer{}) {
		p.fail(path, "the other end is %s and %s at once: make two entries of it", r.Peer, peer)
		return
	}
	r.Peer = peer
}

func (p *parser) direction(r *Rule, d, path string) {
	if d != "from-device" && d != "to-device" {
		p.fail(path+"/direction-initiated", "%.40q: want from-device or to-device", d)
	}
	r.Initiated = d
}

func (p *parser) network(r *Rule, o object, from bool) {
	if _, ok := o.members["protocol"]; ok {
		p.proto(r, o.integer("protocol", 0, 255, -1), o.path)
	}
	family := "-ipv4-network"
	if r.IPv6 {
		family = "-ipv6-network"
	}
	local, peer := "source", "destination"
	name := "dst-dnsname"
	otherName := "src-dnsname"
	if !from {
		local, peer = peer, local
		name, otherName = otherName, name
	}
	if n, ok := o.take(local + family); ok {
		r.Local = n.prefix(r.IPv6)
	}
	if n, ok := o.take(peer + family); ok {
		p.peer(r, Peer{Net: n.prefix(r.IPv6)}, o.path)
	}
	if n, ok := o.takeAny("ietf-acldns", name); ok {
		s, isText := n.value.(string)
		if !isText || s == "" || len(s) > 255 || strings.ContainsFunc(s, notInName) {
			p.fail(n.path, "%.60v is not a DNS name", n.value)
		}
		p.peer(r, Peer{Name: canonicalName(s)}, o.path)
	}
	if _, ok := o.takeAny("ietf-acldns", otherName); ok {
		r.cannot("the name of the device")
	}
	r.narrow(&o, "")
}

// notInName finds what no DNS name of a host has; * begins a pattern.
func notInName(c rune) bool {
	return !(c == '-' || c == '_' || c == '.' || c == '*' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
}

func (p *parser) proto(r *Rule, proto int, path string) {
	if r.Proto >= 0 && r.Proto != proto {
		p.fail(path, "protocol %d and %d at once", r.Proto, proto)
	}
	r.Proto = proto
}

func (p *parser) transport(r *Rule, o object, proto int, from bool) {
	p.proto(r, proto, o.path)
	if n, ok := o.takeAny("ietf-mud", "direction-initiated"); ok && proto == protoTCP {
		s, _ := n.value.(string)
		p.direction(r, s, o.path)
	}
	for _, end := range []struct {
		name  string
		local bool
	}{{"source-port", from}, {"destination-port", !from}} {
		n, ok := o.take(end.name)
		switch {
		case ok && end.local:
			r.LocalPort = n.ports()
		case ok:
			r.PeerPort = n.ports()
		}
	}
	r.narrow(&o, "")
}

func (p *parser) icmp(r *Rule, o object) {
	proto := protoICMP
	if r.IPv6 {
		proto = protoICMPv6
	}
	p.proto(r, proto, o.path)
	if _, ok := o.members["type"]; ok {
		r.ICMPType = o.integer("type", 0, 255, -1)
	}
	if _, ok := o.members["code"]; ok {
		r.ICMPCode = o.integer("code", 0, 255, -1)
	}
	r.narrow(&o, "")
}

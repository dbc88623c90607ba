// Package mud reads and writes MUD files, Manufacturer Usage Descriptions
// (RFC 8520): what a device may do on the network, as access lists (RFC 8519).
//
// A file is read strictly: what has the wrong form is an error that says where
// and what to do. What is legal and means nothing here (extensions, logging) is
// counted in [File.Ignored]. What would narrow a rule and cannot be checked, such
// as a DSCP, leaves the rule, but what matches it is [Unchecked] and never told
// to be inside. So is a rule by name whose addresses nobody knows: what names
// stand for comes from outside, in [Site].
//
// Only packets that the device sent are stored, so only the from-device
// half is held against traffic; the other half is read, shown and written.
//
// The package has no clock and does no input or output. A file, its profile and
// what is learned depend on the arguments alone.
package mud

import (
	"fmt"
	"net/netip"
	"strings"
)

// The limits of a file.
const (
	MaxFile  = 256 << 10 // bytes
	MaxRules = 2048      // of both directions
)

// File is a MUD file.
type File struct {
	Version       int    // 1
	URL           string // where the file is at home
	LastUpdate    string // RFC 3339
	CacheValidity int    // hours, 1 to 168; 48 where the file has none
	Supported     bool
	Systeminfo    string
	Manufacturer  string
	Model         string
	Firmware      string
	Software      string
	Signature     string // where the detached signature is at home
	Profile       Profile
	// Ignored are the parts that mean nothing here, by where they are, each with
	// how often.
	Ignored []Ignored
}

// Ignored is a part of a file that means nothing here.
type Ignored struct {
	What  string `json:"what"`
	Times int    `json:"times"`
}

// Profile is the network policy of a device: rules in the order in which they
// are tried. What no rule accepts is dropped.
type Profile struct {
	From []Rule // packets that the device sends
	To   []Rule // packets to the device
}

// Rule is one access control entry, as seen from the device: Local is the
// device's end, Peer the other one, in both directions.
type Rule struct {
	Name      string
	Drop      bool // and not accept
	IPv6      bool
	Proto     int  // IP protocol number; -1: any
	Peer      Peer // the zero value: anybody
	Local     netip.Prefix
	LocalPort Ports
	PeerPort  Ports
	ICMPType  int // -1: any
	ICMPCode  int // -1: any
	// Initiated says who opened the TCP connection: "from-device", "to-device", or
	// "" where it does not matter.
	Initiated string
	// Unchecked names the matches that narrow the rule and cannot be checked here.
	Unchecked string
}

// cannot notes a match that cannot be checked.
func (r *Rule) cannot(what string) {
	if r.Unchecked != "" {
		r.Unchecked += ", "
	}
	r.Unchecked += what
}

// Peer is who is at the other end. At most one field is set, but for Class and
// Of, which go together; several in a file are conditions that hold at once and
// are not supported.
type Peer struct {
	Net   netip.Prefix
	Name  string // a DNS name, in lower case, without the dot at its end
	Class string // one of the abstractions of RFC 8520: local-networks, controller, …
	Of    string // whose: the URI of a controller or model, the name of a manufacturer
}

// Ports is a range of ports. The zero value is any port.
type Ports struct {
	Low, High uint16
	Not       bool // all others
	Set       bool
}

// Matches reports whether a port is among them.
func (p Ports) Matches(port uint16) bool {
	return !p.Set || (port >= p.Low && port <= p.High) != p.Not
}

// String gives "any", "443", "1000-2000", or the same after "not ".
func (p Ports) String() string {
	if !p.Set {
		return "any"
	}
	s := fmt.Sprint(p.Low)
	if p.High != p.Low {
		s += fmt.Sprintf("-%d", p.High)
	}
	if p.Not {
		s = "not " + s
	}
	return s
}

// String says who it is, in words.
func (p Peer) String() string {
	switch {
	case p.Name != "":
		return p.Name
	case p.Of != "":
		return p.Class + " " + p.Of
	case p.Class != "":
		return p.Class
	case p.Net.IsValid() && p.Net.IsSingleIP():
		return p.Net.Addr().String()
	case p.Net.IsValid():
		return p.Net.String()
	}
	return "anybody"
}

// The protocols that rules name, by IP protocol number.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// canonicalName gives a DNS name as it is compared: lower case, no dot at the
// end.
func canonicalName(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

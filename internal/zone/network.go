package zone

import (
	"fmt"
	"net/netip"
	"strings"
)

// NetworkReport is how packets that a device sent stand to its network policy.
type NetworkReport struct {
	Packets   int `json:"packets"` // all, but for exempt ones
	Inside    int `json:"inside"`
	Outside   int `json:"outside"`
	Unchecked int `json:"unchecked"` // only rules accept them that cannot be checked
	Exempt    int `json:"exempt"`    // ARP, DHCP, neighbour discovery
	// Named is what lies outside, by service, most packets first, at most eight;
	// empty, never nil.
	Named []Strange `json:"named"`
	More  int       `json:"more"` // packets outside that Named leaves out
}

// Strange is a service outside a network policy.
type Strange struct {
	Proto   int        `json:"proto"`
	Port    int        `json:"port"`  // of the peer; -1 without ports
	Hosts   int        `json:"hosts"` // at most MaxStrangeHosts are told apart
	Packets int        `json:"packets"`
	First   netip.Addr `json:"first"` // the first peer
}

// MaxStrangeHosts is how many hosts of a service are told apart.
const MaxStrangeHosts = 1 << 12

// String says it in words: "TCP port 23: 122 hosts, 980 packets, first 198.51.100.7".
func (s Strange) String() string {
	what := ProtoName(s.Proto)
	if s.Port >= 0 {
		what += fmt.Sprintf(" port %d", s.Port)
	}
	hosts := plural(s.Hosts, "host")
	if s.Hosts == MaxStrangeHosts {
		hosts += " or more"
	}
	return fmt.Sprintf("%s: %s, %s, first %s", what, hosts, plural(s.Packets, "packet"), s.First)
}

// String says it in words, the services aside: "8 of 8 packets lie outside".
func (r NetworkReport) String() string {
	said := fmt.Sprintf("%d of %s lie outside", r.Outside, plural(r.Packets, "packet"))
	if r.Unchecked > 0 {
		said += fmt.Sprintf(", %d cannot be checked", r.Unchecked)
	}
	return said
}

// maxTold is how many services are named in words.
const maxTold = 2

// Services names the services outside in words, at most two and how many packets
// went to others; "" if there are none.
func (r NetworkReport) Services() string {
	var said []string
	more := r.More
	for i, s := range r.Named {
		if i < maxTold {
			said = append(said, s.String())
		} else {
			more += s.Packets
		}
	}
	if more > 0 {
		said = append(said, "to others "+plural(more, "packet"))
	}
	return strings.Join(said, "; ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// ProtoName gives an IP protocol's name, its number where it has none here; -1 is
// any.
func ProtoName(proto int) string {
	switch proto {
	case -1:
		return "any"
	case 1:
		return "ICMP"
	case 2:
		return "IGMP"
	case 6:
		return "TCP"
	case 17:
		return "UDP"
	case 58:
		return "ICMPv6"
	}
	return fmt.Sprintf("protocol %d", proto)
}

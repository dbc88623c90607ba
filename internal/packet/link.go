package packet

import "fmt"

// LinkType is the kind of a frame's first header, with the numbers of
// tcpdump.org/linktypes.html.
type LinkType uint32

// The link types that [Decode] reads.
const (
	LinkNull     LinkType = 0   // BSD loopback, address family in the byte order of the capturing machine
	LinkEthernet LinkType = 1   // Ethernet without preamble and check sequence
	LinkRawBSD   LinkType = 12  // raw IP, as most BSDs number it
	LinkRawOpen  LinkType = 14  // raw IP, as OpenBSD numbers it
	LinkRaw      LinkType = 101 // raw IP, version 4 or 6 by its first nibble
	LinkLoop     LinkType = 108 // OpenBSD loopback, address family in network byte order
	LinkSLL      LinkType = 113 // Linux cooked capture
	LinkIPv4     LinkType = 228 // raw IPv4
	LinkIPv6     LinkType = 229 // raw IPv6
	LinkSLL2     LinkType = 276 // Linux cooked capture, version 2
)

// LinkTypes lists the link types that [Decode] reads, in ascending order.
func LinkTypes() []LinkType {
	return []LinkType{
		LinkNull, LinkEthernet, LinkRawBSD, LinkRawOpen, LinkRaw,
		LinkLoop, LinkSLL, LinkIPv4, LinkIPv6, LinkSLL2,
	}
}

// Supported reports whether [Decode] reads frames of this link type.
func (l LinkType) Supported() bool {
	switch l {
	case LinkNull, LinkEthernet, LinkRawBSD, LinkRawOpen, LinkRaw,
		LinkLoop, LinkSLL, LinkIPv4, LinkIPv6, LinkSLL2:
		return true
	}
	return false
}

// String gives the name and the number, such as "Ethernet (1)"; for a link
// type that is not supported the number alone.
func (l LinkType) String() string {
	name := ""
	switch l {
	case LinkNull:
		name = "BSD loopback"
	case LinkEthernet:
		name = "Ethernet"
	case LinkRawBSD, LinkRawOpen, LinkRaw:
		name = "raw IP"
	case LinkLoop:
		name = "OpenBSD loopback"
	case LinkSLL:
		name = "Linux cooked"
	case LinkIPv4:
		name = "raw IPv4"
	case LinkIPv6:
		name = "raw IPv6"
	case LinkSLL2:
		name = "Linux cooked v2"
	default:
		return fmt.Sprintf("link type %d", uint32(l))
	}
	return fmt.Sprintf("%s (%d)", name, uint32(l))
}

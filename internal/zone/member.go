package zone

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
)

// MemberID names a follower within its zone: 1 to 63 of a-z, 0-9 and -, as the
// label of a host (RFC 1123) in lower case.
type MemberID string

// The names that no follower has.
const (
	Master   MemberID = "master" // the zone's master
	Everyone MemberID = "*"      // every member of the group
)

// MaxMemberID is the longest name of a member in bytes.
const MaxMemberID = 63

// ParseMemberID reads a follower's name.
func ParseMemberID(s string) (MemberID, error) {
	if id := MemberID(s); id.Valid() {
		return id, nil
	}
	if s == string(Master) {
		return "", fmt.Errorf("%q is the zone's master: give the follower another name", s)
	}
	return "", fmt.Errorf("%q cannot be a member's name: want 1 to %d of a-z, 0-9 and -, not at an end", s, MaxMemberID)
}

// Valid reports whether a follower may have that name.
func (id MemberID) Valid() bool {
	return id != Master && len(id) >= 1 && len(id) <= MaxMemberID &&
		strings.Trim(string(id), "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && id[0] != '-' && id[len(id)-1] != '-'
}

const voiceDomain = "bellwether/voice/1\x00"

// Voice gives the addresses under which the Behaviour Monitor observes what a
// member says to the zone, beside what its device sends: a locally administered
// MAC address and a unique local IPv6 address (RFC 4193), both from the SHA-256 of
// "bellwether/voice/1\x00" and the name. The master and everyone have them too, as
// recipients.
func (id MemberID) Voice() (MAC, netip.Addr) {
	h := sha256.Sum256(append([]byte(voiceDomain), id...))
	mac := MAC(h[:6])
	mac[0] = mac[0]&^0x03 | 0x02
	ip := [16]byte(h[6:22])
	ip[0] = 0xfd
	return mac, netip.AddrFrom16(ip)
}

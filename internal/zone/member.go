package zone

import (
	"fmt"
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

// Package zone is the vocabulary of Bellwether: the identifiers, records and
// typed units that every other room shares, and their canonical bytes.
//
// It has no clock and does no input or output. Canonical bytes never change
// within one version of a record: they are what is hashed into the ledger.
package zone

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Features is the number of traffic features of one snapshot (N-BaIoT: 115).
const Features = 115

// Time is a moment in nanoseconds since the Unix epoch, UTC. On the packet
// path time is data: it comes from the capture, never from a clock.
type Time int64

// Seconds gives t in seconds since the Unix epoch.
func (t Time) Seconds() float64 { return float64(t) / 1e9 }

// Std gives t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.Unix(0, int64(t)).UTC() }

// Add gives the moment d later.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub gives the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// String gives t as RFC 3339 with nanoseconds.
func (t Time) String() string { return t.Std().Format(time.RFC3339Nano) }

// TimeOf converts a time.Time.
func TimeOf(t time.Time) Time { return Time(t.UnixNano()) }

// SeqID numbers a snapshot in the zone's store: 1 is the first, 0 is none.
type SeqID uint64

// Hash is a SHA-256 digest.
type Hash [32]byte

// String gives the digest in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short gives the first eight hexadecimal digits, for people.
func (h Hash) Short() string { return hex.EncodeToString(h[:4]) }

// MarshalText gives the digest in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 lower-case hexadecimal digits, and nothing else.
func (h *Hash) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(h) {
		return fmt.Errorf("%q is not a SHA-256 digest: want 64 hexadecimal digits", b)
	}
	if hex.EncodeToString(raw) != string(b) {
		return fmt.Errorf("digest %q is not in lower case", b)
	}
	copy(h[:], raw)
	return nil
}

// HID is the hash-ID of a transaction on the ledger (paper, section 4.3).
type HID = Hash

// Label is what the Behaviour Monitor says of one snapshot.
type Label uint8

// The labels. The zero value is a snapshot that was not judged.
const (
	Unjudged Label = iota
	Normal
	Malicious
)

// String gives the label's name.
func (l Label) String() string {
	switch l {
	case Unjudged:
		return "unjudged"
	case Normal:
		return "normal"
	case Malicious:
		return "malicious"
	}
	return fmt.Sprintf("label(%d)", uint8(l))
}

// MarshalText gives the label's name.
func (l Label) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a label's name, and nothing else.
func (l *Label) UnmarshalText(b []byte) error {
	for _, k := range []Label{Unjudged, Normal, Malicious} {
		if k.String() == string(b) {
			*l = k
			return nil
		}
	}
	return fmt.Errorf("%q is not a label: want unjudged, normal or malicious", b)
}

// State is where a device stands in its life.
type State uint8

// The states of a device's life, in order. The zero value is a device that
// was never seen.
const (
	StateUnseen State = iota
	StateLearning
	StateWatching
	StateMalicious
)

// String gives the state's name.
func (s State) String() string {
	switch s {
	case StateUnseen:
		return "unseen"
	case StateLearning:
		return "learning"
	case StateWatching:
		return "watching"
	case StateMalicious:
		return "malicious"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

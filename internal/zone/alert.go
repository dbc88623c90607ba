package zone

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// The reasons of a verdict.
const (
	ReasonScore  = "score"  // the window vote over the detector's scores
	ReasonSource = "source" // a source address that the device never had
	ReasonHosts  = "hosts"  // many hosts that the device never turned to before
	ReasonScan   = "scan"   // many such hosts for one service
	ReasonPorts  = "ports"  // many services that it never used before
	ReasonFlows  = "flows"  // many more connections opened in 10 seconds than ever before
	ReasonPeer   = "peer"   // many connections opened to one new host
	ReasonBurst  = "burst"  // many more sockets that send in one second
	ReasonRate   = "rate"   // many more packets in a second than ever before
	ReasonSilent = "silent" // many packets to one new host that does not answer
	ReasonQuiet  = "quiet"  // back to normal for long enough
)

// Alert is what the Behaviour Monitor says once per episode, when a device
// turns malicious. It is complete when it is raised and never changes; its
// digest stands in the verdict transaction. That an episode ended is a later
// transaction of its own.
type Alert struct {
	Zone   Hash   `json:"zone"`
	Device MAC    `json:"device"`
	Name   string `json:"name"`
	Since  Time   `json:"since"`  // first flagged snapshot of the vote window, ns since 1970
	Raised Time   `json:"raised"` // the snapshot that decided
	Packet uint64 `json:"packet"` // its index in the watched input, from 0
	Reason string `json:"reason"` // one of the constants, but ReasonQuiet
	Text   string `json:"text"`   // the reason in words
	// Score is the median of the flagged snapshots' scores; for ReasonHosts,
	// ReasonScan, ReasonPorts, ReasonFlows, ReasonPeer, ReasonBurst, ReasonRate and ReasonSilent the count, and Threshold the most tolerated.
	Score     float64 `json:"score"`
	Threshold float64 `json:"threshold"`
	Window    int     `json:"window"`  // snapshots that vote
	Span      int64   `json:"span_ns"` // and how old the oldest of them may be
	Flagged   int     `json:"flagged"` // how many of them were flagged
	Model     Hash    `json:"model"`
	First     SeqID   `json:"first_seq"` // the evidence: the device's snapshots from here
	Last      SeqID   `json:"last_seq"`  // to here
	Rows      int     `json:"rows"`
	// Contacts are the snapshots of ReasonHosts, ReasonScan, ReasonPorts, ReasonFlows, ReasonPeer and
	// ReasonBurst: the first to each host or service, or of each flow; and those of
	// ReasonSilent. The others' evidence is every snapshot of the range, and the list
	// is empty, never nil.
	Contacts []SeqID        `json:"contacts"`
	Features []AlertFeature `json:"features"`                 // those that made the score, largest share first
	Network  *AlertNetwork  `json:"network_policy,omitempty"` // nil: the device had none
}

// AlertNetwork is what of an alert's evidence lies outside the network policy that
// the device had when the alert was raised.
type AlertNetwork struct {
	SHA256   Hash          `json:"sha256"` // of the MUD file
	Names    Hash          `json:"names"`  // SHA-256 of what its names stood for, as JSON; zeros: nothing was given
	Evidence NetworkReport `json:"evidence"`
}

// AlertFeature is one feature's part in an alert.
type AlertFeature struct {
	Name     string  `json:"name"`
	Observed float64 `json:"observed"` // in the snapshot that decided
	Low      float64 `json:"low"`      // usual range while learning
	High     float64 `json:"high"`
	Share    float64 `json:"share"` // of the flagged snapshots' squared error, 0 to 1
}

// Canonical gives the alert's canonical bytes: its JSON, in the order of the
// struct, without white space.
func (a *Alert) Canonical() ([]byte, error) { return json.Marshal(a) }

// Digest is the SHA-256 of the domain string and the canonical bytes.
func (a *Alert) Digest() (Hash, error) {
	b, err := a.Canonical()
	if err != nil {
		return Hash{}, fmt.Errorf("alert of %s: %w", a.Device, err)
	}
	return sha256.Sum256(append([]byte("bellwether/alert/1\x00"), b...)), nil
}

// AlertID gives the short name of the alert with the given digest.
func AlertID(digest Hash) string { return "alert-" + hex.EncodeToString(digest[:6]) }

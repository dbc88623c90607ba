// Package contract says which transactions a zone's ledger accepts and what
// state they lead to. It is the smart contract of the paper's section 4.3: the
// embedded ledger validates with it, and the same code is a chaincode's body.
//
// It is deterministic: no clock, no randomness, no map order, no arithmetic on
// floats, no table that differs between versions of the Go library. The same
// transactions in the same order give the same state bytes on every machine.
//
// It refuses everything that is not exactly as it should be: bytes that are not
// canonical, a signature that is not by the zone's master, a number out of
// order, a value out of range, a step that a device's life does not have. Each
// refusal is a [*RejectError] with a code, and leaves the state as it was.
//
// # Transactions
//
// A transaction is about one subject, a device or the zone itself, and numbered
// 1, 2, … within it. Nothing is counted across subjects, so that transactions
// of different devices never wait for each other. Their bytes are CBOR (RFC
// 8949) in core deterministic encoding (section 4.2.1), struct fields as maps
// with integer keys, every field present. The signed form is an array:
//
//	[payload bstr, key bstr (32), signature bstr (64)]
//
// The payload holds the map
//
//	{1: zone bstr (32), 2: kind uint, 3: time int (ns since 1970),
//	 4: device bstr (6; zeros for the zone), 5: number uint, 6: body map}
//
// with the body's keys as given at each body's type. The signature is Ed25519
// (RFC 8032) over "bellwether/tx/1\x00" and the payload; the H-ID is the
// SHA-256 of "bellwether/tx-id/1\x00" and the payload. Parsing takes exactly
// the bytes that encoding gives, at most [MaxTx] of them.
//
// A member's transaction is signed by the member, as a COSE_Sign1 (package cose)
// with the external data "bellwether/member-tx/1\x00", and stands on the ledger
// as an array with the time at which the master received it:
//
//	[received int (ns since 1970), COSE_Sign1 bstr]
//
// Its payload is the same map, with the time by the member's own clock, which
// nothing depends on, and with the member's name (text) under 4. It is numbered
// within the member.
//
// # State
//
// The state is one key for the zone ("zone"), one for each device
// ("device/aa:bb:cc:dd:ee:ff"), and for the members those of roll.go, so it
// grows with the devices and not with time.
package contract

import (
	"fmt"
	"time"

	"bellwether/internal/zone"
)

// MaxTx is the largest signed transaction in bytes.
const MaxTx = 64 << 10

// Kind says what a transaction records.
type Kind uint8

// The kinds. Their numbers are part of the format.
const (
	KindZoneCreated Kind = iota + 1
	KindDeviceSeen
	KindDeviceRenamed
	KindModelAccepted
	KindSegmentRecorded
	KindVerdictChanged
	KindOperatorAction
	KindAssociated
	KindMessage
	KindMemberAction
	KindEpochBegun
	KindPolicySet
	KindNetworkPolicySet
)

// String gives the kind's name.
func (k Kind) String() string {
	switch k {
	case KindZoneCreated:
		return "zone-created"
	case KindDeviceSeen:
		return "device-seen"
	case KindDeviceRenamed:
		return "device-renamed"
	case KindModelAccepted:
		return "model-accepted"
	case KindSegmentRecorded:
		return "segment-recorded"
	case KindVerdictChanged:
		return "verdict-changed"
	case KindOperatorAction:
		return "operator-action"
	case KindAssociated:
		return "associated"
	case KindMessage:
		return "message"
	case KindMemberAction:
		return "member-action"
	case KindEpochBegun:
		return "epoch-begun"
	case KindPolicySet:
		return "policy-set"
	case KindNetworkPolicySet:
		return "network-policy-set"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Tx is a transaction before it is signed.
type Tx struct {
	Zone   zone.Hash // the group ID
	Kind   Kind      // that of Body; Sign fills in a zero
	Time   zone.Time // when it happened, not when it was recorded; not before 1970. A member's: when the master received it
	Device zone.MAC  // the subject; zero: the zone, its roll of members, or Member
	N      uint64    // 1, 2, … within the subject
	Body   Body

	Member zone.MemberID // who signed it; empty: the master
	Sent   zone.Time     // a member's: by its own clock, right or wrong
}

// byMember reports the kinds that members sign; the master signs the others.
func (k Kind) byMember() bool { return k == KindAssociated || k == KindMessage }

// ofRoll reports the kinds that are about who belongs to the zone and what
// members may do.
func (k Kind) ofRoll() bool {
	return k == KindMemberAction || k == KindEpochBegun || k == KindPolicySet
}

// Subject names what the transaction is numbered within.
func (t *Tx) Subject() string {
	switch {
	case t.Member != "":
		return memberKey(t.Member)
	case t.Kind.ofRoll():
		return rollKey
	case t.Device == zone.MAC{}:
		return zoneKey
	}
	return deviceKey(t.Device)
}

// Body is what a transaction says. The types below are all there are.
type Body interface{ kind() Kind }

// ZoneCreated is the first transaction of a ledger. The group ID follows from
// it, see [GroupID].
type ZoneCreated struct {
	Name    string   `cbor:"1,keyasint"` // 1 to 128 bytes, printable
	UseCase string   `cbor:"2,keyasint"` // at most 128 bytes, printable
	Master  [32]byte `cbor:"3,keyasint"` // the master's Ed25519 public key
}

// DeviceSeen is a device's first transaction: the zone saw it first at Tx.Time,
// and is learning it.
type DeviceSeen struct {
	Name string `cbor:"1,keyasint"` // at most 128 bytes, printable
}

// DeviceRenamed gives a device another name for people; empty takes it away.
type DeviceRenamed struct {
	Name string `cbor:"1,keyasint"` // at most 128 bytes, printable
}

// ModelAccepted ends learning, or takes the place of the model of a device that
// is watched: from now on it is watched with this model.
type ModelAccepted struct {
	Digest    zone.Hash     `cbor:"1,keyasint"` // of the model's bytes
	Features  zone.Hash     `cbor:"2,keyasint"` // of the definition of its inputs
	First     zone.SeqID    `cbor:"3,keyasint"` // the rows it learned from: first,
	Last      zone.SeqID    `cbor:"4,keyasint"` // last,
	Rows      uint64        `cbor:"5,keyasint"` // how many of this device
	From      zone.Time     `cbor:"6,keyasint"` // and their oldest
	To        zone.Time     `cbor:"7,keyasint"` // and newest time
	Threshold float64       `cbor:"8,keyasint"` // scores above it count as flagged
	Rule      string        `cbor:"9,keyasint"` // how the threshold was set; 1 to 128 bytes, printable
	Window    uint32        `cbor:"10,keyasint"`
	Span      time.Duration `cbor:"11,keyasint"` // of the vote window; 0 or more
}

// SegmentRecorded fixes a closed run of a device's stored rows.
type SegmentRecorded struct {
	First     zone.SeqID `cbor:"1,keyasint"` // above every row recorded before
	Last      zone.SeqID `cbor:"2,keyasint"`
	Rows      uint64     `cbor:"3,keyasint"` // of this device, at most Last-First+1
	Root      zone.Hash  `cbor:"4,keyasint"` // RFC 6962 root over the rows' leaf hashes
	Normal    uint64     `cbor:"5,keyasint"` // Normal + Malicious + Unjudged = Rows
	Malicious uint64     `cbor:"6,keyasint"`
	Unjudged  uint64     `cbor:"7,keyasint"`
}

// VerdictChanged says that a watched device turned malicious, or that a
// malicious one is back to what it was.
type VerdictChanged struct {
	From      zone.State `cbor:"1,keyasint"` // the device's state until now
	To        zone.State `cbor:"2,keyasint"`
	Reason    string     `cbor:"3,keyasint"`  // a code of 1 to 32 of a-z, 0-9 and -
	First     zone.SeqID `cbor:"4,keyasint"`  // the evidence: rows from here
	Last      zone.SeqID `cbor:"5,keyasint"`  // to here; both 0: none
	Score     float64    `cbor:"6,keyasint"`  // finite, not negative
	Threshold float64    `cbor:"7,keyasint"`  // finite, not negative
	Model     zone.Hash  `cbor:"8,keyasint"`  // the device's accepted model
	Alert     zone.Hash  `cbor:"9,keyasint"`  // digest of the alert record; needed to turn malicious
	Since     zone.Time  `cbor:"10,keyasint"` // when it began; not after Tx.Time
}

// The actions of an operator.
const (
	ActionRelearn   = "relearn"   // forget the model; a device only
	ActionSilence   = "silence"   // no alerts raised from Tx.Time until Until; one silence takes the place of another
	ActionUnsilence = "unsilence" // take that back
)

// OperatorAction is what a person decided about a device, or about the zone.
type OperatorAction struct {
	Action string    `cbor:"1,keyasint"`
	Until  zone.Time `cbor:"2,keyasint"` // silence: after Tx.Time; else 0
	Note   string    `cbor:"3,keyasint"` // at most 512 bytes, printable
}

// NetworkPolicySet fixes which MUD file (RFC 8520) says where a device may
// connect to.
type NetworkPolicySet struct {
	Digest zone.Hash `cbor:"1,keyasint"` // SHA-256 of the file; zeros: none any more
	Note   string    `cbor:"2,keyasint"` // at most 512 bytes, printable
}

func (*ZoneCreated) kind() Kind      { return KindZoneCreated }
func (*DeviceSeen) kind() Kind       { return KindDeviceSeen }
func (*DeviceRenamed) kind() Kind    { return KindDeviceRenamed }
func (*ModelAccepted) kind() Kind    { return KindModelAccepted }
func (*SegmentRecorded) kind() Kind  { return KindSegmentRecorded }
func (*VerdictChanged) kind() Kind   { return KindVerdictChanged }
func (*OperatorAction) kind() Kind   { return KindOperatorAction }
func (*Associated) kind() Kind       { return KindAssociated }
func (*Message) kind() Kind          { return KindMessage }
func (*MemberAction) kind() Kind     { return KindMemberAction }
func (*EpochBegun) kind() Kind       { return KindEpochBegun }
func (*PolicySet) kind() Kind        { return KindPolicySet }
func (*NetworkPolicySet) kind() Kind { return KindNetworkPolicySet }

// newBody gives an empty body of kind k, or nil if there is no such kind.
func newBody(k Kind) Body {
	switch k {
	case KindZoneCreated:
		return new(ZoneCreated)
	case KindDeviceSeen:
		return new(DeviceSeen)
	case KindDeviceRenamed:
		return new(DeviceRenamed)
	case KindModelAccepted:
		return new(ModelAccepted)
	case KindSegmentRecorded:
		return new(SegmentRecorded)
	case KindVerdictChanged:
		return new(VerdictChanged)
	case KindOperatorAction:
		return new(OperatorAction)
	case KindAssociated:
		return new(Associated)
	case KindMessage:
		return new(Message)
	case KindMemberAction:
		return new(MemberAction)
	case KindEpochBegun:
		return new(EpochBegun)
	case KindPolicySet:
		return new(PolicySet)
	case KindNetworkPolicySet:
		return new(NetworkPolicySet)
	}
	return nil
}

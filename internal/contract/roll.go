package contract

import (
	"encoding/hex"
	"strings"

	"bellwether/internal/zone"
)

// The state of the members: the roll ("roll"), the policy ("policy"), for each
// member its entry ("member/NAME") and its key ("key/HEX"), and the data that it
// keeps in the zone ("data/NAME/OBJECT").
const (
	rollKey      = "roll"
	policyKey    = "policy"
	memberPrefix = "member/"
	keyPrefix    = "key/"
	dataPrefix   = "data/"
)

func memberKey(id zone.MemberID) string { return memberPrefix + string(id) }
func keyKey(key [32]byte) string        { return keyPrefix + hex.EncodeToString(key[:]) }
func dataKey(owner zone.MemberID, object string) string {
	return dataPrefix + string(owner) + "/" + object
}

// The bounds of what members may say and keep.
const (
	MaxPayload = 64 << 10 // bytes of one message's payload
	MaxObjects = 64       // data objects of one member
	MaxPolicy  = 48 << 10 // bytes of the policy's text
	maxObject  = 64
)

// RollState is what the ledger says of the roll. A zone without members has none,
// which is the same as its zero value.
type RollState struct {
	Epoch  uint64   `cbor:"1,keyasint"` // tickets of earlier ones do not hold
	N      uint64   `cbor:"2,keyasint"` // of the roll's newest transaction
	Newest zone.HID `cbor:"3,keyasint"` // and its H-ID
}

// PolicyState is the policy in force. A zone without one goes by package
// policy's default.
type PolicyState struct {
	Text string   `cbor:"1,keyasint"`
	N    uint64   `cbor:"2,keyasint"` // of the transaction that set it: the policy's version
	ID   zone.HID `cbor:"3,keyasint"` // and its H-ID
}

// MemberState is what the ledger says of one member.
type MemberState struct {
	Member     zone.MemberID `cbor:"1,keyasint"`
	Key        [32]byte      `cbor:"2,keyasint"` // zeros: revoked before it ever associated
	Revoked    bool          `cbor:"3,keyasint"` // until it is released
	N          uint64        `cbor:"4,keyasint"` // of the member's newest transaction
	Newest     zone.HID      `cbor:"5,keyasint"` // and its H-ID
	Role       string        `cbor:"6,keyasint"` // this and the next five: of its ticket
	Maker      string        `cbor:"7,keyasint"`
	Firmware   zone.Hash     `cbor:"8,keyasint"`
	MAC        zone.MAC      `cbor:"9,keyasint"`
	Until      uint64        `cbor:"10,keyasint"`
	Epoch      uint64        `cbor:"11,keyasint"`
	Serial     uint64        `cbor:"12,keyasint"` // the next ticket's is higher
	Seal       [32]byte      `cbor:"13,keyasint"` // X25519 public key that payloads to it are encrypted to; zeros: none
	Associated zone.Time     `cbor:"14,keyasint"` // first
	Objects    uint64        `cbor:"15,keyasint"` // that it keeps
	Joined     uint64        `cbor:"16,keyasint"` // the block that it first associated in
	// Released is the Since of the newest malicious verdict about its device, or
	// about what it says, that the operator has put aside; 0: none.
	Released zone.Time `cbor:"17,keyasint"`
}

// DataState is one object that a member keeps in the zone.
type DataState struct {
	Hash    zone.Hash `cbor:"1,keyasint"` // of its payload, see Message
	Size    uint32    `cbor:"2,keyasint"`
	Version uint64    `cbor:"3,keyasint"` // 1, 2, … with each update
	ID      zone.HID  `cbor:"4,keyasint"` // the transaction that made this version
}

// ReadRoll gives the roll.
func ReadRoll(s Reader) (RollState, error) {
	var r RollState
	_, err := read(s, rollKey, &r)
	return r, err
}

// ReadPolicy gives the policy, and whether one was ever set.
func ReadPolicy(s Reader) (PolicyState, bool, error) {
	var p PolicyState
	ok, err := read(s, policyKey, &p)
	return p, ok, err
}

// ReadMember gives a member, and whether the ledger knows it.
func ReadMember(s Reader, id zone.MemberID) (MemberState, bool, error) {
	var m MemberState
	ok, err := read(s, memberKey(id), &m)
	return m, ok, err
}

// ReadKey gives the member that has the key, empty for none.
func ReadKey(s Reader, key [32]byte) (zone.MemberID, error) {
	var id zone.MemberID
	_, err := read(s, keyKey(key), &id)
	return id, err
}

// ReadData gives an object, and whether it is there.
func ReadData(s Reader, owner zone.MemberID, object string) (DataState, bool, error) {
	var d DataState
	ok, err := read(s, dataKey(owner, object), &d)
	return d, ok, err
}

// Members gives every follower that the ledger knows, by name. The master, which
// has an entry too once it spoke, is not among them.
func Members(s Reader) ([]MemberState, error) {
	keys, err := s.Keys(memberPrefix)
	if err != nil {
		return nil, err
	}
	members := make([]MemberState, 0, len(keys))
	for _, key := range keys {
		var m MemberState
		if _, err := read(s, key, &m); err != nil {
			return nil, err
		}
		if m.Member != zone.Master {
			members = append(members, m)
		}
	}
	return members, nil
}

// Objects gives the names of the objects that a member keeps.
func Objects(s Reader, owner zone.MemberID) ([]string, error) {
	prefix := dataKey(owner, "")
	keys, err := s.Keys(prefix)
	for i := range keys {
		keys[i] = strings.TrimPrefix(keys[i], prefix)
	}
	return keys, err
}

// The actions on a member.
const (
	ActionRevoke  = "revoke"  // nothing more is taken from it
	ActionRelease = "release" // that is over, and so is what its device's malicious verdict of now led to
)

// MemberAction is what an operator decided about a member. A name that was never
// associated can be revoked, so that a ticket that is out is worth nothing.
type MemberAction struct {
	Action string        `cbor:"1,keyasint"`
	Member zone.MemberID `cbor:"2,keyasint"`
	Note   string        `cbor:"3,keyasint"` // at most 512 bytes, printable
}

// EpochBegun ends every ticket: from now on only those of this epoch hold.
type EpochBegun struct {
	Epoch uint64 `cbor:"1,keyasint"` // the next one
	Note  string `cbor:"2,keyasint"` // at most 512 bytes, printable
}

// PolicySet gives the zone another policy.
type PolicySet struct {
	Text string `cbor:"1,keyasint"` // see package policy; at most MaxPolicy bytes
	Note string `cbor:"2,keyasint"` // at most 512 bytes, printable
}

// applyToRoll takes what the master says of members.
func (v *Validator) applyToRoll(s State, t *Signed) error {
	r, err := ReadRoll(s)
	if err != nil {
		return err
	}
	if err := t.follows(r.N, r.Newest); err != nil {
		return err
	}
	r.N, r.Newest = t.N, t.ID
	switch b := t.Body.(type) {
	case *MemberAction:
		err = b.apply(s)
	case *EpochBegun:
		if b.Epoch != r.Epoch+1 {
			return reject(CodeTransition, "epoch %d follows on %d", b.Epoch, r.Epoch)
		}
		r.Epoch = b.Epoch
	case *PolicySet:
		err = v.setPolicy(s, t, b)
	}
	if err != nil {
		return err
	}
	return write(s, rollKey, r)
}

func (b *MemberAction) apply(s State) error {
	m, known, err := ReadMember(s, b.Member)
	if err != nil {
		return err
	}
	if b.Action == ActionRevoke {
		if m.Revoked {
			return reject(CodeTransition, "%s is revoked already", b.Member)
		}
		m.Member, m.Revoked = b.Member, true
		return write(s, memberKey(b.Member), m)
	}
	verdict, malicious, err := m.malicious(s)
	if err != nil {
		return err
	}
	if !known || !m.Revoked && (!malicious || verdict <= m.Released) {
		return reject(CodeTransition, "there is nothing that %s could be released from", b.Member)
	}
	m.Revoked = false
	if malicious {
		m.Released = verdict
	}
	return write(s, memberKey(b.Member), m)
}

// malicious says whether the member's device is, or what it says, and since when
// the later of them.
func (m *MemberState) malicious(s Reader) (since zone.Time, yes bool, err error) {
	voice, _ := m.Member.Voice()
	for _, mac := range []zone.MAC{m.MAC, voice} {
		d, seen, err := ReadDevice(s, mac)
		if err != nil {
			return 0, false, err
		}
		if seen && d.State == zone.StateMalicious {
			since, yes = max(since, d.Since), true
		}
	}
	return since, yes, nil
}

// Standing says what keeps a member from speaking at a height: nil for nothing,
// else a [*RejectError]. Its errors of other types are the state's.
func (m *MemberState) Standing(s Reader, height uint64) error {
	r, err := ReadRoll(s)
	if err != nil {
		return err
	}
	since, malicious, err := m.malicious(s)
	switch {
	case err != nil:
		return err
	case m.Revoked:
		return reject(CodeRevoked, "%s was revoked", m.Member)
	case m.Epoch != r.Epoch:
		return reject(CodeExpired, "the ticket of %s is of epoch %d, this is %d", m.Member, m.Epoch, r.Epoch)
	case height > m.Until:
		return reject(CodeExpired, "the ticket of %s was for blocks up to %d, this is %d", m.Member, m.Until, height)
	case malicious && since > m.Released:
		return reject(CodeBehaviour, "the device of %s, %s, or what it says has been malicious since %s", m.Member, m.MAC, since)
	}
	return nil
}

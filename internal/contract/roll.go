package contract

import (
	"encoding/hex"
	"strings"

	"bellwether/internal/zone"
)

// The state of the members: the roll ("roll"), the policy ("policy"), for each
// member its entry ("member/NAME"), its key ("key/HEX") and what it has asked
// ("ask/NAME"), and the data that it keeps in the zone ("data/NAME/OBJECT").
const (
	rollKey      = "roll"
	policyKey    = "policy"
	memberPrefix = "member/"
	keyPrefix    = "key/"
	askPrefix    = "ask/"
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
	// The malicious verdicts, about its device and about what it says, that the
	// operator has put aside. Every other one counts.
	DeviceReleased Verdict `cbor:"17,keyasint,omitzero"`
	VoiceReleased  Verdict `cbor:"18,keyasint,omitzero"`
}

// Verdict is one by which a device is malicious. Zeros: none.
type Verdict struct {
	MAC   zone.MAC  `cbor:"1,keyasint" json:"mac"`
	Since zone.Time `cbor:"2,keyasint" json:"since"` // see DeviceState
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
	r, _, err := readKnown[RollState](s, rollKey)
	return r, err
}

// ReadPolicy gives the policy, and whether one was ever set.
func ReadPolicy(s Reader) (PolicyState, bool, error) {
	return read[PolicyState](s, policyKey)
}

// ReadMember gives a member, and whether the ledger knows it.
func ReadMember(s Reader, id zone.MemberID) (MemberState, bool, error) {
	return readKnown[MemberState](s, memberKey(id))
}

// ReadKey gives the member that has the key, empty for none.
func ReadKey(s Reader, key [32]byte) (zone.MemberID, error) {
	id, _, err := read[zone.MemberID](s, keyKey(key))
	return id, err
}

// ReadData gives an object, and whether it is there.
func ReadData(s Reader, owner zone.MemberID, object string) (DataState, bool, error) {
	return read[DataState](s, dataKey(owner, object))
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
		m, _, err := read[MemberState](s, key)
		if err != nil {
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
	ActionRelease = "release" // that is over, and so is what the malicious verdicts in force led to
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
		return m.revoke(s, b.Member)
	}
	verdict, err := m.verdict(s)
	if err != nil {
		return err
	}
	if !known || !m.Revoked && verdict == (Verdict{}) {
		return reject(CodeTransition, "there is nothing that %s could be released from", b.Member)
	}
	m.Revoked = false
	if m.DeviceReleased, m.VoiceReleased, err = m.Verdicts(s); err != nil {
		return err
	}
	return write(s, memberKey(b.Member), m)
}

// revoke also closes what the member has asked: nothing can reach it.
func (m *MemberState) revoke(s State, id zone.MemberID) error {
	if m.Revoked {
		return reject(CodeTransition, "%s is revoked already", id)
	}
	open, err := ReadOpen(s, id)
	if err != nil {
		return err
	}
	if open != nil {
		if err := s.Put(askKey(id), nil); err != nil {
			return err
		}
	}
	m.Member, m.Revoked = id, true
	return write(s, memberKey(id), m)
}

// Verdicts gives the malicious verdicts in force about the member's device and about
// what it says, put aside or not.
func (m *MemberState) Verdicts(s Reader) (device, voice Verdict, err error) {
	if device, err = verdictOf(s, m.MAC); err != nil {
		return device, voice, err
	}
	mac, _ := m.Member.Voice()
	voice, err = verdictOf(s, mac)
	return device, voice, err
}

func verdictOf(s Reader, mac zone.MAC) (Verdict, error) {
	d, seen, err := ReadDevice(s, mac)
	if err != nil || !seen || d.State != zone.StateMalicious {
		return Verdict{}, err
	}
	return Verdict{MAC: mac, Since: d.Since}, nil
}

// verdict gives one that counts against the member.
func (m *MemberState) verdict(s Reader) (Verdict, error) {
	device, voice, err := m.Verdicts(s)
	if device != (Verdict{}) && device != m.DeviceReleased {
		return device, err
	}
	if voice != m.VoiceReleased {
		return voice, err
	}
	return Verdict{}, err
}

// about says what the verdict is about.
func (v Verdict) about(m *MemberState) string {
	if v.MAC == m.MAC {
		return "the device " + v.MAC.String()
	}
	return "the voice"
}

// Standing says what keeps a member from speaking at a height: nil for nothing,
// else a [*RejectError]. Its errors of other types are the state's.
func (m *MemberState) Standing(s Reader, height uint64) error {
	r, err := ReadRoll(s)
	if err != nil {
		return err
	}
	verdict, err := m.verdict(s)
	switch {
	case err != nil:
		return err
	case m.Revoked:
		return reject(CodeRevoked, "%s was revoked", m.Member)
	case verdict != Verdict{}: // before its ticket: another one would not help
		return reject(CodeBehaviour, "%s of %s has been malicious since %s", verdict.about(m), m.Member, verdict.Since)
	case m.Epoch != r.Epoch:
		return reject(CodeExpired, "the ticket of %s is of epoch %d, this is %d", m.Member, m.Epoch, r.Epoch)
	case height > m.Until:
		return reject(CodeExpired, "the ticket of %s was for blocks up to %d, this is %d", m.Member, m.Until, height)
	}
	return nil
}

package contract

import (
	"errors"

	"bellwether/internal/zone"
)

// Reaches reports whether a member may say anything to another one at a height: by
// the policy a sealed send, request or reply of no bytes, or something on its data,
// of which the objects that it keeps are asked for, and one without a name. The
// master reaches every member, a member itself, and who may not speak nobody.
func (v *Validator) Reaches(s Reader, height uint64, from, to zone.MemberID) (bool, error) {
	if to == zone.Master || to == zone.Everyone {
		return false, nil // there is no key that is theirs
	}
	m, _, err := ReadMember(s, from)
	if err != nil {
		return false, err
	}
	if from != zone.Master {
		if err := m.Standing(s, height); m.Key == [32]byte{} || err != nil {
			return false, stateError(err)
		}
	}
	other, known, err := ReadMember(s, to)
	switch {
	case err != nil || !known || other.Key == [32]byte{}:
		return false, err
	case from == zone.Master || from == to:
		return true, nil
	case other.Revoked:
		return false, nil
	}
	for _, op := range []Op{OpSend, OpRequest, OpReply} {
		if ok, err := v.allowed(s, height, &Message{To: to, Op: op, Sealed: true}, &m, &other); ok || err != nil {
			return ok, err
		}
	}
	return v.reachesData(s, height, &m, &other)
}

// reachesData is Reaches for the data that the other member keeps.
func (v *Validator) reachesData(s Reader, height uint64, from, to *MemberState) (bool, error) {
	names, err := Objects(s, to.Member)
	if err != nil {
		return false, err
	}
	for _, name := range append(names, "") {
		for op := OpCreate; op <= OpDelete; op++ {
			if ok, err := v.allowed(s, height, &Message{To: to.Member, Op: op, Object: name, Sealed: true}, from, to); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

// allowed is allow as an answer.
func (v *Validator) allowed(s Reader, height uint64, b *Message, from, to *MemberState) (bool, error) {
	err := v.allow(s, height, b, from, to)
	return err == nil, stateError(err)
}

// stateError drops an error that is the contract's own.
func stateError(err error) error {
	var refused *RejectError
	if errors.As(err, &refused) {
		return nil
	}
	return err
}

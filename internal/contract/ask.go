package contract

import (
	"maps"
	"slices"

	"bellwether/internal/zone"
)

// MaxOpen is how many requests of one member are open at a time. One more closes
// the oldest.
const MaxOpen = 32

// OpenRequests are what a member has asked and nobody has replied to ("ask/NAME"),
// by the number of its transaction. A member without any has no such key. They
// outlive a renewal and an epoch; a revocation of the member closes them.
type OpenRequests map[uint64]OpenRequest

// OpenRequest is a request that may be replied to, once.
type OpenRequest struct {
	_  struct{} `cbor:",toarray"`
	ID zone.HID
	To zone.MemberID // who may
}

func askKey(id zone.MemberID) string { return askPrefix + string(id) }

// ReadOpen gives the open requests of a member, or of the master.
func ReadOpen(s Reader, id zone.MemberID) (OpenRequests, error) {
	o, _, err := read[OpenRequests](s, askKey(id))
	return o, err
}

// ask opens a request of the member, whose newest transaction it is.
func (m *MemberState) ask(s State, b *Message) error {
	open, err := ReadOpen(s, m.Member)
	if err != nil {
		return err
	}
	if open == nil {
		open = OpenRequests{}
	}
	open[m.N] = OpenRequest{ID: m.Newest, To: b.To}
	if len(open) > MaxOpen {
		delete(open, slices.Min(slices.Collect(maps.Keys(open))))
	}
	return write(s, askKey(m.Member), open)
}

// reply closes the request that the message replies to.
func (m *MemberState) reply(s State, b *Message) error {
	open, err := ReadOpen(s, b.To)
	if err != nil {
		return err
	}
	before := len(open)
	maps.DeleteFunc(open, func(_ uint64, o OpenRequest) bool { return o == OpenRequest{ID: b.Ref, To: m.Member} })
	switch len(open) {
	case before:
		return reject(CodeUnasked, "%s waits for no reply of %s to %s: it never asked that, had its reply, or has %d newer requests open", b.To, m.Member, b.Ref.Short(), MaxOpen)
	case 0:
		return s.Put(askKey(b.To), nil)
	}
	return write(s, askKey(b.To), open)
}

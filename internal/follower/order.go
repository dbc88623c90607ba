package follower

import (
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// Order is something that the application wants said to the zone.
type Order struct {
	_       struct{}      `cbor:",toarray"`
	ID      string        // the application's own name for it, at most 64 bytes; given again, it is the same order. Empty: none
	To      zone.MemberID // a member, "master", or for a send "*"; for data: whose
	Op      contract.Op
	Object  string   // of data; else empty
	Ref     zone.HID // of a reply: the request's H-ID; else zeros
	Content []byte   // without the random bytes that a payload begins with
	Seal    bool     // encrypt the content to To

	// Ticket makes it an association with this ticket; everything else is empty
	// then. The follower gives these orders itself.
	Ticket []byte
}

const maxID = 64

// carries reports the operations with a payload.
func carries(op contract.Op) bool { return op != contract.OpRead && op != contract.OpDelete }

// check refuses what the follower itself could not send; the contract's rules are
// asked when it is accepted, see [Follower.Accept].
func (o *Order) check() error {
	most := message.MaxContent
	if o.Seal {
		most = message.MaxSealed
	}
	switch {
	case len(o.ID) > maxID:
		return fmt.Errorf("an id of %d bytes, at most %d", len(o.ID), maxID)
	case o.Op < contract.OpSend || o.Op > contract.OpDelete:
		return errors.New("there is no such operation")
	case len(o.Content) > most:
		return fmt.Errorf("%d bytes are over the limit of %d", len(o.Content), most)
	case !carries(o.Op) && (len(o.Content) > 0 || o.Seal):
		return fmt.Errorf("a %s carries nothing", o.Op)
	case o.Seal && (o.To == zone.Master || o.To == zone.Everyone):
		return fmt.Errorf("only what goes to one follower can be sealed, not to %q", o.To)
	}
	return nil
}

// transaction gives the order as the n-th transaction of the follower. The payload
// is nil for what carries none.
func (o *Order) transaction(group zone.Hash, me zone.MemberID, n uint64, now zone.Time, payload []byte) *contract.Tx {
	b := &contract.Message{To: o.To, Op: o.Op, Object: o.Object, Ref: o.Ref, Sealed: o.Seal}
	if carries(o.Op) {
		b.Hash, b.Size = contract.PayloadHash(payload), uint32(len(payload))
	}
	return &contract.Tx{Zone: group, N: n, Member: me, Sent: now, Body: b}
}

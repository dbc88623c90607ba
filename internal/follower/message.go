package follower

import (
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// Message is what a member said.
type Message struct {
	Position uint64 // in the inbox; 0: none
	ID       zone.HID
	From     zone.MemberID
	Key      [32]byte // that signed it
	To       zone.MemberID
	Op       contract.Op
	Object   string
	Ref      zone.HID
	Received zone.Time // by the master
	Sent     zone.Time // by the sender's clock, right or wrong
	N        uint64    // of the sender
	Sealed   bool
	Content  []byte
	Closed   error // sealed, and cannot be opened: not with this follower's key
}

// open checks a member's transaction and its payload, and opens what is sealed to
// this follower.
func (f *Follower) open(object, payload []byte, received zone.Time) (*Message, error) {
	tx, err := memberTx(object, received, f.invite.Zone)
	if err != nil {
		return nil, err
	}
	b, ok := tx.Body.(*contract.Message)
	if !ok {
		return nil, fmt.Errorf("%s is no message", tx.Kind)
	}
	if tx.Member == zone.Master && [32]byte(tx.Key) != f.invite.Master {
		return nil, fmt.Errorf("a message in the master's name by key %x", tx.Key[:4])
	}
	m := &Message{ID: tx.ID, From: tx.Member, Key: [32]byte(tx.Key), To: b.To, Op: b.Op, Object: b.Object, Ref: b.Ref,
		Received: received, Sent: tx.Sent, N: tx.N, Sealed: b.Sealed}
	if !carries(b.Op) {
		return m, nil
	}
	if contract.PayloadHash(payload) != b.Hash || int(b.Size) != len(payload) {
		return nil, fmt.Errorf("the payload is not the one that %s signed", tx.Member)
	}
	if b.Sealed {
		m.Content, m.Closed = message.Unseal(f.seal, message.Envelope{Zone: tx.Zone, From: tx.Member, To: b.To, N: tx.N}, payload)
		return m, nil
	}
	m.Content, err = message.Content(payload)
	return m, err
}

// memberTx reads a member's COSE_Sign1 and checks its signature.
func memberTx(object []byte, received zone.Time, group zone.Hash) (*contract.Signed, error) {
	raw, err := contract.Receive(object, received)
	if err != nil {
		return nil, err
	}
	tx, err := contract.Parse(raw)
	if err != nil {
		return nil, err
	}
	if tx.Zone != group {
		return nil, fmt.Errorf("a transaction of zone %s", tx.Zone.Short())
	}
	return tx, tx.Verify()
}

// recipientKey gives the key to encrypt to, from the transaction with which the
// recipient associated last; zeros: it has none.
func (f *Follower) recipientKey(name zone.MemberID, object []byte) (key [32]byte, err error) {
	if len(object) == 0 {
		return key, nil
	}
	tx, err := memberTx(object, 0, f.invite.Zone)
	if err != nil {
		return key, err
	}
	b, ok := tx.Body.(*contract.Associated)
	if !ok || tx.Member != name {
		return key, fmt.Errorf("the master answers the question for %s with %s of %s", name, tx.Kind, tx.Member)
	}
	if _, err := checkTicket(b.Ticket, f.invite, message.Identity{Member: name, Key: tx.Key}); err != nil {
		return key, err
	}
	return b.Seal, nil
}

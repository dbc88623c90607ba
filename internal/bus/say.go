package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// Say is what the master says to a member, or to everyone.
type Say struct {
	To      zone.MemberID `json:"to"`
	Request bool          `json:"request,omitempty"` // it is one, which the member may reply to
	Reply   zone.HID      `json:"reply,omitzero"`    // the request that this replies to; zeros: none
	Content []byte        `json:"content"`
	Seal    bool          `json:"seal,omitempty"` // encrypt it to the member
}

// saying is a Say on its way to the committer.
type saying struct {
	Say
	id   zone.HID
	err  error // that it is the sender's fault
	done chan struct{}
}

// Say puts a message of the master on the ledger, from where it is delivered like
// any other, and gives its H-ID. It is durable on return. Refusals are
// [*contract.RejectError].
func (h *Hub) Say(ctx context.Context, what Say) (zone.HID, error) {
	w := &saying{Say: what, done: make(chan struct{})}
	select {
	case h.own <- w:
	case <-ctx.Done():
		return zone.HID{}, ctx.Err()
	}
	select {
	case <-w.done:
		return w.id, w.err
	case <-ctx.Done():
		return zone.HID{}, fmt.Errorf("it may be said all the same: %w", ctx.Err())
	}
}

// say is the committer's part: what the contract takes has its payload stored first,
// then comes the transaction. The error is one of the hub.
func (h *Hub) say(ctx context.Context, w *saying) error {
	defer close(w.done)
	tx, payload, err := h.compose(w.Say)
	if err != nil {
		w.err = err
		return nil
	}
	object, err := tx.SignMember(h.master)
	if err != nil {
		w.err = err
		return nil
	}
	now := zone.TimeOf(time.Now())
	raw, err := contract.Receive(object, now)
	if err != nil {
		return err
	}
	c, err := contract.Check(raw)
	if err == nil {
		w.id = c.Tx().ID
		err = h.validator.ApplyChecked(newTrial(h.ledger.State()), h.ledger.Height(), c)
	}
	if err == nil {
		err = h.payloads.add(h.ledger.Height(), now, []stored{{id: w.id, from: zone.Master, payload: payload}})
	}
	if err == nil {
		err = h.ledger.SubmitChecked(ctx, c)
	}
	if refused := (*contract.RejectError)(nil); errors.As(err, &refused) {
		w.err = err
		return nil
	}
	if err == nil {
		err = h.ledger.Commit(ctx)
	}
	if err == nil {
		err = h.follow(ctx, nil)
	}
	if err != nil {
		w.err = fmt.Errorf("it is not known whether it was said: %w", err)
	}
	return err
}

// compose gives the master's next transaction, and the payload that goes with it.
func (h *Hub) compose(w Say) (*contract.Tx, []byte, error) {
	state := h.ledger.State()
	me, _, err := contract.ReadMember(state, zone.Master)
	if err != nil {
		return nil, nil, err
	}
	b := &contract.Message{To: w.To, Op: contract.OpSend, Ref: w.Reply, Sealed: w.Seal}
	switch {
	case w.Request && w.Reply != (zone.HID{}):
		return nil, nil, errors.New("a request or a reply, not both")
	case w.Request:
		b.Op = contract.OpRequest
	case w.Reply != (zone.HID{}):
		b.Op = contract.OpReply
	}
	tx := &contract.Tx{Zone: h.zone, Member: zone.Master, Sent: zone.TimeOf(time.Now()), N: me.N + 1, Body: b}
	var payload []byte
	if w.Seal {
		to, _, err := contract.ReadMember(state, w.To)
		if err != nil {
			return nil, nil, err
		}
		if to.Seal == [32]byte{} {
			return nil, nil, fmt.Errorf("%s has no key that could be encrypted to", w.To)
		}
		payload, err = message.Seal(to.Seal, message.Envelope{Zone: h.zone, From: zone.Master, To: w.To, N: tx.N}, w.Content)
		if err != nil {
			return nil, nil, err
		}
	} else if payload, err = message.Salted(w.Content); err != nil {
		return nil, nil, err
	}
	b.Hash, b.Size = contract.PayloadHash(payload), uint32(len(payload))
	return tx, payload, nil
}

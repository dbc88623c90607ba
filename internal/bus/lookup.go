package bus

import (
	"context"
	"sync"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// lookupCost is how many bytes of its rate a lookup takes: it may read a block.
const lookupCost = 4 << 10

// perNothing is how many messages a lookup counts as, more, that is answered with
// nothing: the policy was asked about every object of the other, or may have been.
const perNothing = 15

// reach decides who may look up whom. It keeps the compiled policy.
type reach struct {
	mu        sync.Mutex
	validator contract.Validator
}

// lookup answers with the transaction that a member associated with last, for who may
// say anything to it. Anybody else hears what it would hear of a name that there is
// not.
func (s *session) lookup(ctx context.Context, f *message.Lookup) contract.Code {
	raw, err := s.hub.found(ctx, s, f.Member)
	if err != nil {
		s.hub.o.Log.Error("lookup", "member", f.Member, "error", err)
	}
	if raw == nil && !s.pay(perNothing, 0) {
		return byeClosed
	}
	s.answer(&message.Member{Member: f.Member, Object: raw}, endsRequest)
	return ""
}

// found gives what the one may know of the other, nil for nothing.
func (h *Hub) found(ctx context.Context, s *session, name zone.MemberID) ([]byte, error) {
	if s.standing() != message.StandingMember {
		return nil, nil
	}
	h.reach.mu.Lock()
	reaches, err := h.reach.validator.Reaches(h.ledger.State(), h.ledger.Height(), s.id.Member, name)
	h.reach.mu.Unlock()
	if err != nil || !reaches {
		return nil, err
	}
	return h.associationOf(ctx, name)
}

func (h *Hub) associationOf(ctx context.Context, name zone.MemberID) ([]byte, error) {
	h.mu.Lock()
	m := h.members[name]
	h.mu.Unlock()
	if m == nil {
		return nil, nil
	}
	at := position(m.associated.Load())
	if at == 0 {
		return nil, nil
	}
	b, err := h.frames.block(ctx, h.ledger, at.block())
	if err != nil {
		return nil, err
	}
	object, _, err := contract.Received(b.Txs[at.index()])
	return object, err
}

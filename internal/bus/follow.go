package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// follow takes the blocks that the ledger has more than were followed. Mine are
// the items that were just submitted, by their bytes on the ledger, nil while the
// hub is opened. One goroutine at a time follows.
func (h *Hub) follow(ctx context.Context, mine map[string]*item) error {
	for n := h.followed.Load(); n < h.ledger.Height(); n++ {
		b, err := h.ledger.Block(ctx, n)
		if err != nil {
			return fmt.Errorf("follow the ledger: %w", err)
		}
		h.followed.Store(n + 1) // before anything of it is pushed, see refill
		recheck := n >= h.expires.Load()
		for i, raw := range b.Txs {
			it, own := mine[string(raw)]
			if own {
				delete(mine, string(raw))
			} else {
				tx, err := contract.ParseAccepted(raw)
				if err != nil {
					return fmt.Errorf("follow the ledger: block %d, transaction %d: %w", n, i, err)
				}
				it = &item{tx: tx}
			}
			changed, err := h.take(it, positionOf(n, i))
			if err != nil {
				return err
			}
			recheck = recheck || changed
		}
		if recheck && h.opened {
			if err := h.recheck(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// take follows one transaction, and reports whether it may have ended somebody's
// standing.
func (h *Hub) take(it *item, at position) (recheck bool, err error) {
	tx := it.tx
	var m *member
	if tx.Member != "" {
		m = h.member(tx.Member)
		m.n = tx.N
		m.recent[tx.N%message.Credit] = recent{at, [16]byte(tx.ID[:])}
	}
	if b, ok := tx.Body.(*contract.Message); ok && h.opened {
		h.counts.received.Add(1)
		h.o.OnMessage(Heard{From: tx.Member, To: b.To, Op: b.Op, Size: b.Size, Received: tx.Time, ID: tx.ID, Block: at.block()})
	}
	if it.s != nil {
		it.answer(&message.Receipt{N: tx.N, ID: tx.ID, Block: at.block()})
	}
	switch b := tx.Body.(type) {
	case *contract.Associated:
		m.joined = true
		m.associated.Store(uint64(at))
		err = h.joined(tx)
	case *contract.Message:
		err = h.route(it, b, at)
	case *contract.MemberAction:
		h.member(b.Member).revoked = b.Action == contract.ActionRevoke
		recheck = true
	case *contract.EpochBegun, *contract.VerdictChanged:
		recheck = true
	}
	return recheck, err
}

// route brings a message to where it goes.
func (h *Hub) route(it *item, b *contract.Message, at position) error {
	if b.Op.OnData() && h.opened {
		if err := h.objects.took(b, it.tx.ID); err != nil {
			return err
		}
	}
	if b.Op == contract.OpRead && it.s != nil {
		return h.answerRead(it, b)
	}
	to := h.recipients(it.tx.Member, b)
	if it.s != nil && len(to) > 0 {
		h.frames.put(at, h.delivery(at, it.tx.Time, it.object, it.payload))
	}
	for _, m := range to {
		m.push(at)
	}
	return nil
}

// recipients are the members that a message is delivered to. The owner of data
// hears what others change in it.
func (h *Hub) recipients(from zone.MemberID, b *contract.Message) []*member {
	switch {
	case b.To == zone.Master || b.To == from || b.Op == contract.OpRead:
		return nil
	case b.To != zone.Everyone:
		return []*member{h.member(b.To)}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*member
	for _, m := range h.members {
		if m.name != from && m.joined && !m.revoked {
			all = append(all, m)
		}
	}
	return all
}

// answerRead gives a reader the newest version of the object.
func (h *Hub) answerRead(it *item, b *contract.Message) error {
	v, ok, err := h.objects.newest(b.To, b.Object)
	if err != nil {
		return err
	}
	if !ok {
		h.o.Log.Warn("an object is on the ledger and not in the store", "owner", b.To, "object", b.Object)
	}
	it.s.answer(&message.Object{N: it.tx.N, Object: v.Object, Payload: v.Payload}, endsRead)
	return nil
}

// delivery is the frame that brings a message to somebody.
func (h *Hub) delivery(at position, received zone.Time, object, payload []byte) []byte {
	raw, err := message.Bytes(&message.Delivery{Position: h.lowest + uint64(at), Received: received, Object: object, Payload: payload})
	if err != nil {
		panic(err) // byte strings and integers have an encoding
	}
	return raw
}

// frame gives the delivery of a position: from memory if it is new, else from
// ledger and store. It is nil if the store has dropped the payload.
func (h *Hub) frame(ctx context.Context, at position) ([]byte, error) {
	if raw := h.frames.get(at); raw != nil {
		return raw, nil
	}
	b, err := h.frames.block(ctx, h.ledger, at.block())
	if err != nil {
		return nil, err
	}
	if at.index() >= len(b.Txs) {
		return nil, fmt.Errorf("block %d has no transaction %d", at.block(), at.index())
	}
	raw := b.Txs[at.index()]
	tx, err := contract.ParseAccepted(raw)
	if err != nil {
		return nil, err
	}
	object, received, err := contract.Received(raw)
	if err != nil {
		return nil, err
	}
	var payload []byte
	if m, ok := tx.Body.(*contract.Message); ok && m.Op.Carries() {
		if payload, err = h.payloads.find(tx.ID, at.block()); err != nil || payload == nil {
			return nil, err
		}
	}
	return h.delivery(at, received, object, payload), nil
}

// refill reads from the ledger what else waits for a member. It is done when there
// is enough, or nothing more: no block from where it stands on has been begun to
// be followed, and what is pushed later is in wait or known to be there already. It is
// given up when another session took the place of s, which reads for itself.
func (h *Hub) refill(ctx context.Context, s *session, m *member) error {
	m.mu.Lock()
	from, away, cursor := m.upTo, m.away, m.cursor
	m.mu.Unlock()
	at := from
	var found []position
	for {
		n := at.block()
		m.mu.Lock()
		if m.session != s || m.upTo != from {
			m.mu.Unlock()
			return nil
		}
		end := h.followed.Load() <= n
		if end || len(found)+len(m.wait) >= maxWait {
			m.wait = append(m.wait, found...)
			m.upTo, m.away, m.more = at, away, !end
			m.mu.Unlock()
			return nil
		}
		m.mu.Unlock()
		b, err := h.ledger.Block(ctx, n)
		if err != nil {
			return err
		}
		for i := at.index(); i < len(b.Txs); i++ {
			tx, err := contract.ParseAccepted(b.Txs[i])
			if err != nil {
				return err
			}
			switch body := tx.Body.(type) {
			case *contract.MemberAction:
				if body.Member == m.name {
					away = body.Action == contract.ActionRevoke
				}
			case *contract.Message:
				if p := positionOf(n, i); p > cursor && m.isFor(tx.Member, body, away) {
					found = append(found, p)
				}
			}
		}
		at = positionOf(n+1, 0)
	}
}

// isFor is recipients for one member.
func (m *member) isFor(from zone.MemberID, b *contract.Message, away bool) bool {
	if b.To == zone.Everyone {
		return from != m.name && !away
	}
	return b.To == m.name && from != m.name && b.Op != contract.OpRead
}

// never is a block that no ledger comes to.
const never = ^uint64(0)

// recheck ends the sessions of those who may not speak any more. Height is that of
// the block that was followed.
func (h *Hub) recheck(height uint64) error {
	h.expires.Store(never) // before they are counted: who enters behind that says for itself
	h.mu.Lock()
	all := slices.Collect(maps.Keys(h.sessions))
	h.mu.Unlock()
	for _, s := range all {
		if err := h.stands(s, height); err != nil {
			return err
		}
	}
	return nil
}

// stands holds a session against the ledger, and ends it if who has it may not
// speak any more, or has to be given another ticket. Who is no member yet is held
// against it as the member that its ticket will make of it.
func (h *Hub) stands(s *session, height uint64) error {
	s.mu.Lock() // before the member is read: if it becomes one meanwhile, its ticket says the same
	standing, ticket := s.stands, s.ticket
	s.mu.Unlock()
	waiting := waits(standing, ticket)
	state := h.ledger.State()
	m, _, err := contract.ReadMember(state, s.id.Member)
	if err != nil {
		return err
	}
	if standing != message.StandingMember && ticket != nil {
		m.Until, m.Epoch, m.MAC = ticket.Until, ticket.Epoch, ticket.MAC
	}
	m.Member = s.id.Member // whom the ledger may not know
	err = m.Standing(state, height)
	var refused *contract.RejectError
	if errors.As(err, &refused) && refused.Code == contract.CodeExpired && waiting {
		err = s.outlived(state) // it has no ticket
	}
	switch {
	case errors.As(err, &refused):
		h.o.Log.Info("session ended", "member", s.id.Member, "code", refused.Code, "reason", refused.Reason)
		s.end(refused.Code)
	case err != nil:
		return err
	case !waiting:
		h.expireAt(m.Until + 1)
	}
	return nil
}

// outlived says that a member waits for another ticket since before another epoch
// began: it is to hear of that.
func (s *session) outlived(state ledger.Reader) error {
	roll, err := contract.ReadRoll(state)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.stands == message.StandingRenew && s.epoch != roll.Epoch {
		err = &contract.RejectError{Code: contract.CodeExpired, Reason: "another epoch began while it waited"}
	}
	return err
}

// expireAt has the sessions looked at when the ledger comes to that block.
func (h *Hub) expireAt(n uint64) {
	for {
		old := h.expires.Load()
		if old <= n || h.expires.CompareAndSwap(old, n) {
			return
		}
	}
}

// frames keeps the newest deliveries and the blocks read last, so that what is new
// is not read back.
type frames struct {
	mu     sync.Mutex
	raw    map[position][]byte
	order  []position
	bytes  int
	blocks []*ledger.Block
}

const (
	frameBytes = 4 << 20
	blockCount = 8
)

func (f *frames) put(at position, raw []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.raw == nil {
		f.raw = map[position][]byte{}
	}
	f.raw[at] = raw
	f.order = append(f.order, at)
	f.bytes += len(raw)
	for f.bytes > frameBytes {
		f.bytes -= len(f.raw[f.order[0]])
		delete(f.raw, f.order[0])
		f.order = f.order[1:]
	}
}

func (f *frames) get(at position) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.raw[at]
}

// block reads a block, or takes one of those read last.
func (f *frames) block(ctx context.Context, l ledger.Ledger, n uint64) (*ledger.Block, error) {
	f.mu.Lock()
	for _, b := range f.blocks {
		if b.Header.Number == n {
			f.mu.Unlock()
			return b, nil
		}
	}
	f.mu.Unlock() // nobody waits for a file
	b, err := l.Block(ctx, n)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.blocks) == blockCount {
		f.blocks = f.blocks[1:]
	}
	f.blocks = append(f.blocks, b)
	return b, nil
}

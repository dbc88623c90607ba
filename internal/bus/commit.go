package bus

import (
	"context"
	"errors"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// How transactions are brought together in blocks: as many as there are, but no
// sooner after the block before than commitEvery, so that there are not too many
// small ones; and how often the hub looks for blocks of others.
const (
	maxBatch    = 1000
	batchBytes  = 8 << 20
	commitEvery = 20 * time.Millisecond
	lookEvery   = 50 * time.Millisecond
)

// item is a transaction that a member handed in.
type item struct {
	s       *session
	tx      *contract.Signed
	checked *contract.Checked // nil: another's, or to be refused
	object  []byte            // its COSE_Sign1
	payload []byte
	again   []*session // that handed it in too, in the same batch: they get the same answer
}

// commit brings to the ledger what members hand in, and follows it, until ctx ends
// or the ledger fails.
func (h *Hub) commit(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := time.Time{}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-h.look:
			err = h.follow(ctx, nil)
		case <-tick.C:
			err = h.follow(ctx, nil)
		case w := <-h.own:
			err = h.say(context.WithoutCancel(ctx), w)
		case it := <-h.queue:
			batch := h.gather(ctx, it, last.Add(commitEvery))
			// What was begun is not cut short.
			err = h.submit(context.WithoutCancel(ctx), batch)
			last = time.Now()
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// gather takes what waits behind the first item, until then if that is to come.
func (h *Hub) gather(ctx context.Context, first *item, until time.Time) []*item {
	batch, bytes := []*item{first}, len(first.payload)
	var late <-chan time.Time
	if wait := time.Until(until); wait > 0 {
		late = time.After(wait)
	}
	for len(batch) < maxBatch && bytes < batchBytes {
		var it *item
		if late == nil {
			select {
			case it = <-h.queue:
			default:
				return batch
			}
		} else {
			select {
			case it = <-h.queue:
			case <-late:
				late = nil
				continue
			case <-ctx.Done():
				return batch
			}
		}
		batch = append(batch, it)
		bytes += len(it.payload)
	}
	return batch
}

// submit brings a batch to the ledger: payloads are stored first, durably, but for
// what is refused by then; then the transactions come in one or more blocks; then
// everything goes its way.
func (h *Hub) submit(ctx context.Context, batch []*item) error {
	ready, err := h.sort(batch)
	if err != nil {
		return err
	}
	if ready, err = h.judge(ready); err != nil {
		return err
	}
	if err := h.store(ready); err != nil {
		return err
	}
	mine := make(map[string]*item, len(ready))
	taken, err := h.pass(ready, func(it *item) error { return h.ledger.SubmitChecked(ctx, it.checked) })
	if err != nil {
		return err
	}
	for _, it := range taken {
		mine[string(it.checked.Raw())] = it
	}
	for _, it := range ready {
		if mine[string(it.checked.Raw())] == nil {
			h.objects.refused(it.tx.ID)
		}
	}
	if err := h.ledger.Commit(ctx); err != nil {
		return err
	}
	if err := h.follow(ctx, mine); err != nil {
		return err
	}
	for _, it := range mine {
		return errors.New("the ledger took transaction " + it.tx.ID.Short() + " and shows it in no block")
	}
	return nil
}

// How many transactions of a member are judged before anything of them is stored:
// its first ones since the hub was opened, and those behind one that was refused.
const (
	doubtFirst   = 8
	doubtRefused = 1000
)

// judge refuses what the contract would refuse now, so that nothing of it is stored.
// Judging twice is a tenth of what a message costs, so it is done for who gave cause.
// The ledger has the last word: of others something may be stored that it refuses, and
// somebody else may write to it in between.
func (h *Hub) judge(ready []*item) ([]*item, error) {
	t, height := newTrial(h.ledger.State()), h.ledger.Height()
	return h.pass(ready, func(it *item) error {
		m := h.member(it.tx.Member)
		if m.doubted == 0 {
			return nil
		}
		m.doubted--
		return h.validator.ApplyChecked(t, height, it.checked)
	})
}

// trial is the ledger's state with what a batch would write. It keeps the values
// that it is given. Keys are the ledger's alone: for what members say, the contract
// lists none.
type trial struct {
	ledger.Reader
	written map[string][]byte // nil: taken away
}

func newTrial(state ledger.Reader) *trial { return &trial{state, map[string][]byte{}} }

// Get gives what was written, else what the ledger has.
func (t *trial) Get(key string) ([]byte, error) {
	if value, ok := t.written[key]; ok {
		return value, nil
	}
	return t.Reader.Get(key)
}

// Put leaves the ledger as it is.
func (t *trial) Put(key string, value []byte) error {
	t.written[key] = value
	return nil
}

// pass has each item judged in its turn, and gives those that are let through. A
// member is told what is refused, and with that what it sent behind it.
func (h *Hub) pass(items []*item, judge func(*item) error) (passed []*item, err error) {
	broken := map[zone.MemberID]bool{} // one of its transactions was refused
	for _, it := range items {
		err := error(&contract.RejectError{Code: contract.CodeOrder, Reason: "one before it was refused"})
		if !broken[it.tx.Member] {
			err = judge(it)
		}
		var refused *contract.RejectError
		switch {
		case err == nil:
			passed = append(passed, it)
		case errors.As(err, &refused):
			broken[it.tx.Member] = true
			h.member(it.tx.Member).doubted = doubtRefused
			h.refuse(it, refused.Code, refused.Reason)
		default:
			return nil, err
		}
	}
	return passed, nil
}

// sort gives the items that come next for their members. What stands on the ledger
// has its answer at once, what comes twice in the batch has it with the first, so that
// receipts come in order; what comes too early is refused. So the ledger is never
// asked to search its past.
func (h *Hub) sort(batch []*item) (ready []*item, err error) {
	next := map[zone.MemberID]uint64{}
	first := map[zone.HID]*item{}
	for _, it := range batch {
		n, seen := next[it.tx.Member]
		if !seen {
			m, _, err := contract.ReadMember(h.ledger.State(), it.tx.Member)
			if err != nil {
				return nil, err
			}
			n = m.N + 1
		}
		twin := first[it.tx.ID]
		switch {
		case twin != nil:
			twin.again = append(twin.again, it.s)
		case it.tx.N < n:
			h.repeat(it)
		case it.tx.N > n:
			h.refuse(it, contract.CodeOrder, "a number was left out")
		default:
			ready = append(ready, it)
			first[it.tx.ID] = it
			n++
		}
		next[it.tx.Member] = n
	}
	return ready, nil
}

// ends is what an answer ends behind which nothing comes.
func (it *item) ends() ending {
	if b, ok := it.tx.Body.(*contract.Message); ok && b.Op == contract.OpRead {
		return endsRequest | endsRead
	}
	return endsRequest
}

// answer answers a transaction to all who handed it in.
func (it *item) answer(f message.Frame) {
	for _, s := range it.again {
		s.answer(f, it.ends())
	}
	if _, there := f.(*message.Receipt); there {
		it.s.answer(f, endsRequest) // the object comes behind it, if it is a read
		return
	}
	it.s.answer(f, it.ends())
}

// store makes the payloads durable that go with transactions.
func (h *Hub) store(ready []*item) error {
	var payloads []stored
	var versions []version
	for _, it := range ready {
		b, ok := it.tx.Body.(*contract.Message)
		if !ok || !b.Op.Carries() {
			continue
		}
		if b.Op.OnData() {
			versions = append(versions, version{Owner: b.To, Name: b.Object, ID: it.tx.ID, Object: it.object, Payload: it.payload})
		}
		if !b.Op.OnData() || b.To != it.tx.Member { // somebody else gets it
			payloads = append(payloads, stored{id: it.tx.ID, from: it.tx.Member, payload: it.payload})
		}
	}
	if len(payloads) > 0 {
		if err := h.payloads.add(h.ledger.Height(), zone.TimeOf(time.Now()), payloads); err != nil {
			return err
		}
	}
	if len(versions) > 0 {
		return h.objects.add(versions)
	}
	return nil
}

// refuse tells a member that its transaction is not on the ledger.
func (h *Hub) refuse(it *item, code contract.Code, reason string) {
	h.counts.refused.Add(1)
	h.refusals.note(string(code), it.tx.Member, it.s.from, reason)
	it.answer(&message.Refusal{N: it.tx.N, Code: code})
}

// repeat answers a transaction whose number was used before: by its receipt if it
// is the one that used it, and was so lately.
func (h *Hub) repeat(it *item) {
	m := h.member(it.tx.Member)
	then := m.recent[it.tx.N%message.Credit]
	switch {
	case it.tx.N > m.n || m.n-it.tx.N >= message.Credit || then.at == 0:
		h.refuse(it, contract.CodeOrder, "its number was used before")
	case then.id != [16]byte(it.tx.ID[:]):
		h.refuse(it, contract.CodeOrder, "another transaction has its number")
	default:
		it.s.answer(&message.Receipt{N: it.tx.N, ID: it.tx.ID, Block: then.at.block()}, it.ends())
	}
}

// toEveryone reports a message that is delivered to all members.
func (it *item) toEveryone() bool {
	b, ok := it.tx.Body.(*contract.Message)
	return ok && b.To == zone.Everyone
}

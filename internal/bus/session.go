package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// The patience with a follower.
const (
	pingEvery   = 12 * time.Second       // and as long for the answer, so that a dead one is found in twice that
	writeFor    = 10 * time.Second       // one frame
	farewellFor = 150 * time.Millisecond // the last frame, and the end of a connection that takes none
	answerPing  = 50 * time.Millisecond  // after it came, and what comes behind it waits: pings cost a follower nothing else
)

// unhurried lets a ping be answered.
func unhurried(context.Context, []byte) bool {
	time.Sleep(answerPing)
	return true
}

// perDelivery is how many deliveries cost as much as a transaction that leads to one.
const perDelivery = 8

// The codes of the last frame beside those of contract.
const (
	byeReplaced contract.Code = "replaced" // the member has opened another session
	byeProtocol contract.Code = "protocol" // a frame that may not come
	byeFailed   contract.Code = "failed"   // the master could not read what is for it
	byeStopped  contract.Code = "stopped"  // the master ends
	byeSlow     contract.Code = "slow"     // it did not take a frame in time
	byeBusy     contract.Code = "busy"     // others took its place
	byeDropped  contract.Code = "dropped"  // an operator turned its request away
	byeSilent   contract.Code = "silent"   // not told: no answer to a ping
	byeClosed   contract.Code = "closed"   // not told: the follower went
)

// session is a connection to one follower, whether it is a member or wants to be.
type session struct {
	hub   *Hub
	conn  *websocket.Conn
	below net.Conn // that it stands on
	id    message.Identity
	from  net.Addr

	credit chan struct{} // one for each transaction or lookup without an answer
	reads  chan struct{} // one for each read of them; its object may wait to be written
	wake   chan struct{} // there is something to write; has room for one
	done   chan struct{} // the session ends

	taken  atomic.Uint64 // frames
	taking atomic.Bool   // one is waited with, and no pong is read meanwhile

	mu     sync.Mutex // guards what follows
	stands message.Standing
	epoch  uint64           // of the zone, when it was told
	ticket *contract.Ticket // that it is to associate with; nil: it is a member, or an operator has to admit it
	member *member          // nil: it is none, or not yet
	out    []outgoing
	bye    contract.Code // why it ends; empty: it does not
}

// outgoing is a frame to be written. Then what it ends may come anew.
type outgoing struct {
	raw  []byte
	ends ending
}

// ending is what a frame ends: a transaction or a lookup, or a read that has no
// object yet, or both.
type ending uint8

const (
	endsRequest ending = 1 << iota
	endsRead
)

// maxReads is how many reads of one session may be under way: their objects are
// what is largest of all that waits for a slow reader.
const maxReads = 4

func (h *Hub) newSession(conn *websocket.Conn, below net.Conn, id message.Identity) *session {
	return &session{hub: h, conn: conn, below: below, id: id, from: below.RemoteAddr(), credit: make(chan struct{}, message.Credit), reads: make(chan struct{}, maxReads), wake: make(chan struct{}, 1),
		done: make(chan struct{})}
}

func (s *session) standing() message.Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stands
}

func (s *session) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bye != ""
}

// waiting reports one that an operator has to admit.
func (s *session) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return waits(s.stands, s.ticket)
}

func waits(stands message.Standing, ticket *contract.Ticket) bool {
	return stands == message.StandingPending || stands == message.StandingRenew && ticket == nil
}

func (s *session) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// tell queues a frame, answer one that ends something. There are never more than
// the credit allows.
func (s *session) tell(f message.Frame) { s.answer(f, 0) }

func (s *session) answer(f message.Frame, ends ending) {
	raw, err := message.Bytes(f)
	if err != nil {
		panic(err) // every frame has an encoding
	}
	s.mu.Lock()
	if s.bye == "" {
		s.out = append(s.out, outgoing{raw, ends})
	}
	s.mu.Unlock()
	s.nudge()
}

// end ends the session: with a last frame, if the follower takes it at once.
func (s *session) end(code contract.Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bye != "" {
		return
	}
	s.bye, s.out = code, nil
	close(s.done)
	time.AfterFunc(farewellFor, func() { s.below.Close() }) // whatever the writer is at
}

// serve keeps the session until one side ends it.
func (s *session) serve() {
	ctx := context.Background() // ended by end alone, so that the last frame goes out
	var work sync.WaitGroup
	work.Go(func() { s.write(ctx) })
	alive := time.AfterFunc(pingEvery, func() { s.ping(ctx) })
	s.end(s.read(ctx))
	alive.Stop()
	work.Wait()
}

// ping looks whether the follower is there, and again after a while.
func (s *session) ping(ctx context.Context) {
	for {
		before := s.taken.Load()
		wait, stop := context.WithTimeout(ctx, pingEvery)
		err := s.conn.Ping(wait)
		stop()
		// Its pong comes behind its frames: who has more of them than can be taken is
		// there all the same.
		if err != nil && s.taken.Load() == before && !s.taking.Load() {
			s.end(byeSilent)
			return
		}
		select {
		case <-time.After(pingEvery):
		case <-s.done:
			return
		}
	}
}

// write writes answers, then deliveries, and at last why the session ends.
func (s *session) write(ctx context.Context) {
	defer s.conn.CloseNow()
	for {
		select {
		case <-s.wake:
			if err := s.flush(ctx); err != nil {
				s.end(byeSlow)
			}
		case <-s.done:
			s.farewell(ctx)
			return
		}
	}
}

// flush writes what there is.
func (s *session) flush(ctx context.Context) error {
	for {
		s.mu.Lock()
		out, m := s.out, s.member
		s.out = nil
		s.mu.Unlock()
		for _, o := range out {
			if err := s.put(ctx, o.raw); err != nil {
				return err
			}
			if o.ends&endsRequest > 0 {
				<-s.credit
			}
			if o.ends&endsRead > 0 {
				<-s.reads
			}
		}
		more := false
		if m != nil {
			var err error
			if more, err = s.deliver(ctx, m); err != nil {
				return err
			}
		}
		if len(out) == 0 && !more {
			return nil
		}
	}
}

// deliver writes the next delivery, and reports whether there may be more.
func (s *session) deliver(ctx context.Context, m *member) (more bool, err error) {
	at, ok, refill := m.next(s)
	if refill {
		return true, s.unread(s.hub.refill(ctx, s, m))
	}
	if !ok {
		return false, nil
	}
	raw, err := s.hub.frame(ctx, at)
	if err != nil {
		return false, s.unread(fmt.Errorf("block %d: %w", at.block(), err))
	}
	if raw == nil {
		s.hub.counts.expired.Add(1)
		m.skip(s, at)
		return true, nil
	}
	s.hub.counts.delivered.Add(1)
	return true, s.put(ctx, raw)
}

// unread ends the session if something for the member could not be read.
func (s *session) unread(err error) error {
	if err != nil {
		s.hub.o.Log.Error("a delivery cannot be read", "member", s.id.Member, "error", err)
		s.end(byeFailed)
	}
	return err
}

// put writes one frame, or gives up after a while.
func (s *session) put(ctx context.Context, raw []byte) error {
	select {
	case <-s.done:
		return context.Canceled
	default:
	}
	if err := s.below.SetWriteDeadline(time.Now().Add(s.hub.o.patience)); err != nil {
		return err
	}
	defer s.below.SetWriteDeadline(time.Time{}) // pings and the farewell have their own bounds
	return s.conn.Write(ctx, websocket.MessageBinary, raw)
}

// farewell says why the session ends, to who listens.
func (s *session) farewell(ctx context.Context) {
	s.mu.Lock()
	code := s.bye
	s.mu.Unlock()
	if code == byeClosed || code == byeSilent {
		return
	}
	if raw, err := message.Bytes(&message.Bye{Code: code}); err == nil {
		s.conn.Write(ctx, websocket.MessageBinary, raw)
	}
	s.conn.Close(websocket.StatusPolicyViolation, string(code))
}

// read takes the follower's frames. It gives why the session ends.
func (s *session) read(ctx context.Context) contract.Code {
	for {
		kind, raw, err := s.conn.Read(ctx)
		if err != nil {
			return byeClosed
		}
		f, err := message.Parse(raw)
		if err != nil || kind != websocket.MessageBinary {
			s.hub.refusals.note("frame", s.id.Member, s.from, errText(err, "not a binary message"))
			return byeProtocol
		}
		s.taking.Store(true)
		code := s.take(ctx, f, len(raw))
		s.taken.Add(1)
		s.taking.Store(false)
		if code != "" {
			return code
		}
	}
}

func errText(err error, otherwise string) string {
	if err == nil {
		return otherwise
	}
	return err.Error()
}

// take does what a frame asks for. It waits for credit: who asks for more than it
// may is read no further.
func (s *session) take(ctx context.Context, f message.Frame, size int) contract.Code {
	if s.standing() == message.StandingPending {
		s.hub.refusals.note("frame", s.id.Member, s.from, "a request that was not admitted says something")
		return byeProtocol
	}
	switch f := f.(type) {
	case *message.Ack:
		// A position below was of the time before a backup was restored.
		if f.Position >= s.hub.lowest && s.acknowledge(position(f.Position-s.hub.lowest)) || s.pay(1, size) {
			return ""
		}
		return byeClosed
	case *message.Lookup:
		if !s.pay(1, lookupCost) || !s.borrow(ctx, s.credit) {
			return byeClosed
		}
		return s.lookup(ctx, f)
	case *message.Submit:
		if !s.pay(1, size) || !s.borrow(ctx, s.credit) {
			return byeClosed
		}
		return s.submit(ctx, f)
	}
	s.hub.refusals.note("frame", s.id.Member, s.from, "a frame that only the master sends")
	return byeProtocol
}

// borrow takes credit of a kind for one answer.
func (s *session) borrow(ctx context.Context, credit chan struct{}) bool {
	select {
	case credit <- struct{}{}:
		return true
	case <-s.done:
	case <-ctx.Done():
	}
	return false
}

// pay waits until the member may hand in so many frames more, of so many bytes.
func (s *session) pay(frames, size int) bool {
	wait := s.hub.member(s.id.Member).spend(time.Now(), &s.hub.o, frames, size)
	if wait <= 0 {
		return true
	}
	select {
	case <-time.After(wait):
		return true
	case <-s.done:
		return false
	}
}

// acknowledge reports whether there was anything to be acknowledged.
func (s *session) acknowledge(at position) bool {
	s.mu.Lock()
	m := s.member
	s.mu.Unlock()
	if m == nil {
		return false
	}
	cursor, changed := m.acknowledge(s, at)
	if changed {
		s.hub.cursors.set(m.name, cursor)
		s.nudge()
	}
	return changed
}

// submit hands a transaction to the committer, if it is the follower's own.
func (s *session) submit(ctx context.Context, f *message.Submit) contract.Code {
	it, err := s.item(f)
	if it != nil && it.ends()&endsRead > 0 && !s.borrow(ctx, s.reads) {
		return byeClosed
	}
	var refused *contract.RejectError
	switch {
	case errors.As(err, &refused) && it != nil:
		s.hub.refuse(it, refused.Code, refused.Reason)
		return ""
	case err != nil:
		s.hub.refusals.note("transaction", s.id.Member, s.from, err.Error())
		return byeProtocol
	case it.toEveryone() && !s.pay(s.hub.named()/perDelivery, 0):
		return byeClosed
	}
	select {
	case s.hub.queue <- it:
		return ""
	case <-s.done:
	case <-ctx.Done():
	}
	return byeClosed
}

// item checks what can be checked without the ledger's state. A refusal with an
// item can be told to the follower.
func (s *session) item(f *message.Submit) (*item, error) {
	raw, err := contract.Receive(f.Object, max(0, zone.TimeOf(time.Now())))
	if err != nil {
		return nil, err
	}
	it := &item{s: s, object: f.Object, payload: f.Payload}
	checked, wrong := contract.Check(raw)
	if wrong == nil {
		it.checked, it.tx = checked, checked.Tx()
	} else if it.tx, err = contract.Parse(raw); err != nil {
		return nil, err
	}
	tx := it.tx
	if tx.Member != s.id.Member || !tx.Key.Equal(s.id.Key) {
		return nil, &contract.RejectError{Code: contract.CodeAuthority, Reason: "a transaction of " + string(tx.Member) + ", or by another key than the session's"}
	}
	b, ok := tx.Body.(*contract.Message)
	switch {
	case wrong != nil:
		return it, wrong
	case !ok && len(f.Payload) > 0, ok && b.Op.Carries() != (len(f.Payload) > 0):
		return it, &contract.RejectError{Code: contract.CodeMalformed, Reason: "a payload where none belongs, or none where one does"}
	case ok && b.Op.Carries() && (uint32(len(f.Payload)) != b.Size || contract.PayloadHash(f.Payload) != b.Hash):
		return it, &contract.RejectError{Code: contract.CodeMalformed, Reason: "the payload is not the one that was signed"}
	case ok && s.standing() == message.StandingRenew:
		return it, &contract.RejectError{Code: contract.CodeExpired, Reason: "it has to associate with another ticket first"}
	case ok && s.standing() != message.StandingMember:
		return it, &contract.RejectError{Code: contract.CodeAssociation, Reason: "it has to associate first"}
	}
	return it, nil
}

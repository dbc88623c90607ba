package follower

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coder/websocket"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// writing is how long one frame may take to be written.
const writing = 20 * time.Second

// batchBytes is when orders and deliveries are made durable at the latest: more are
// not held in memory.
const batchBytes = 256 << 10

// maxReads is how many reads the master may owe the object of.
const maxReads = 1024

// keyFor is how long a recipient's key is used before it is asked for again.
const keyFor = time.Minute

// session is one connection to the master, from the welcome on.
type session struct {
	*Follower
	conn     *websocket.Conn
	frames   chan message.Frame
	lost     chan error
	heard    chan struct{}
	standing message.Standing
	ledger   uint64   // the newest number that the ledger has
	next     uint64   // the number that is signed next
	flying   []*entry // sent, without an answer, by N
	again    uint64   // up to this number they were sent before, in another session
	draining bool     // nothing is signed until nothing is flying
	anew     bool     // refused until it associates anew
	progress bool     // something came of this session
	unstored []delivered
	seen     bool // something was delivered that is stored already, and not acknowledged since
	keys     map[zone.MemberID]*sealKey
	reads    map[uint64]uint64 // the order's number, by N of a read whose object is to come
}

// sealKey is what the master said to a lookup.
type sealKey struct {
	known bool // else it was asked for
	key   [32]byte
	until time.Time // when to ask again, or to give up the master
}

// session connects and talks until the connection is lost, and says whether
// anything came of it.
func (f *Follower) session(ctx context.Context) (progress bool, err error) {
	s := &session{Follower: f, frames: make(chan message.Frame, 3*message.Credit+16), lost: make(chan error, 1), heard: make(chan struct{}, 1),
		keys: map[zone.MemberID]*sealKey{}, reads: map[uint64]uint64{}}
	hello := f.hello()
	s.conn, err = f.call(ctx, hello, s.ping)
	if errors.Is(err, errRefused) && hello.Code != "" { // it may have been used, by this follower
		hello.Code = ""
		s.conn, err = f.call(ctx, hello, s.ping)
	}
	if err != nil {
		return false, err
	}
	began := time.Now()
	received := make(chan struct{})
	go func() {
		defer close(received)
		s.receive(ctx)
	}()
	err = s.talk(ctx)
	s.conn.CloseNow()
	<-received
	for _, number := range s.reads {
		s.out.answer(number, Answer{Lost: true})
	}
	return s.progress || time.Since(began) > s.options.MaxWait, err
}

func (f *Follower) hello() message.Hello {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := message.Hello{Zone: f.invite.Zone, Member: f.me.Member, Master: f.invite.Master}
	if !f.profile.Admitted {
		h.Code = f.invite.Code
	}
	if _, associated := f.out.newest(); associated == 0 {
		h.Ticket = f.ticket
	}
	return h
}

// ping notes that the master is there.
func (s *session) ping() {
	select {
	case s.heard <- struct{}{}:
	default:
	}
}

// receive reads frames until the connection is lost.
func (s *session) receive(ctx context.Context) {
	for {
		kind, b, err := s.conn.Read(ctx)
		if err == nil && kind != websocket.MessageBinary {
			err = errors.New("the master sent text")
		}
		var frame message.Frame
		if err == nil {
			frame, err = message.Parse(b)
		}
		if err != nil {
			s.lost <- err
			return
		}
		select {
		case s.frames <- frame:
		default: // there is room for all that a master may send
			s.lost <- errors.New("the master sends more than it may without an answer")
			return
		}
	}
}

func (s *session) talk(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	silence := time.NewTimer(s.options.Silence)
	defer silence.Stop()
	for {
		if err := s.speak(ctx); err != nil {
			return err
		}
		select {
		case frame := <-s.frames:
			silence.Reset(s.options.Silence)
			if err := s.hear(frame); err != nil {
				return err
			}
			if err := s.more(); err != nil {
				return err
			}
		case <-s.heard:
			silence.Reset(s.options.Silence)
		case <-s.out.wake:
		case <-s.in.freed:
		case err := <-s.lost:
			return err
		case <-silence.C:
			return fmt.Errorf("the master has been silent for %s", s.options.Silence)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// more takes the frames that are there already, so that one sync makes many
// deliveries durable.
func (s *session) more() error {
	for s.unstoredBytes() < batchBytes {
		select {
		case frame := <-s.frames:
			if err := s.hear(frame); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (s *session) unstoredBytes() (n int) {
	for i := range s.unstored {
		n += len(s.unstored[i].Object) + len(s.unstored[i].Payload)
	}
	return n
}

// begin waits for the welcome and sends again what may not have been answered.
func (s *session) begin(ctx context.Context) error {
	timeout := time.NewTimer(handshake)
	defer timeout.Stop()
	var w *message.Welcome
	select {
	case frame := <-s.frames:
		var ok bool
		if w, ok = frame.(*message.Welcome); !ok {
			return fmt.Errorf("the master began with a %T instead of a welcome", frame)
		}
	case err := <-s.lost:
		return err
	case <-timeout.C:
		return errors.New("the master did not say welcome")
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.admitted(); err != nil {
		return err
	}
	s.welcome(w)
	known, _ := s.out.newest()
	if w.N < known {
		s.options.Log.Error("the master's ledger has lost transactions", "receipt_for", known, "ledger_has", w.N)
	}
	s.ledger, s.next = w.N, w.N+1
	if w.Standing == message.StandingAssociate {
		s.out.associateAgain()
	}
	for _, e := range s.out.doubtful() {
		if err := s.send(ctx, e); err != nil {
			return err
		}
	}
	if s.draining = len(s.flying) > 0; s.draining {
		s.again = s.flying[len(s.flying)-1].n
	}
	return nil
}

func (s *session) welcome(w *message.Welcome) {
	s.standing, s.anew = w.Standing, false
	s.setStatus(func(st *Status) {
		st.Connected, st.Standing, st.Height, st.Epoch, st.Problem = true, w.Standing, w.Height, w.Epoch, ""
	})
	s.options.Log.Info("connected to the master", "standing", w.Standing, "height", w.Height, "epoch", w.Epoch, "n", w.N)
}

// hear takes a frame.
func (s *session) hear(frame message.Frame) error {
	switch f := frame.(type) {
	case *message.Welcome:
		s.welcome(f)
	case *message.Ticket:
		s.anew = false
		return s.take(f.Ticket)
	case *message.Receipt:
		return s.receipt(f)
	case *message.Refusal:
		return s.refusal(f)
	case *message.Delivery:
		return s.delivery(f)
	case *message.Object:
		return s.object(f)
	case *message.Member:
		return s.member(f)
	case *message.Bye:
		return fmt.Errorf("the master ended the session: %s", f.Code)
	default:
		return fmt.Errorf("the master sent a frame that is for followers to send: %T", frame)
	}
	return nil
}

// landed takes the flying entry with a number away; nil if there is none.
func (s *session) landed(n uint64) *entry {
	i := slices.IndexFunc(s.flying, func(e *entry) bool { return e.n == n })
	if i < 0 {
		return nil
	}
	e := s.flying[i]
	s.flying = slices.Delete(s.flying, i, i+1)
	return e
}

func (s *session) receipt(r *message.Receipt) error {
	e := s.landed(r.N)
	if e == nil {
		return nil // it came before
	}
	if e.hid != r.ID {
		return fmt.Errorf("the receipt for %d is for %s, not for %s", r.N, r.ID.Short(), e.hid.Short())
	}
	s.progress = true
	s.ledger = max(s.ledger, r.N)
	s.next = max(s.next, r.N+1)
	if e.ticket > 0 {
		s.standing, s.anew = message.StandingMember, false
	}
	repeated := e.op == contract.OpRead && r.N <= s.again // no object comes
	if e.op == contract.OpRead && !repeated {
		if len(s.reads) > maxReads {
			return errors.New("the master gives receipts for reads, and no objects")
		}
		s.reads[r.N] = e.number
	}
	if err := s.settle(Result{Number: e.number, N: r.N, ID: r.ID, Block: r.Block}); err != nil {
		return err
	}
	if repeated {
		s.out.answer(e.number, Answer{Lost: true})
	}
	return nil
}

func (s *session) settle(r Result) error {
	if err := s.out.settle(r); err != nil {
		return fmt.Errorf("%w: %w", errFatal, err)
	}
	return nil
}

// refusal gives up an order, or its number: what was signed after a refused one has
// to be signed anew.
func (s *session) refusal(r *message.Refusal) error {
	e := s.landed(r.N)
	if e == nil {
		return nil
	}
	behind := s.draining // the numbers are known to be wrong
	s.draining = len(s.flying) > 0
	s.next = max(s.ledger+1, min(s.next, r.N))
	s.options.Log.Info("refused", "n", r.N, "code", r.Code)
	switch {
	case e.ticket > 0 && r.Code != contract.CodeOrder:
		return s.settle(Result{Number: e.number, Code: r.Code})
	case r.Code == contract.CodeOrder:
		s.out.again(e)
		if !behind {
			return errors.New("the master expects another number")
		}
	case r.Code == contract.CodeExpired, r.Code == contract.CodeAssociation:
		s.out.again(e)
		s.standing, s.anew = message.StandingRenew, true
	default:
		return s.settle(Result{Number: e.number, Code: r.Code})
	}
	return nil
}

func (s *session) delivery(d *message.Delivery) error {
	if d.Position <= s.in.newest() || len(s.unstored) > 0 && d.Position <= s.unstored[len(s.unstored)-1].Position {
		s.seen = true
		return nil
	}
	m, err := s.open(d.Object, d.Payload, d.Received)
	if err != nil {
		return fmt.Errorf("delivery %d: %w", d.Position, err)
	}
	if m.To != s.me.Member && m.To != zone.Everyone {
		return fmt.Errorf("delivery %d is for %s", d.Position, m.To)
	}
	if len(s.unstored) >= message.Credit {
		return errors.New("the master delivers more than it may without acknowledgement")
	}
	if err := s.keepShare(m); err != nil {
		return fmt.Errorf("delivery %d, a share of a backup: %w", d.Position, err)
	}
	s.unstored = append(s.unstored, delivered{Position: d.Position, Received: d.Received, Object: d.Object, Payload: d.Payload})
	return nil
}

func (s *session) object(o *message.Object) error {
	number, ok := s.reads[o.N]
	if !ok {
		return nil
	}
	if len(o.Object) == 0 { // the master has lost it
		delete(s.reads, o.N)
		s.out.answer(number, Answer{Lost: true})
		return nil
	}
	m, err := s.open(o.Object, o.Payload, 0)
	if err != nil { // what s.reads still has is answered when the session ends
		return fmt.Errorf("answer to read %d: %w", o.N, err)
	}
	delete(s.reads, o.N)
	s.out.answer(number, Answer{Object: m})
	return nil
}

func (s *session) member(m *message.Member) error {
	k := s.keys[m.Member]
	if k == nil || k.known {
		return nil
	}
	key, err := s.recipientKey(m.Member, m.Object)
	if err != nil {
		return fmt.Errorf("key of %s: %w", m.Member, err)
	}
	*k = sealKey{known: true, key: key, until: time.Now().Add(keyFor)}
	return nil
}

// speak says what there is to say: deliveries that are durable now, and orders.
func (s *session) speak(ctx context.Context) error {
	if err := s.acknowledge(ctx); err != nil {
		return err
	}
	if err := s.renew(); err != nil {
		return err
	}
	if s.draining && len(s.flying) > 0 {
		return nil
	}
	s.draining = false
	if s.anew && len(s.flying) == 0 && s.out.next(false) == nil {
		return errors.New("the master wants this follower to associate anew")
	}
	for {
		batch, err := s.sign(ctx)
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, e := range batch {
			if err := s.send(ctx, e); err != nil {
				return err
			}
		}
	}
}

// acknowledge stores what was delivered, if there is room, and says so.
func (s *session) acknowledge(ctx context.Context) error {
	if len(s.unstored) > 0 && !s.in.full() {
		if err := s.in.store(s.unstored); err != nil {
			return fmt.Errorf("%w: %w", errFatal, err)
		}
		s.progress, s.seen = true, true
		clear(s.unstored)
		s.unstored = s.unstored[:0]
	}
	if !s.seen {
		return nil
	}
	s.seen = false
	return s.write(ctx, &message.Ack{Position: s.in.newest()})
}

// renew orders an association when there is a ticket that none was made with.
func (s *session) renew() error {
	s.mu.Lock()
	ticket, serial := s.ticket, s.serial
	s.mu.Unlock()
	if err := s.out.associate(ticket, serial); err != nil {
		return fmt.Errorf("%w: %w", errFatal, err)
	}
	return nil
}

// sign gives orders their numbers and signatures, durably: as many as there are and
// may be sent.
func (s *session) sign(ctx context.Context) (batch []*entry, err error) {
	var forms []signedForm
	for size := 0; len(s.flying)+len(batch) < message.Credit && size < batchBytes; {
		e := s.out.next(s.standing == message.StandingMember, batch...)
		if e == nil {
			break
		}
		form, ready, err := s.form(ctx, e)
		if err != nil {
			return nil, err
		}
		if !ready {
			break
		}
		batch, forms, size = append(batch, e), append(forms, form), size+len(form.object)+len(form.payload)
		s.next++
	}
	if len(batch) == 0 {
		return nil, nil
	}
	if err := s.out.sign(batch, forms); err != nil {
		return nil, fmt.Errorf("%w: %w", errFatal, err)
	}
	return batch, nil
}

// form signs an order under the next number. It is not ready while the key to
// encrypt to is not known.
func (s *session) form(ctx context.Context, e *entry) (form signedForm, ready bool, err error) {
	order, err := s.out.read(e)
	if err != nil {
		return form, false, fmt.Errorf("%w: %w", errFatal, err)
	}
	now := zone.Time(max(0, time.Now().UnixNano()))
	tx := &contract.Tx{Zone: s.invite.Zone, N: s.next, Member: s.me.Member, Sent: now,
		Body: &contract.Associated{Ticket: order.Ticket, Seal: [32]byte(s.seal.PublicKey().Bytes())}}
	if e.ticket == 0 {
		if form.payload, ready, err = s.payload(ctx, e, order); err != nil || !ready {
			return form, false, err
		}
		tx = order.transaction(s.invite.Zone, s.me.Member, s.next, now, form.payload)
	}
	form.n = s.next
	if form.object, err = tx.SignMember(s.key); err != nil {
		return form, false, fmt.Errorf("order %d: %w", e.number, err)
	}
	raw, err := contract.Receive(form.object, 0)
	if err != nil {
		return form, false, err
	}
	form.id, err = contract.ID(raw)
	return form, err == nil, err
}

// payload gives what an order carries. It is not ready while the recipient's key is
// asked for, or when there is none: the order is refused then.
func (s *session) payload(ctx context.Context, e *entry, order *Order) (payload []byte, ready bool, err error) {
	if !carries(order.Op) {
		return nil, true, nil
	}
	if !order.Seal {
		payload, err = message.Salted(order.Content)
		return payload, err == nil, err
	}
	k := s.keys[order.To]
	switch {
	case k == nil || k.known && time.Now().After(k.until):
		s.keys[order.To] = &sealKey{until: time.Now().Add(s.options.Silence)}
		return nil, false, s.write(ctx, &message.Lookup{Member: order.To})
	case !k.known && time.Now().After(k.until):
		return nil, false, fmt.Errorf("the master does not say who %s is", order.To)
	case !k.known:
		return nil, false, nil
	case k.key == [32]byte{}: // there is none, or the policy keeps it from this follower: the next order asks again
		delete(s.keys, order.To)
		s.out.wakeUp()
		return nil, false, s.settle(Result{Number: e.number, Code: contract.CodeRecipient})
	}
	payload, err = message.Seal(k.key, message.Envelope{Zone: s.invite.Zone, From: s.me.Member, To: order.To, N: s.next}, order.Content)
	return payload, err == nil, err
}

// send sends an entry's signed form.
func (s *session) send(ctx context.Context, e *entry) error {
	object, payload, err := s.out.form(e)
	if err != nil {
		return fmt.Errorf("%w: %w", errFatal, err)
	}
	s.flying = append(s.flying, e)
	return s.write(ctx, &message.Submit{Object: object, Payload: payload})
}

func (s *session) write(ctx context.Context, f message.Frame) error {
	b, err := message.Bytes(f)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writing)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageBinary, b)
}

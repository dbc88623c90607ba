package bus

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/coder/websocket"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// link is a connection before a session: with its nonce, which is good once.
type link struct {
	guest *guest
	tls   *tls.Conn
	nonce [32]byte
	given bool // the nonce was
	used  bool
}

// linkKey is where the server's contexts have the link.
type linkKey struct{}

func withLink(ctx context.Context, c net.Conn) context.Context {
	l := &link{}
	if l.tls, _ = c.(*tls.Conn); l.tls != nil {
		l.guest, _ = l.tls.NetConn().(*guest)
	}
	rand.Read(l.nonce[:]) // never fails
	return context.WithValue(ctx, linkKey{}, l)
}

// ServeHTTP answers a connection's requests: the first by a challenge, the second
// by a session or not at all.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l, ok := r.Context().Value(linkKey{}).(*link)
	if !ok || r.URL.Path != message.Path || l.guest == nil {
		w.Header().Set("Connection", "close")
		http.NotFound(w, r)
		return
	}
	value := r.Header.Get("Authorization")
	if value == "" && !l.given {
		l.given = true
		w.Header().Set("WWW-Authenticate", message.Challenge(l.nonce))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	who, e, err := h.prove(l, value)
	if err != nil {
		h.turnAway(w, r, who, err)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{message.Subprotocol}, OnPingReceived: unhurried})
	if err != nil {
		h.refusals.note(refusedHello, who.Member, l.guest.RemoteAddr(), err.Error())
		return
	}
	conn.SetReadLimit(message.MaxFrame)
	l.guest.admit()
	// The session has a goroutine of its own, so that nothing of the request, nor the
	// stack that TLS needed, stays as long.
	go h.converse(conn, l.guest, who, e)
}

// turnAway answers by 401 and no word more. Why is the operator's to know.
func (h *Hub) turnAway(w http.ResponseWriter, r *http.Request, who message.Identity, err error) {
	var refused *refusal
	from := r.Context().Value(linkKey{}).(*link).guest.RemoteAddr()
	if errors.As(err, &refused) {
		h.refusals.note(refused.name, who.Member, from, refused.reason)
	} else {
		h.o.Log.Error("a hello could not be answered", "member", who.Member, "error", err)
	}
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusUnauthorized)
}

// entrance is how somebody comes in.
type entrance struct {
	standing message.Standing
	ticket   []byte           // to associate with; nil: none
	parsed   *contract.Ticket // the same
	has      bool             // the follower has it
	epoch    uint64           // of the zone, before any of the rest was looked at
	member   contract.MemberState
}

// prove holds a hello against its connection and the ledger. The error is a
// *refusal, or the state's own.
func (h *Hub) prove(l *link, value string) (who message.Identity, e entrance, err error) {
	if l.used {
		return who, e, &refusal{refusedNonce, "a second attempt on one connection"}
	}
	l.used = true
	hello, key, err := message.ParseHello(value)
	if err != nil {
		return who, e, &refusal{refusedHello, err.Error()}
	}
	who = message.Identity{Member: hello.Member, Key: key}
	if err := h.bound(l, hello); err != nil {
		return who, e, err
	}
	if e, err = h.place(who, hello, l.guest.RemoteAddr()); err == nil && e.ticket != nil {
		e.parsed, _, err = contract.ParseTicket(e.ticket)
	}
	return who, e, err
}

// bound reports a hello that was not made for this connection.
func (h *Hub) bound(l *link, hello *message.Hello) error {
	state := l.tls.ConnectionState()
	binding, err := state.ExportKeyingMaterial(message.Binding, nil, len(hello.Binding))
	switch {
	case err != nil:
		return err
	case hello.Zone != h.zone:
		return &refusal{refusedZone, "a hello for zone " + hello.Zone.Short()}
	case string(hello.Master[:]) != string(h.master.Public().(ed25519.PublicKey)):
		return &refusal{refusedMaster, "a hello for another master"}
	case hello.Nonce != l.nonce:
		return &refusal{refusedNonce, "a hello over a nonce that is not this connection's"}
	case [32]byte(binding) != hello.Binding:
		return &refusal{refusedBinding, "a hello over another TLS connection: somebody is in between"}
	}
	return nil
}

// place says where who proved its key stands.
func (h *Hub) place(who message.Identity, hello *message.Hello, from net.Addr) (e entrance, err error) {
	state, height := h.ledger.State(), h.ledger.Height()
	roll, err := contract.ReadRoll(state)
	if err != nil {
		return e, err
	}
	e.epoch = roll.Epoch
	if e.member, _, err = contract.ReadMember(state, who.Member); err != nil {
		return e, err
	}
	if err := claim(state, e.member, who); err != nil {
		return e, &refusal{refusedKey, err.Error()}
	}
	if e.member.Key == [32]byte{} {
		return h.newcomer(e, who, hello, from)
	}
	err = e.member.Standing(state, height)
	var refused *contract.RejectError
	switch {
	case err == nil:
		e.standing = message.StandingMember
		return e, nil
	case !errors.As(err, &refused):
		return e, err
	case refused.Code != contract.CodeExpired:
		return e, &refusal{string(refused.Code), refused.Reason}
	}
	e.standing = message.StandingRenew
	if e.ticket, err = h.desk.fetch(state, height, who, !h.o.Ask); err != nil || e.ticket != nil {
		return e, err
	}
	if !h.o.Ask {
		e.ticket, err = h.desk.Admit(state, height, who, Grant{})
		return e, err
	}
	return e, h.ask(who, from, true)
}

// newcomer says where somebody stands who is no member: it has a ticket, or there is
// one for it, or its code makes one, or it has to wait.
func (h *Hub) newcomer(e entrance, who message.Identity, hello *message.Hello, from net.Addr) (entrance, error) {
	state, height := h.ledger.State(), h.ledger.Height()
	e.standing = message.StandingAssociate
	if e.member.Revoked {
		return e, &refusal{refusedRevoked, "it was revoked before it associated"}
	}
	var err error
	if e.ticket, err = h.desk.fetch(state, height, who, !h.o.Ask); err != nil || e.ticket != nil {
		return e, err
	}
	if len(hello.Ticket) > 0 {
		e.ticket, e.has = hello.Ticket, true
		return e, h.holds(hello.Ticket, who, e.member)
	}
	if hello.Code != "" {
		e.ticket, err = h.desk.redeem(state, height, who, hello.Code, zone.TimeOf(time.Now()))
		return e, err
	}
	e.standing = message.StandingPending
	return e, h.ask(who, from, false)
}

// ask notes a request, unless it was turned away, or there were too many lately. Of
// members there is one for each at most, so theirs are not counted.
func (h *Hub) ask(who message.Identity, from net.Addr, renewal bool) error {
	r := Request{Identity: who.String(), From: host(from), Time: zone.TimeOf(time.Now()), Renewal: renewal}
	waits, dropped := h.desk.knows(r.Identity)
	switch {
	case dropped:
		return &refusal{refusedDropped, "an operator turned its request away"}
	case waits:
		return nil
	case !renewal && !h.mayAsk(prefixOf(from)):
		return &refusal{refusedBusy, "too many requests to be admitted, from its address or from all"}
	}
	gone, err := h.desk.ask(r)
	if err == nil && gone != "" {
		h.turnOut(gone, byeBusy)
	}
	return err
}

func (h *Hub) mayAsk(from netip.Prefix) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asks.may(from, time.Since(h.born))
}

// Drop turns a request away, and ends the session that waits with it.
func (h *Hub) Drop(identity string) error {
	if err := h.desk.Drop(identity); err != nil {
		return err
	}
	h.turnOut(identity, byeDropped)
	return nil
}

// turnOut ends a session that waits for an operator.
func (h *Hub) turnOut(identity string, code contract.Code) {
	id, err := message.ParseIdentity(identity)
	if err != nil {
		return // nobody came with it
	}
	for _, s := range h.sessionsOf(id) {
		if s.waiting() {
			s.end(code)
		}
	}
}

// holds reports why a ticket is worth nothing here.
func (h *Hub) holds(raw []byte, who message.Identity, m contract.MemberState) error {
	t, by, err := contract.ParseTicket(raw)
	if err != nil {
		return &refusal{refusedForged, err.Error()}
	}
	roll, err := contract.ReadRoll(h.ledger.State())
	switch {
	case err != nil:
		return err
	case t.Zone != h.zone:
		return &refusal{refusedForeign, "a ticket of zone " + t.Zone.Short()}
	case !by.Equal(h.master.Public()):
		return &refusal{refusedForged, "a ticket that another key than the master's signed"}
	case t.Member != who.Member || t.Key != [32]byte(who.Key):
		return &refusal{refusedStolen, "the ticket of " + string(t.Member) + ", and another name or key"}
	case t.Epoch != roll.Epoch:
		return &refusal{refusedEpoch, "a ticket of an epoch that is past"}
	case h.ledger.Height() > t.Until:
		return &refusal{refusedExpired, "a ticket for blocks that are past"}
	case t.Serial <= max(m.Serial, h.desk.newest(who.Member)):
		return &refusal{refusedOld, "a ticket that was followed by another one"}
	}
	return nil
}

func host(a net.Addr) string {
	if name, _, err := net.SplitHostPort(a.String()); err == nil {
		return name
	}
	return a.String()
}

// converse keeps a session from its welcome to its end.
func (h *Hub) converse(conn *websocket.Conn, below net.Conn, who message.Identity, e entrance) {
	s, from := h.newSession(conn, below, who), below.RemoteAddr()
	s.stands, s.epoch, s.ticket = e.standing, e.epoch, e.parsed
	if !h.enter(s) {
		h.refusals.note(refusedBusy, who.Member, from, "there are as many sessions as there may be")
		conn.Close(websocket.StatusTryAgainLater, string(byeBusy))
		return
	}
	defer h.leave(s)
	s.tell(&message.Welcome{Standing: e.standing, Height: h.ledger.Height(), Epoch: e.epoch, N: e.member.N, Newest: e.member.Newest})
	if e.ticket != nil && !e.has {
		s.tell(&message.Ticket{Ticket: e.ticket})
	}
	if e.standing == message.StandingMember {
		s.begin(h.member(who.Member))
	}
	// Between the hello and now a block may have come that changes it all.
	if err := h.stands(s, h.ledger.Height()); err != nil {
		h.o.Log.Error("a session could not begin", "member", who.Member, "error", err)
		s.end(byeStopped)
	}
	// Or an operator has answered.
	if waits, _ := h.desk.knows(who.String()); s.waiting() && !waits {
		s.end(byeBusy)
	}
	h.o.Log.Debug("session", "member", who.Member, "from", from, "standing", e.standing)
	s.serve()
}

// begin makes it the session of a member.
func (s *session) begin(m *member) {
	s.mu.Lock()
	s.member, s.stands = m, message.StandingMember
	s.mu.Unlock()
	m.attach(s)
	s.nudge()
}

// enter counts a session in, unless there are too many beside those that wait to be
// admitted, of which there are as many as requests. Whoever it is of has no other from
// now on.
func (h *Hub) enter(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	others := 0
	for other := range h.sessions {
		if other.id.Member == s.id.Member && s.id.Key.Equal(other.id.Key) {
			other.end(byeReplaced)
		}
		if !other.ended() && other.standing() != message.StandingPending {
			others++
		}
	}
	if s.stands != message.StandingPending && others >= h.o.Max {
		return false
	}
	h.sessions[s] = true
	h.talks.Add(1)
	h.counts.sessions.Add(1)
	return true
}

func (h *Hub) leave(s *session) {
	s.mu.Lock()
	m := s.member
	s.mu.Unlock()
	if m != nil {
		m.detach(s)
	}
	h.mu.Lock()
	delete(h.sessions, s)
	h.mu.Unlock()
	h.talks.Done()
}

// joined makes the session of who has associated one of a member.
func (h *Hub) joined(tx *contract.Signed) error {
	var s *session
	for _, other := range h.sessionsOf(message.Identity{Member: tx.Member, Key: tx.Key}) {
		if other.standing() != message.StandingMember {
			s = other
		}
	}
	if s == nil {
		return nil
	}
	state := h.ledger.State()
	m, _, err := contract.ReadMember(state, s.id.Member)
	if err != nil {
		return err
	}
	roll, err := contract.ReadRoll(state)
	if err != nil {
		return err
	}
	s.begin(h.member(s.id.Member))
	h.expireAt(m.Until + 1)
	s.tell(&message.Welcome{Standing: message.StandingMember, Height: h.ledger.Height(), Epoch: roll.Epoch, N: m.N, Newest: m.Newest})
	return nil
}

// Admit signs a ticket for a follower and brings it there, now if it waits.
func (h *Hub) Admit(id message.Identity, g Grant) error {
	state, height := h.ledger.State(), h.ledger.Height()
	raw, err := h.desk.Admit(state, height, id, g)
	if err != nil {
		return err
	}
	m, _, err := contract.ReadMember(state, id.Member)
	if err != nil {
		return err
	}
	roll, err := contract.ReadRoll(state)
	if err != nil {
		return err
	}
	ticket, _, err := contract.ParseTicket(raw)
	if err != nil {
		return err
	}
	for _, s := range h.sessionsOf(id) {
		if s.standing() == message.StandingMember {
			continue
		}
		s.mu.Lock()
		if s.stands == message.StandingPending {
			s.stands = message.StandingAssociate
		}
		s.epoch, s.ticket = roll.Epoch, ticket
		standing := s.stands
		s.mu.Unlock()
		s.tell(&message.Welcome{Standing: standing, Height: height, Epoch: roll.Epoch, N: m.N, Newest: m.Newest})
		s.tell(&message.Ticket{Ticket: raw})
		if err := h.stands(s, h.ledger.Height()); err != nil { // meanwhile a block may have come
			return err
		}
	}
	return nil
}

func (h *Hub) sessionsOf(id message.Identity) (all []*session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sessions {
		if s.id.Member == id.Member && s.id.Key.Equal(id.Key) {
			all = append(all, s)
		}
	}
	return all
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"

	"bellwether/internal/contract"
	"bellwether/internal/gateway"
	"bellwether/internal/message"
)

// besieged is a zone under attack: A and B are members that talk, X was admitted
// and has its ticket, and there is another zone.
type besieged struct {
	*master
	other   *master
	a, b, x *client
	ctx     context.Context
	o       *outcome
}

// membersAttacked attacks a real master, and runs the tests that do so in the hub's
// and the contract's own rooms.
func (b *bench) membersAttacked(o *outcome) error {
	o.goal = "every attack is refused by name, and members talk on meanwhile"
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	s := &besieged{ctx: ctx, o: o}
	defer func() { killAll(s.master); killAll(s.other) }()
	if err := s.found(b); err != nil {
		return err
	}
	for _, step := range []func() error{s.atTheDoor, s.transactions, s.frames, s.between, s.halfOpen, s.standings} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := b.in1970(o); err != nil {
		return err
	}
	return attackTests(o)
}

// attackTests runs the hub's and the contract's own.
func attackTests(o *outcome) error {
	for pkg, names := range map[string][]string{
		"./internal/bus": {"TestDoor", "TestForgedHello", "TestNonceOnce", "TestOnlyTLS13", "TestManInTheMiddle", "TestTransactions", "TestFrames",
			"TestClocks", "TestHalfOpen", "TestSignedForOther", "TestDeadPeer", "TestFlood"},
		"./internal/contract": {"TestRefusedMembers", "TestBadMessages"},
	} {
		passed := 0
		for _, name := range names {
			r, err := tested(pkg, name)
			if err != nil {
				return err
			}
			passed += len(r.passed)
			if len(r.failed) > 0 {
				o.need(false, "%s %s: failed %q", pkg, name, r.failed)
			}
		}
		o.need(passed >= len(names), "%s: %d tests of attacks passed", pkg, passed)
	}
	return nil
}

// found makes both zones and their members.
func (s *besieged) found(b *bench) (err error) {
	if s.master, err = b.newMaster(b.binary, serving{listen: loopback, members: ", renew: ask"}); err != nil {
		return err
	}
	if s.other, err = b.newMaster(b.binary, serving{listen: loopback}); err != nil {
		return err
	}
	i, err := s.invite("--open")
	if err != nil {
		return err
	}
	s.a, s.b, s.x = newClient(i, "a"), newClient(i, "b"), newClient(i, "x")
	for _, c := range []*client{s.a, s.b, s.x} {
		if err := s.admit(c); err != nil {
			return err
		}
	}
	if s.x.ticket, err = s.x.fetch(s.ctx); err != nil {
		return err
	}
	return errors.Join(s.a.enter(s.ctx), s.b.enter(s.ctx))
}

// fetch gives the ticket that waits for a client, and goes.
func (c *client) fetch(ctx context.Context) ([]byte, error) {
	if err := c.open(ctx, nil); err != nil {
		return nil, err
	}
	defer c.close()
	t, err := awaits[*message.Ticket](ctx, c)
	if err != nil {
		return nil, err
	}
	c.hello = ""
	return t.Ticket, nil
}

// refusals gives how often the master has refused something by a name.
func (s *besieged) refusals(name string) int64 {
	a, err := s.order(gateway.MemberOrder{Do: gateway.DoRequests})
	if err != nil || a.Hub == nil {
		return -1
	}
	return a.Hub.Refusals[name]
}

// refused has somebody come to the door who must not be let in, and looks whether
// the operator hears why.
func (s *besieged) refused(attack, name string, c *client, change func(*message.Hello)) {
	before := s.refusals(name)
	err := c.open(s.ctx, change)
	c.close()
	counted := s.refusals(name) - before
	s.o.need(errors.Is(err, errRefused) && counted == 1, "%s: answered by 401 (%v), counted %d times as %q", attack, err, counted, name)
}

// like gives a client of that name with the key of another name.
func like(c *client, name, keyOf string) *client {
	l := newClient(c.invite, keyOf)
	l.name = newClient(c.invite, name).name
	return l
}

// atTheDoor are those who are turned away before there is a session.
func (s *besieged) atTheDoor() error {
	i := s.a.invite
	forger := newClient(i, "forger")
	own := contract.Ticket{Zone: i.Zone, Member: "forger", Key: [32]byte(forger.identity().Key), Role: "device", Until: 1000, Serial: 1}
	var err error
	if forger.ticket, err = own.Sign(forger.key); err != nil {
		return err
	}
	s.refused("forged ticket", "ticket-forged", forger, nil)

	far, err := s.other.invite("--open")
	if err != nil {
		return err
	}
	foreigner := newClient(far, "foreigner")
	if err := s.other.admit(foreigner); err != nil {
		return err
	}
	ticket, err := foreigner.fetch(s.ctx)
	if err != nil {
		return err
	}
	foreigner.invite, foreigner.ticket = i, ticket
	s.refused("ticket of another zone, by its real master", "ticket-zone", foreigner, nil)

	thief := like(s.a, "x", "thief")
	thief.ticket = s.x.ticket
	s.refused("stolen ticket with another key", "ticket-stolen", thief, nil)
	s.refused("a member's name with another key", "key", like(s.a, "a", "thief"), nil)
	s.refused("a member's key with another name", "key", like(s.a, "twin", "a"), nil)
	s.refused("a hello for another zone", "zone", like(s.a, "a", "a"), func(h *message.Hello) { h.Zone[0] ^= 1 })

	again := like(s.a, "b", "b")
	again.hello = s.b.hello
	s.refused("replayed handshake, in the same bytes", "replay", again, nil)
	coder := newClient(i, "coder")
	coder.invite.Code = "abcdefghijklmnopqrstuvwx"
	s.refused("an invite's code that is not open", "code", coder, nil)
	return nil
}

// hands hands in a transaction of A and gives what comes back.
func (s *besieged) hands(object, payload []byte) (string, error) {
	if err := s.a.say(s.ctx, &message.Submit{Object: object, Payload: payload}); err != nil {
		return "", err
	}
	for {
		f, err := s.a.next(s.ctx)
		if err != nil {
			return "", err
		}
		switch f := f.(type) {
		case *message.Refusal:
			return string(f.Code), nil
		case *message.Receipt:
			return fmt.Sprintf("receipt of %d in block %d", f.N, f.Block), nil
		}
	}
}

// transactions are what a member hands in and is not taken.
func (s *besieged) transactions() error {
	b, payload := letter("b", []byte("hello"))
	far, farPayload := letter("foreigner", []byte("hello"))
	next := s.a.n + 1
	good, err := s.a.sign(next, b)
	if err != nil {
		return err
	}
	skipped, err := s.a.sign(next+1, b)
	if err != nil {
		return err
	}
	astray, err := s.a.sign(next, far)
	if err != nil {
		return err
	}
	spoilt := bytes.Clone(good)
	spoilt[len(spoilt)-1] ^= 1
	tampered := append(payload[:len(payload)-1:len(payload)-1], 'X')
	for _, t := range []struct {
		attack, code    string
		object, payload []byte
	}{
		{"skipped sequence", "order", skipped, payload},
		{"message to another zone's member", "recipient", astray, farPayload},
		{"tampered payload", "malformed", good, tampered},
		{"tampered transaction", "signature", spoilt, payload},
	} {
		before := s.refusals(t.code)
		got, err := s.hands(t.object, t.payload)
		if err != nil {
			return err
		}
		s.o.need(got == t.code && s.refusals(t.code) == before+1, "%s: refused with %q", t.attack, got)
	}
	return s.replayed(good, payload)
}

// replayed hands in the same message again and again.
func (s *besieged) replayed(object, payload []byte) error {
	first, err := s.hands(object, payload)
	if err != nil {
		return err
	}
	s.a.n++
	same := 0
	for range 5 {
		again, err := s.hands(object, payload)
		if err != nil {
			return err
		}
		same += btoi(again == first)
	}
	s.a.close()
	if err := s.a.enter(s.ctx); err != nil { // over another session, too
		return err
	}
	again, err := s.hands(object, payload)
	if err != nil {
		return err
	}
	other, otherPayload := letter("b", []byte("other"))
	reused, err := s.a.sign(s.a.n, other)
	if err != nil {
		return err
	}
	code, err := s.hands(reused, otherPayload)
	if err != nil {
		return err
	}
	if err := s.a.send(s.ctx, "b", "the last"); err != nil {
		return err
	}
	var came []string
	for len(came) == 0 || came[len(came)-1] != "the last" {
		d, err := awaits[*message.Delivery](s.ctx, s.b)
		if err != nil {
			return err
		}
		came = append(came, string(d.Payload[contract.PayloadSalt:]))
		if err := s.b.say(s.ctx, &message.Ack{Position: d.Position}); err != nil {
			return err
		}
	}
	s.o.need(same == 5 && again == first && code == "order" && len(came) == 2,
		"replayed message: seven times the %s, another one under its number is refused with %q; B got %q", first, code, came)
	return nil
}

// frames are what ends a session.
func (s *besieged) frames() error {
	for _, t := range []struct {
		attack string
		raw    []byte
	}{
		{"oversized frame", bytes.Repeat([]byte{0}, message.MaxFrame+1)}, {"half a frame", []byte{0x83, 0x10, 0x41}}, {"empty frame", nil},
	} {
		c := like(s.a, "a", "a")
		if err := c.enter(s.ctx); err != nil {
			return err
		}
		if err := c.conn.Write(s.ctx, websocket.MessageBinary, t.raw); err != nil {
			return err
		}
		how := "closed"
		for {
			f, err := c.next(s.ctx)
			if bye, ok := f.(*message.Bye); ok {
				how = string(bye.Code)
			}
			if err != nil {
				break
			}
		}
		s.o.need(s.ctx.Err() == nil, "%s: the session ended: %s", t.attack, how)
	}
	return s.a.enter(s.ctx)
}

// standings are a revoked key and an old epoch.
func (s *besieged) standings() error {
	if _, err := s.order(gateway.MemberOrder{Do: gateway.DoRevoke, Member: "a"}); err != nil {
		return err
	}
	s.refused("revoked key", "revoked", like(s.a, "a", "a"), nil)
	if _, err := s.order(gateway.MemberOrder{Do: gateway.DoEpoch}); err != nil {
		return err
	}
	s.refused("ticket of an old epoch", "ticket-epoch", s.x, nil)
	for {
		f, err := s.b.next(s.ctx)
		if err != nil {
			return fmt.Errorf("no word at the end of B's session: %w", err)
		}
		if bye, ok := f.(*message.Bye); ok {
			s.o.need(bye.Code == contract.CodeExpired, "a session of an old epoch ended: %s", bye.Code)
			break
		}
	}
	old := like(s.a, "b", "b")
	if err := old.open(s.ctx, nil); err != nil {
		return err
	}
	defer old.close()
	w, err := awaits[*message.Welcome](s.ctx, old)
	if err != nil {
		return err
	}
	b, payload := letter("x", []byte("hello"))
	raw, err := old.sign(w.N+1, b)
	if err == nil {
		err = old.say(s.ctx, &message.Submit{Object: raw, Payload: payload})
	}
	if err != nil {
		return err
	}
	r, err := awaits[*message.Refusal](s.ctx, old)
	if err != nil {
		return err
	}
	s.o.need(w.Standing == message.StandingRenew && r.Code == contract.CodeExpired, "a member of an old epoch comes back: its standing is %q, and what it says is refused with %q", w.Standing, r.Code)
	return nil
}

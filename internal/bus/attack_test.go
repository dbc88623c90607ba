package bus

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"bellwether/internal/contract"
	"bellwether/internal/cose"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// refuses checks that a hello is answered by 401, and that the operator's log and
// counts say why.
func (f *peer) refuses(name string, change func(*message.Hello)) {
	f.Helper()
	before := f.hub.Status().Refusals[name]
	ctx, cancel := context.WithTimeout(context.Background(), patienceOf)
	defer cancel()
	if err := f.attempt(ctx, change); !errors.Is(err, errRefused) {
		f.Fatalf("%s: %v, want a refusal", name, err)
	}
	if got := f.hub.Status().Refusals[name]; got != before+1 {
		f.Errorf("%s was counted %d times more, want 1: %v", name, got-before, f.hub.Status().Refusals)
	}
	if !strings.Contains(f.log.String(), "refusal="+name) {
		f.Errorf("the log does not name %s", name)
	}
}

// ticketFor signs a ticket for f, with changes.
func (f *peer) ticketFor(by ed25519.PrivateKey, change func(*contract.Ticket)) []byte {
	f.Helper()
	t := &contract.Ticket{Zone: f.zone, Member: f.name, Key: [32]byte(f.identity().Key), Role: "device", Until: 1000, Serial: 1}
	if change != nil {
		change(t)
	}
	raw, err := t.Sign(by)
	if err != nil {
		f.Fatal(err)
	}
	return raw
}

// TestDoor: who comes to the door and is not let in.
func TestDoor(t *testing.T) {
	p := newPlace(t, Options{Ask: true})
	member := p.peer("member")
	member.join(Grant{})
	member.close()
	gone := p.peer("gone")
	gone.join(Grant{})
	gone.close()
	p.roll(&contract.MemberAction{Action: contract.ActionRevoke, Member: "gone"})
	p.roll(&contract.MemberAction{Action: contract.ActionRevoke, Member: "barred"})
	other := p.peer("other")

	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	thief := p.peer("member")
	thief.key = stranger
	twin := p.peer("twin")
	twin.key = member.key
	former, latter := p.peer("heir"), p.peer("heir")
	latter.key = p.peer("latter").key
	for _, f := range []*peer{former, latter} { // the operator took the wrong key first
		var err error
		if f.ticket, err = p.desk.Admit(p.ledger.State(), p.ledger.Height(), f.identity(), Grant{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, try := range map[string]struct {
		who    *peer
		want   string
		change func(*message.Hello)
	}{
		"zone":                             {member, refusedZone, func(h *message.Hello) { h.Zone[0] ^= 1 }},
		"master":                           {member, refusedMaster, func(h *message.Hello) { h.Master[0] ^= 1 }},
		"replayed handshake":               {member, refusedNonce, func(h *message.Hello) { h.Nonce[0] ^= 1 }},
		"man in the middle":                {member, refusedBinding, func(h *message.Hello) { h.Binding[0] ^= 1 }},
		"a member's name with another key": {thief, refusedKey, nil},
		"a member's key with another name": {twin, refusedKey, nil},
		"revoked key":                      {gone, refusedRevoked, nil},
		"revoked before it came":           {p.peer("barred"), refusedRevoked, nil},
		"forged ticket":                    {other, refusedForged, func(h *message.Hello) { h.Ticket = other.ticketFor(stranger, nil) }},
		"changed ticket": {other, refusedForged, func(h *message.Hello) {
			h.Ticket = bytes.Replace(other.ticketFor(ledgertest.Master(), nil), []byte("device"), []byte("master"), 1)
		}},
		"ticket of another zone": {other, refusedForeign, func(h *message.Hello) {
			h.Ticket = other.ticketFor(ledgertest.Master(), func(t *contract.Ticket) { t.Zone[0] ^= 1 })
		}},
		"stolen ticket with another key": {other, refusedStolen, func(h *message.Hello) {
			h.Ticket = other.ticketFor(ledgertest.Master(), func(t *contract.Ticket) { t.Key[0] ^= 1 })
		}},
		"stolen ticket with another name": {other, refusedStolen, func(h *message.Hello) {
			h.Ticket = other.ticketFor(ledgertest.Master(), func(t *contract.Ticket) { t.Member = "somebody" })
		}},
		"ticket of another epoch": {other, refusedEpoch, func(h *message.Hello) {
			h.Ticket = other.ticketFor(ledgertest.Master(), func(t *contract.Ticket) { t.Epoch = 9 })
		}},
		"ticket for blocks that are past": {other, refusedExpired, func(h *message.Hello) {
			h.Ticket = other.ticketFor(ledgertest.Master(), func(t *contract.Ticket) { t.Until = 0 })
		}},
		"ticket that was followed by one for another key": {former, refusedOld, nil},
		"code of no invite": {other, refusedCode, func(h *message.Hello) { h.Code = "abc" }},
	} {
		t.Run(name, func(t *testing.T) {
			try.who.place.TB = t
			defer func() { try.who.place.TB = p.TB }()
			try.who.refuses(try.want, try.change)
		})
	}
}

// TestForgedHello: headers that are no hello, or one that its key did not sign.
func TestForgedHello(t *testing.T) {
	p := newPlace(t, Options{})
	a := p.peer("a")
	a.join(Grant{})
	hello := message.Hello{Zone: p.zone, Member: "a"}
	forged, err := hello.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"x", "Bellwether", "Bellwether x", "Basic YTpi", forged[:len(forged)-2] + "AA", "Bellwether " + strings.Repeat("A", 5000)} {
		c, err := tls.Dial("tcp", p.address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: %s\r\n\r\n", message.Path, value)
		answer := make([]byte, 4096)
		n, err := c.Read(answer)
		if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 401 ") {
			t.Errorf("%.20q: answered %q, %v", value, answer[:n], err)
		}
		for _, secret := range []string{"hello", "signature", "cose", "revoked"} {
			if strings.Contains(strings.ToLower(string(answer[:n])), secret) {
				t.Errorf("the stranger is told %q", answer[:n])
			}
		}
		c.Close()
	}
}

// TestNonceOnce: a nonce is good for one attempt.
func TestNonceOnce(t *testing.T) {
	p := newPlace(t, Options{})
	c, err := tls.Dial("tcp", p.address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bellwether x\r\n\r\n", message.Path)
	fmt.Fprint(c, request+request)
	c.SetReadDeadline(time.Now().Add(patienceOf))
	var all bytes.Buffer
	all.ReadFrom(c)
	if n := strings.Count(all.String(), "HTTP/1.1 401"); n != 1 || !strings.Contains(all.String(), "Connection: close") {
		t.Errorf("%d answers: %q", n, all.String())
	}
}

// TestChallengeOnce: a connection is given one nonce, however often it asks.
func TestChallengeOnce(t *testing.T) {
	p := newPlace(t, Options{})
	c, err := tls.Dial("tcp", p.address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, strings.Repeat(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", message.Path), 5))
	c.SetReadDeadline(time.Now().Add(patienceOf))
	var all bytes.Buffer
	all.ReadFrom(c)
	if n := strings.Count(all.String(), "HTTP/1.1 401"); n != 2 || strings.Count(all.String(), "nonce=") != 1 || !strings.Contains(all.String(), "Connection: close") {
		t.Errorf("%d answers: %q", n, all.String())
	}
}

// TestOnlyTLS13: nothing older is spoken.
func TestOnlyTLS13(t *testing.T) {
	p := newPlace(t, Options{})
	if c, err := tls.Dial("tcp", p.address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		c.Close()
		t.Error("TLS 1.2 was spoken")
	}
}

// relay is somebody in between with a valid certificate of its own, who passes on
// what follower and master say inside TLS.
func relay(t *testing.T, to string) (address string) {
	t.Helper()
	cert, err := LoadCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", cert.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := tls.Dial("tcp", to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
			if err != nil {
				in.Close()
				continue
			}
			go func() { defer in.Close(); bytes.NewBuffer(nil).ReadFrom(tee{in, out}) }()
			go func() { defer out.Close(); bytes.NewBuffer(nil).ReadFrom(tee{out, in}) }()
		}
	}()
	return l.Addr().String()
}

// tee passes on what it reads.
type tee struct{ from, to net.Conn }

func (t tee) Read(b []byte) (int, error) {
	n, err := t.from.Read(b)
	if n > 0 {
		if _, err := t.to.Write(b[:n]); err != nil {
			return 0, err
		}
	}
	return n, err
}

// TestManInTheMiddle: a follower that does not look at the pin is protected by the
// channel binding all the same, and one that looks goes no further.
func TestManInTheMiddle(t *testing.T) {
	p := newPlace(t, Options{})
	a := p.peer("a")
	a.join(Grant{})
	a.close()
	through := *a.place
	through.address = relay(t, p.address)
	a.place = &through
	if err := a.attempt(t.Context(), nil); err == nil || !strings.HasPrefix(err.Error(), "pin") {
		t.Errorf("the follower saw %v, want another pin", err)
	}
	a.blind = true
	a.refuses(refusedBinding, nil)
}

// refusal says a transaction and gives the code that it is refused with.
func (f *peer) refusal(object, payload []byte) contract.Code {
	f.Helper()
	f.say(&message.Submit{Object: object, Payload: payload})
	return want[*message.Refusal](f).Code
}

// TestTransactions: what members hand in and is not taken.
func TestTransactions(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	height := p.ledger.Height()
	check := func(name string, want contract.Code, object, payload []byte) {
		t.Helper()
		if got := a.refusal(object, payload); got != want {
			t.Errorf("%s: refused with %q, want %q", name, got, want)
		}
	}
	body, payload := a.message("b", "hello")
	check("skipped sequence", contract.CodeOrder, a.signAs(3, body), payload)
	check("a number used before", contract.CodeOrder, a.signAs(1, body), payload)
	check("tampered payload", contract.CodeMalformed, a.signAs(2, body), append(payload[:len(payload)-1:len(payload)-1], 'X'))
	check("no payload", contract.CodeMalformed, a.signAs(2, body), nil)
	stray, strayPayload := a.message("elsewhere", "hello")
	check("message to another zone's member", contract.CodeRecipient, a.signAs(2, stray), strayPayload)
	self, selfPayload := a.message("a", "hello")
	check("message to itself", contract.CodeRecipient, a.signAs(2, self), selfPayload)
	foreign := contract.Tx{Zone: zone.Hash{1}, Member: "a", N: 2, Body: body}
	raw, err := foreign.SignMember(a.key)
	if err != nil {
		t.Fatal(err)
	}
	check("transaction of another zone", contract.CodeZone, raw, payload)
	spoilt := a.signAs(2, body)
	spoilt[len(spoilt)-1] ^= 1
	check("bad signature", contract.CodeSignature, spoilt, payload)
	if got := p.ledger.Height(); got != height {
		t.Errorf("%d blocks were made of nothing", got-height)
	}
	// None of it took the number.
	object := a.signAs(2, body)
	for range 3 { // and a replay of it is the same transaction
		a.say(&message.Submit{Object: object, Payload: payload})
		if r := want[*message.Receipt](a); r.N != 2 || r.Block != height {
			t.Errorf("receipt %+v", r)
		}
	}
	if got := content(t, want[*message.Delivery](b)); got != "a: hello" {
		t.Errorf("delivered %q", got)
	}
	a.n = 2
	a.send("b", "once")
	if got := content(t, want[*message.Delivery](b)); got != "a: once" {
		t.Errorf("delivered %q: a replayed message came twice", got)
	}
	// What is refused takes with it what was sent behind it.
	b3, p3 := a.message("nobody", "x")
	b4, p4 := a.message("b", "y")
	want[*message.Receipt](a)
	a.say(&message.Submit{Object: a.signAs(4, b3), Payload: p3})
	a.say(&message.Submit{Object: a.signAs(5, b4), Payload: p4})
	if r := want[*message.Refusal](a); r.N != 4 || r.Code != contract.CodeRecipient {
		t.Errorf("refusal %+v", r)
	}
	if r := want[*message.Refusal](a); r.N != 5 || r.Code != contract.CodeOrder {
		t.Errorf("refusal %+v", r)
	}
}

// TestFrames: what ends a session at once.
func TestFrames(t *testing.T) {
	p := newPlace(t, Options{})
	ends := func(f *peer) {
		t.Helper()
		for {
			got, err := f.next()
			if err != nil {
				return
			}
			if _, bye := got.(*message.Bye); !bye {
				t.Errorf("got %+v, want the end", got)
			}
		}
	}
	a := p.peer("a")
	a.join(Grant{})
	for name, raw := range map[string][]byte{
		"oversized":   bytes.Repeat([]byte{0}, message.MaxFrame+1),
		"half":        {0x83, 0x10, 0x41},
		"empty":       {},
		"no such":     {0x82, 0x17, 0x00},
		"master's":    mustBytes(t, &message.Receipt{N: 1}),
		"not a frame": []byte("hello"),
		"no object":   mustBytes(t, &message.Submit{Object: []byte("x")}),
		"not its own": mustBytes(t, &message.Submit{Object: p.peer("b").signAs(1, &contract.Associated{Ticket: p.peer("b").ticketFor(ledgertest.Master(), nil)})}),
	} {
		t.Run(name, func(t *testing.T) {
			if err := a.conn.Write(t.Context(), websocket.MessageBinary, raw); err != nil {
				t.Fatal(err)
			}
			ends(a)
			a.open()
		})
	}
	if err := a.conn.Write(t.Context(), websocket.MessageText, mustBytes(t, &message.Lookup{Member: "a"})); err != nil {
		t.Fatal(err)
	}
	ends(a)
}

func mustBytes(t *testing.T, f message.Frame) []byte {
	t.Helper()
	raw, err := message.Bytes(f)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestClocks: a follower that lives in 1970 or far ahead is served all the same.
func TestClocks(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	for i, sent := range []zone.Time{0, 1, -1 << 62, 1<<63 - 1} {
		body, payload := a.message("b", fmt.Sprint(i))
		tx := contract.Tx{Zone: p.zone, Member: "a", N: uint64(i) + 2, Sent: sent, Body: body}
		raw, err := tx.SignMember(a.key)
		if err != nil {
			t.Fatal(err)
		}
		a.say(&message.Submit{Object: raw, Payload: payload})
		want[*message.Receipt](a)
		d := want[*message.Delivery](b)
		if got := content(t, d); got != fmt.Sprintf("a: %d", i) || d.Received <= 0 {
			t.Errorf("clock at %d: %q at %d", sent, got, d.Received)
		}
	}
}

// TestHalfOpen: connections that say nothing, or half of something, do not keep
// members out.
func TestHalfOpen(t *testing.T) {
	p := newPlace(t, Options{})
	a := p.peer("a")
	a.join(Grant{})
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range maxGuests * 3 / 2 {
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Logf("after %d connections: %v", i, err)
			break
		}
		if i%3 == 0 {
			c.Write([]byte{0x16, 3, 1})
		}
		open = append(open, c)
	}
	b := p.peer("b")
	b.join(Grant{})
	a.send("b", "still here")
	if got := content(t, want[*message.Delivery](b)); got != "a: still here" {
		t.Errorf("delivered %q", got)
	}
}

// TestSignedForOther: a hello's signature does not count as one of a transaction,
// nor the other way round.
func TestSignedForOther(t *testing.T) {
	p := newPlace(t, Options{})
	a := p.peer("a")
	a.join(Grant{})
	body, payload := a.message("*", "x")
	good, err := cose.Parse(a.signAs(2, body))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := cose.Sign(a.key, "bellwether/hello/1\x00", good.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.refusal(raw, payload); got != contract.CodeSignature {
		t.Errorf("refused with %q", got)
	}
}

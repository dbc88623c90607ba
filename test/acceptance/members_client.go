package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"bellwether/internal/contract"
	"bellwether/internal/gateway"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// client is a follower's side of the protocol that can be made to say what a
// follower never would, and costs little.
type client struct {
	invite message.Invite
	name   zone.MemberID
	key    ed25519.PrivateKey
	ticket []byte // to show at the door; nil: none
	blind  bool   // it does not look at the pin
	hello  string // what it proved itself with; set before, it is said again

	conn *websocket.Conn
	n    uint64 // of its newest transaction
}

// newClient makes a client; the same name has the same key.
func newClient(i message.Invite, name string) *client {
	seed := sha256.Sum256([]byte("acceptance " + name))
	return &client{invite: i, name: zone.MemberID(name), key: ed25519.NewKeyFromSeed(seed[:])}
}

func (c *client) identity() message.Identity {
	return message.Identity{Member: c.name, Key: c.key.Public().(ed25519.PublicKey)}
}

// errRefused is a 401 to a hello.
var errRefused = errors.New("refused")

// secure opens a TLS connection.
func (c *client) secure(ctx context.Context) (*tls.Conn, error) {
	raw, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}}).DialContext(ctx, "tcp", c.invite.Address)
	if err != nil {
		return nil, err
	}
	conn := raw.(*tls.Conn)
	cert := conn.ConnectionState().PeerCertificates[0]
	if pin := zone.Hash(sha256.Sum256(cert.RawSubjectPublicKeyInfo)); pin != c.invite.Pin && !c.blind {
		conn.Close()
		return nil, fmt.Errorf("the certificate has pin %s", pin.Short())
	}
	return conn, nil
}

// open opens a session; change may spoil the hello before it is signed.
func (c *client) open(ctx context.Context, change func(*message.Hello)) error {
	conn, err := c.secure(ctx)
	if err != nil {
		return err
	}
	if err := c.greet(ctx, conn, change); err != nil {
		conn.Close()
		return err
	}
	return nil
}

func (c *client) greet(ctx context.Context, conn *tls.Conn, change func(*message.Hello)) error {
	once := make(chan net.Conn, 1)
	once <- conn
	h := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		select {
		case c := <-once:
			return c, nil
		default:
			return nil, errors.New("another connection")
		}
	}}}
	url := "https://" + c.invite.Address + message.Path
	_, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: h, Subprotocols: []string{message.Subprotocol}})
	if answer == nil {
		return err
	}
	hello := &message.Hello{Zone: c.invite.Zone, Member: c.name, Master: c.invite.Master, Code: c.invite.Code, Ticket: c.ticket}
	if hello.Nonce, err = message.ParseChallenge(answer.Header.Get("WWW-Authenticate")); err != nil {
		return err
	}
	state := conn.ConnectionState()
	binding, err := state.ExportKeyingMaterial(message.Binding, nil, len(hello.Binding))
	if err != nil {
		return err
	}
	copy(hello.Binding[:], binding)
	if change != nil {
		change(hello)
	}
	if c.hello == "" {
		if c.hello, err = hello.Sign(c.key); err != nil {
			return err
		}
	}
	header := http.Header{"Authorization": {c.hello}}
	ws, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: h, HTTPHeader: header, Subprotocols: []string{message.Subprotocol}})
	if err != nil && answer != nil && answer.StatusCode == http.StatusUnauthorized {
		return errRefused
	}
	if err != nil {
		return err
	}
	ws.SetReadLimit(message.MaxFrame)
	c.conn = ws
	return nil
}

// next gives the next frame.
func (c *client) next(ctx context.Context) (message.Frame, error) {
	_, raw, err := c.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	return message.Parse(raw)
}

func (c *client) say(ctx context.Context, f message.Frame) error {
	raw, err := message.Bytes(f)
	if err != nil {
		return err
	}
	return c.conn.Write(ctx, websocket.MessageBinary, raw)
}

// awaits gives the next frame of a type; others are passed over.
func awaits[F message.Frame](ctx context.Context, c *client) (f F, err error) {
	for {
		got, err := c.next(ctx)
		if err != nil {
			return f, fmt.Errorf("%s: waiting for a %T: %w", c.name, f, err)
		}
		if f, ok := got.(F); ok {
			return f, nil
		}
		if bye, ok := got.(*message.Bye); ok {
			return f, fmt.Errorf("%s: waiting for a %T: the session ended: %s", c.name, f, bye.Code)
		}
	}
}

// enter opens a session and associates, if that is to be done.
func (c *client) enter(ctx context.Context) error {
	c.hello = ""
	if err := c.open(ctx, nil); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	w, err := awaits[*message.Welcome](ctx, c)
	if err != nil {
		return err
	}
	c.n, c.invite.Code = w.N, ""
	if w.Standing == message.StandingMember {
		return nil
	}
	t, err := awaits[*message.Ticket](ctx, c)
	if err != nil {
		return err
	}
	raw, err := c.sign(c.n+1, &contract.Associated{Ticket: t.Ticket})
	if err == nil {
		err = c.say(ctx, &message.Submit{Object: raw})
	}
	if err != nil {
		return err
	}
	if w, err = awaits[*message.Welcome](ctx, c); err == nil && w.Standing != message.StandingMember {
		err = fmt.Errorf("%s: standing %s", c.name, w.Standing)
	}
	c.n++
	return err
}

// sign signs a transaction with a number.
func (c *client) sign(n uint64, body contract.Body) ([]byte, error) {
	tx := contract.Tx{Zone: c.invite.Zone, Member: c.name, N: n, Body: body}
	return tx.SignMember(c.key)
}

// letter makes a message and what it carries.
func letter(to string, content []byte) (*contract.Message, []byte) {
	payload := make([]byte, contract.PayloadSalt, contract.PayloadSalt+len(content))
	rand.Read(payload)
	payload = append(payload, content...)
	return &contract.Message{To: zone.MemberID(to), Op: contract.OpSend, Hash: contract.PayloadHash(payload), Size: uint32(len(payload))}, payload
}

// send sends a message and waits for its receipt.
func (c *client) send(ctx context.Context, to, content string) error {
	b, payload := letter(to, []byte(content))
	raw, err := c.sign(c.n+1, b)
	if err == nil {
		err = c.say(ctx, &message.Submit{Object: raw, Payload: payload})
	}
	if err != nil {
		return err
	}
	r, err := awaits[*message.Receipt](ctx, c)
	if err == nil && r.N != c.n+1 {
		err = fmt.Errorf("%s: the receipt of %d, want of %d", c.name, r.N, c.n+1)
	}
	c.n++
	return err
}

// close ends the connection.
func (c *client) close() {
	if c.conn != nil {
		c.conn.CloseNow()
	}
}

// stamp is the content of a message of the load: who sends, which of its messages
// it is, when it should have been sent and when it was.
type stamp struct {
	From, Seq uint64
	Due, Sent time.Duration // since the program began
}

// content gives n bytes.
func (s stamp) content(n int) []byte {
	b := make([]byte, n)
	for i, v := range []uint64{s.From, s.Seq, uint64(s.Due), uint64(s.Sent)} {
		binary.BigEndian.PutUint64(b[8*i:], v)
	}
	return b
}

func parseStamp(payload []byte) (s stamp, err error) {
	if len(payload) < contract.PayloadSalt+32 {
		return s, fmt.Errorf("a payload of %d bytes", len(payload))
	}
	b := payload[contract.PayloadSalt:]
	return stamp{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), time.Duration(binary.BigEndian.Uint64(b[16:])), time.Duration(binary.BigEndian.Uint64(b[24:]))}, nil
}

// admit has the operator admit a client.
func (m *master) admit(c *client) error {
	_, err := m.order(gateway.MemberOrder{Do: gateway.DoAdmit, Identity: c.identity().String()})
	return err
}

package follower

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"bellwether/internal/message"
)

// handshake is how long everything before the welcome may take.
const handshake = 20 * time.Second

// errRefused says that the master does not take the hello.
var errRefused = errors.New("the master does not let this follower in: has an operator admitted it, is the invite's code unused, and is the name free?")

// call opens a session with the master of the zone: TLS, challenge and hello, all
// on one connection, so that the hello is worth nothing on another. heard is
// called for each ping.
func (f *Follower) call(ctx context.Context, hello message.Hello, heard func()) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	conn, err := f.secure(ctx)
	if err != nil {
		return nil, err
	}
	left := conn
	transport := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		if left == nil {
			return nil, errors.New("the master closed the connection between challenge and hello")
		}
		c := left
		left = nil
		return c, nil
	}}
	defer transport.CloseIdleConnections()
	options := &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		HTTPHeader:   http.Header{},
		Subprotocols: []string{message.Subprotocol},
		OnPingReceived: func(context.Context, []byte) bool {
			heard()
			return true
		},
	}
	c, err := f.greet(ctx, conn, options, hello)
	if err != nil {
		conn.Close()
	}
	return c, err
}

// greet makes both requests.
func (f *Follower) greet(ctx context.Context, conn *tls.Conn, options *websocket.DialOptions, hello message.Hello) (*websocket.Conn, error) {
	url := "https://" + f.invite.Address + message.Path
	c, response, err := websocket.Dial(ctx, url, options)
	if err == nil {
		c.CloseNow()
		return nil, errors.New("the master asked for no hello: this is none of Bellwether's")
	}
	if response == nil || response.StatusCode != http.StatusUnauthorized {
		return nil, err
	}
	if hello.Nonce, err = message.ParseChallenge(response.Header.Get("WWW-Authenticate")); err != nil {
		return nil, err
	}
	state := conn.ConnectionState()
	binding, err := state.ExportKeyingMaterial(message.Binding, nil, len(hello.Binding))
	if err != nil {
		return nil, err
	}
	copy(hello.Binding[:], binding)
	text, err := hello.Sign(f.key)
	if err != nil {
		return nil, err
	}
	options.HTTPHeader.Set("Authorization", text)
	c, response, err = websocket.Dial(ctx, url, options)
	if err != nil && response != nil && response.StatusCode == http.StatusUnauthorized {
		return nil, errRefused
	}
	if err != nil {
		return nil, err
	}
	if c.Subprotocol() != message.Subprotocol {
		c.CloseNow()
		return nil, fmt.Errorf("the master speaks %q, not %q", c.Subprotocol(), message.Subprotocol)
	}
	c.SetReadLimit(message.MaxFrame)
	return c, nil
}

// secure opens the TLS connection. The pin is all that is asked of the
// certificate: a follower may not know the date, nor the master have a name.
func (f *Follower) secure(ctx context.Context) (*tls.Conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.invite.Address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the master showed no certificate")
		}
		if pin := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo); !bytes.Equal(pin[:], f.invite.Pin[:]) {
			return fmt.Errorf("%s is not the master that the invite names: its certificate has the pin %x…", f.invite.Address, pin[:4])
		}
		return nil
	}})
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return conn, nil
}

package message

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"bellwether/internal/canonical"
	"bellwether/internal/cose"
	"bellwether/internal/zone"
)

const helloAAD = "bellwether/hello/1\x00"

// Scheme is the authentication scheme in HTTP's headers (RFC 9110, section 11).
const Scheme = "Bellwether"

// Binding is the label of the channel binding tls-exporter (RFC 9266): 32 bytes
// of keying material, with an empty context.
const Binding = "EXPORTER-Channel-Binding"

// maxHello is more than any hello has bytes.
const maxHello = 4 << 10

// Hello proves who opens a session. It is a COSE_Sign1 by the follower with the
// external data "bellwether/hello/1\x00" over this map.
type Hello struct {
	Zone    zone.Hash     `cbor:"1,keyasint"` // the group ID
	Member  zone.MemberID `cbor:"2,keyasint"`
	Master  [32]byte      `cbor:"3,keyasint"` // the master's public key
	Nonce   [32]byte      `cbor:"4,keyasint"` // the one of this connection
	Binding [32]byte      `cbor:"5,keyasint"` // the connection's, see Binding
	Code    string        `cbor:"6,keyasint"` // of an invite; else empty
	Ticket  []byte        `cbor:"7,keyasint"` // if it has one and has not associated; else empty
}

// Sign gives the value of the header Authorization.
func (h *Hello) Sign(s crypto.Signer) (string, error) {
	payload, err := canonical.Marshal(h)
	if err != nil {
		return "", err
	}
	raw, err := cose.Sign(s, helloAAD, payload)
	if err != nil {
		return "", err
	}
	return Scheme + " " + base64.RawURLEncoding.EncodeToString(raw), nil
}

// ParseHello reads the value of the header Authorization and checks the
// signature. It gives the key that it is by.
func ParseHello(value string) (*Hello, ed25519.PublicKey, error) {
	text, ok := strings.CutPrefix(value, Scheme+" ")
	if !ok || len(text) > maxHello {
		return nil, nil, fmt.Errorf("authorization: want the scheme %s and at most %d characters", Scheme, maxHello)
	}
	raw, err := fromBase64(text)
	if err != nil {
		return nil, nil, fmt.Errorf("authorization: %w", err)
	}
	o, err := cose.Parse(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("hello: %w", err)
	}
	h := new(Hello)
	if err := decoding.Parse(o.Payload, h); err != nil {
		return nil, nil, fmt.Errorf("hello: %w", err)
	}
	if !h.Member.Valid() {
		return nil, nil, fmt.Errorf("hello: no follower can be called %q", string(h.Member))
	}
	if err := o.Verify(helloAAD); err != nil {
		return nil, nil, fmt.Errorf("hello: %w", err)
	}
	return h, o.Key, nil
}

// Challenge gives the value of the header WWW-Authenticate.
func Challenge(nonce [32]byte) string {
	return fmt.Sprintf("%s nonce=%q", Scheme, base64.RawURLEncoding.EncodeToString(nonce[:]))
}

// fromBase64 reads base64url without padding, in its one form: the library skips line
// breaks.
func fromBase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("a line break in base64")
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

// ParseChallenge reads what Challenge gives.
func ParseChallenge(value string) (nonce [32]byte, err error) {
	text, ok := strings.CutPrefix(value, Scheme+` nonce="`)
	text, end := strings.CutSuffix(text, `"`)
	raw, err := fromBase64(text)
	if !ok || !end || err != nil || len(raw) != len(nonce) {
		return nonce, errors.New("www-authenticate: not a challenge of this protocol: is this a master of Bellwether?")
	}
	return [32]byte(raw), nil
}

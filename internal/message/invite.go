package message

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"bellwether/internal/zone"
)

// Invite is what a follower has to know to come to a zone. It is safe to show
// as long as it has no code; one with a code admits whoever uses it first.
type Invite struct {
	Address string    // HOST:PORT of the master
	Zone    zone.Hash // the group ID
	Master  [32]byte  // the master's public key
	Pin     zone.Hash // SHA-256 of the SubjectPublicKeyInfo of the master's TLS certificate
	Code    string    // one-time; empty: an operator admits the follower
}

const inviteScheme = "bellwether"

// String gives the invite as a URI:
// bellwether://HOST:PORT/?zone=HEX&master=BASE64URL&pin=BASE64URL&code=TEXT.
func (i Invite) String() string {
	text := inviteScheme + "://" + i.Address + "/?zone=" + i.Zone.String() +
		"&master=" + base64.RawURLEncoding.EncodeToString(i.Master[:]) + "&pin=" + base64.RawURLEncoding.EncodeToString(i.Pin[:])
	if i.Code != "" {
		text += "&code=" + i.Code
	}
	return text
}

// ParseInvite reads what String gives, and nothing else.
func ParseInvite(text string) (i Invite, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("invite: %w: want bellwether://HOST:PORT/?zone=…&master=…&pin=…, as `bellwether zone invite` prints it", err)
		}
	}()
	if len(text) > 1024 {
		return i, fmt.Errorf("%d characters", len(text))
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != inviteScheme {
		return i, errors.New("not one")
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return i, fmt.Errorf("address %q", u.Host)
	}
	q := u.Query()
	i.Address, i.Code = u.Host, q.Get("code")
	if err := i.Zone.UnmarshalText([]byte(q.Get("zone"))); err != nil {
		return i, errors.New("zone")
	}
	for _, f := range []struct {
		name string
		to   *[32]byte
	}{{"master", &i.Master}, {"pin", (*[32]byte)(&i.Pin)}} {
		raw, err := fromBase64(q.Get(f.name))
		if err != nil || len(raw) != len(f.to) {
			return i, errors.New(f.name)
		}
		copy(f.to[:], raw)
	}
	if strings.Trim(i.Code, codeLetters) != "" || len(i.Code) > 64 {
		return i, errors.New("code")
	}
	if i.String() != strings.TrimSpace(text) {
		return i, errors.New("not as it was written")
	}
	return i, nil
}

// codeLetters are those of a one-time code.
const codeLetters = "abcdefghijklmnopqrstuvwxyz0123456789-"

// Identity is who a follower says it is, for an operator to admit.
type Identity struct {
	Member zone.MemberID
	Key    ed25519.PublicKey
}

// String gives the identity as text: NAME.BASE64URL.
func (i Identity) String() string {
	return string(i.Member) + "." + base64.RawURLEncoding.EncodeToString(i.Key)
}

// ParseIdentity reads what String gives.
func ParseIdentity(text string) (Identity, error) {
	name, key, ok := strings.Cut(strings.TrimSpace(text), ".")
	raw, err := fromBase64(key)
	if !ok || err != nil || len(raw) != ed25519.PublicKeySize {
		return Identity{}, fmt.Errorf("%q is not a follower's identity: want NAME.KEY, as the follower prints it", text)
	}
	id, err := zone.ParseMemberID(name)
	return Identity{id, raw}, err
}

package message

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

const sealInfo = "bellwether/seal/1\x00"

// encapsulated is how long an X25519 key is, and authenticator the tag of
// ChaCha20-Poly1305.
const (
	encapsulated  = 32
	authenticator = 16
)

// The largest contents in bytes: in the clear, and sealed.
const (
	MaxContent = contract.MaxPayload - contract.PayloadSalt
	MaxSealed  = MaxContent - encapsulated - authenticator
)

// Envelope is what a sealed payload is bound to: nobody can pass it on as part of
// another message.
type Envelope struct {
	Zone zone.Hash     // the group ID
	From zone.MemberID // who sends it
	To   zone.MemberID // whose key it is encrypted to
	N    uint64        // of the sender's transaction
}

func (e Envelope) bytes() []byte {
	b := append(e.Zone[:], e.From...)
	b = append(append(append(b, 0), e.To...), 0)
	return binary.BigEndian.AppendUint64(b, e.N)
}

// Salted gives the payload of a content in the clear: 16 random bytes, then the
// content.
func Salted(content []byte) ([]byte, error) {
	if len(content) > MaxContent {
		return nil, fmt.Errorf("%d bytes are over the limit of %d", len(content), MaxContent)
	}
	return append(salt(len(content)), content...), nil
}

// Content takes the random bytes off a payload in the clear.
func Content(payload []byte) ([]byte, error) {
	if len(payload) < contract.PayloadSalt {
		return nil, fmt.Errorf("a payload of %d bytes, want at least %d", len(payload), contract.PayloadSalt)
	}
	return payload[contract.PayloadSalt:], nil
}

// Seal gives the payload that only the owner of the X25519 public key can open.
func Seal(to [32]byte, e Envelope, content []byte) ([]byte, error) {
	if len(content) > MaxSealed {
		return nil, fmt.Errorf("%d bytes are over the limit of %d for what is sealed", len(content), MaxSealed)
	}
	key, err := ecdh.X25519().NewPublicKey(to[:])
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	public, err := hpke.NewDHKEMPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	enc, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(sealInfo))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	text, err := sender.Seal(e.bytes(), content)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return append(append(salt(len(enc)+len(text)), enc...), text...), nil
}

// Unseal opens what Seal gives.
func Unseal(key *ecdh.PrivateKey, e Envelope, payload []byte) ([]byte, error) {
	if len(payload) < contract.PayloadSalt+encapsulated+authenticator {
		return nil, errors.New("unseal: the payload is too short to be a sealed one")
	}
	private, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	sealed := payload[contract.PayloadSalt:]
	r, err := hpke.NewRecipient(sealed[:encapsulated], private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(sealInfo))
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	content, err := r.Open(e.bytes(), sealed[encapsulated:])
	if err != nil {
		return nil, errors.New("unseal: it was not sealed to this key by this sender for this message")
	}
	return content, nil
}

// salt gives the random bytes, with room for more behind.
func salt(room int) []byte {
	b := make([]byte, contract.PayloadSalt, contract.PayloadSalt+room)
	rand.Read(b) // never fails
	return b
}

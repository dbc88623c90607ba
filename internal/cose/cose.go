// Package cose signs and reads COSE_Sign1 objects (RFC 9052, section 4.2) in the
// one form that Bellwether uses, so that they have one encoding only:
//
//	18([<< {1: -8, 4: key} >>, {}, payload, signature])
//
// The algorithm is EdDSA with Ed25519 (RFC 9053, section 2.2) and the key
// identifier is the public key itself, 32 bytes. The encoding is CBOR in core
// deterministic form (RFC 8949, section 4.2.1), with the tag. What a signature is
// for goes into the external additional data (RFC 9052, section 4.3), so that
// none counts as one of another kind.
package cose

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"

	"bellwether/internal/canonical"
)

// Sign1 is a parsed object. Its slices share memory with what was parsed.
type Sign1 struct {
	Key       ed25519.PublicKey
	Payload   []byte
	Signature []byte
	protected []byte
}

// tag is the tag number 18.
const tag = 0xd2

// head begins the protected header: a map of two, alg: EdDSA, kid: 32 bytes.
var head = [...]byte{0xa2, 0x01, 0x27, 0x04, 0x58, ed25519.PublicKeySize}

type wire struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected struct{}
	Payload     []byte
	Signature   []byte
}

// toSign is the Sig_structure of RFC 9052, section 4.4.
type toSign struct {
	_         struct{} `cbor:",toarray"`
	Context   string
	Protected []byte
	External  []byte
	Payload   []byte
}

var decoding = canonical.Bounds{Nesting: 4, Pairs: 16, Elements: 16}.Decoder()

// Sign gives the object of payload. The signer's public key must be Ed25519.
// External says what the signature is for.
func Sign(s crypto.Signer, external string, payload []byte) ([]byte, error) {
	key, ok := s.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("cose: the key is a %T, not Ed25519", s.Public())
	}
	o := Sign1{Key: key, Payload: payload, protected: append(head[:len(head):len(head)], key...)}
	signed, err := o.signed(external)
	if err != nil {
		return nil, err
	}
	if o.Signature, err = s.Sign(nil, signed, crypto.Hash(0)); err != nil {
		return nil, fmt.Errorf("cose: %w", err)
	}
	return o.bytes()
}

// Parse reads the bytes that Sign gives, and nothing else. It checks no
// signature; see [Sign1.Verify].
func Parse(raw []byte) (*Sign1, error) {
	if len(raw) == 0 || raw[0] != tag {
		return nil, errors.New("cose: not a tagged COSE_Sign1")
	}
	var w wire
	if err := decoding.Parse(raw[1:], &w); err != nil {
		return nil, fmt.Errorf("cose: %w", err)
	}
	if len(w.Protected) != len(head)+ed25519.PublicKeySize || !bytes.Equal(w.Protected[:len(head)], head[:]) {
		return nil, errors.New("cose: the protected header is not {alg: EdDSA, kid: a public key of 32 bytes}")
	}
	if len(w.Signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("cose: a signature of %d bytes, want %d", len(w.Signature), ed25519.SignatureSize)
	}
	return &Sign1{Key: w.Protected[len(head):], Payload: w.Payload, Signature: w.Signature, protected: w.Protected}, nil
}

// Verify checks the signature by the key that the object names. Whether that
// key counts is for the caller to say.
func (o *Sign1) Verify(external string) error {
	signed, err := o.signed(external)
	if err != nil {
		return err
	}
	if !ed25519.Verify(o.Key, signed, o.Signature) {
		return fmt.Errorf("cose: the signature is not by key %x", []byte(o.Key[:4]))
	}
	return nil
}

func (o *Sign1) bytes() ([]byte, error) {
	raw, err := canonical.Marshal(wire{Protected: o.protected, Payload: o.Payload, Signature: o.Signature})
	if err != nil {
		return nil, fmt.Errorf("cose: %w", err)
	}
	return append([]byte{tag}, raw...), nil
}

func (o *Sign1) signed(external string) ([]byte, error) {
	return canonical.Marshal(toSign{Context: "Signature1", Protected: o.protected, External: []byte(external), Payload: o.Payload})
}

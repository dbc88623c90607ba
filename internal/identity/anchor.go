package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// maxAnchor is more than any anchor has bytes.
const maxAnchor = 512

// Anchor gives a public key under a name as a verifier key of signed notes:
// NAME+HASH+BASE64, the hash in 8 hexadecimal digits, the key with its algorithm
// byte before it. Name must not be empty, nor hold spaces or a plus.
func Anchor(name string, pub ed25519.PublicKey) (string, error) {
	if len(pub) != ed25519.PublicKeySize {
		return "", fmt.Errorf("anchor: a public key of %d bytes, want %d", len(pub), ed25519.PublicKeySize)
	}
	text, err := note.NewEd25519VerifierKey(name, pub)
	if err != nil {
		return "", fmt.Errorf("anchor: %w", err)
	}
	if _, _, err := ParseAnchor(text); err != nil {
		return "", fmt.Errorf("anchor: %q cannot be its name", name)
	}
	return text, nil
}

// ParseAnchor reads what Anchor gives, and nothing else.
func ParseAnchor(text string) (name string, pub ed25519.PublicKey, err error) {
	if len(text) > maxAnchor {
		return "", nil, fmt.Errorf("anchor: %d bytes are more than one has", len(text))
	}
	if _, err := note.NewVerifier(text); err != nil {
		return "", nil, fmt.Errorf("anchor: %q is not a verifier key NAME+HASH+BASE64: %w", text, err)
	}
	parts := strings.SplitN(text, "+", 3) // NewVerifier has found three
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return "", nil, fmt.Errorf("anchor: %w", err)
	}
	name, pub = parts[0], ed25519.PublicKey(raw[1:])
	again, err := note.NewEd25519VerifierKey(name, pub)
	if err != nil {
		return "", nil, fmt.Errorf("anchor: %w", err)
	}
	if again != text {
		return "", nil, errors.New("anchor: not in canonical form")
	}
	return name, pub, nil
}

package ledger

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	tlog "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"

	"bellwether/internal/zone"
)

// Origin names a zone's tree of headers in checkpoints, and its key in their
// signatures: "bellwether/" and the group ID in hexadecimal.
func Origin(group zone.Hash) string { return "bellwether/" + group.String() }

// Checkpoint is a head of the tree of headers: the root over the first Size of
// them.
type Checkpoint struct {
	Zone zone.Hash
	Size uint64
	Root zone.Hash
}

func (c *Checkpoint) text() string {
	return string(tlog.Checkpoint{Origin: Origin(c.Zone), Size: c.Size, Hash: c.Root[:]}.Marshal())
}

// Sign gives the checkpoint as a signed note (c2sp.org/signed-note) with one
// Ed25519 signature.
func (c *Checkpoint) Sign(s crypto.Signer) ([]byte, error) {
	v, err := verifier(c.Zone, s.Public())
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: c.text()}, noteSigner{v, s})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return signed, nil
}

// noteSigner lends a crypto.Signer the name and hash of a note's key.
type noteSigner struct {
	note.Verifier
	key crypto.Signer
}

func (s noteSigner) Sign(msg []byte) ([]byte, error) {
	return s.key.Sign(nil, msg, crypto.Hash(0))
}

func verifier(group zone.Hash, pub crypto.PublicKey) (note.Verifier, error) {
	key, ok := pub.(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("checkpoint: the key is a %T, not Ed25519", pub)
	}
	text, err := note.NewEd25519VerifierKey(Origin(group), key)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return note.NewVerifier(text)
}

// maxCheckpoint is more than any checkpoint of ours has bytes.
const maxCheckpoint = 512

// ParseCheckpoint reads a signed checkpoint of the group's tree, with one
// signature, by pub. It takes exactly the bytes that Sign gives.
func ParseCheckpoint(raw []byte, group zone.Hash, pub ed25519.PublicKey) (*Checkpoint, error) {
	if len(raw) > maxCheckpoint {
		return nil, fmt.Errorf("checkpoint of %d bytes", len(raw))
	}
	v, err := verifier(group, pub)
	if err != nil {
		return nil, err
	}
	c, rest, n, err := tlog.ParseCheckpoint(raw, Origin(group), v)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if len(rest) > 0 || len(c.Hash) != len(zone.Hash{}) {
		return nil, errors.New("checkpoint: not of the form of this ledger")
	}
	p := &Checkpoint{Zone: group, Size: c.Size, Root: zone.Hash(c.Hash)}
	if again, err := p.note(n); err != nil || again != string(raw) {
		return nil, errors.New("checkpoint: not in canonical form")
	}
	return p, nil
}

// note writes the checkpoint with n's first signature.
func (c *Checkpoint) note(n *note.Note) (string, error) {
	sig := n.Sigs[0]
	raw, err := base64.StdEncoding.DecodeString(sig.Base64)
	if err != nil || len(raw) != 4+ed25519.SignatureSize || binary.BigEndian.Uint32(raw) != sig.Hash {
		return "", errors.New("not an Ed25519 signature")
	}
	return fmt.Sprintf("%s\n— %s %s\n", c.text(), sig.Name, base64.StdEncoding.EncodeToString(raw)), nil
}

// Package identity keeps the zone master's key: one Ed25519 key (RFC 8032) in
// one file, readable by its owner only. The file is PEM (RFC 7468): the private
// key as PKCS #8 (RFC 8410), which common tools read, and behind it the public
// key, by which a changed private one is found.
//
// It refuses a file that group or others may read, and one that is not byte for
// byte what it would write itself: no changed byte passes. It never overwrites a
// key. The key in a file is not encrypted: who can read
// the file is the zone. [Key] is a [crypto.Signer], which is all that the other
// rooms ask for, so that a key that never leaves an enclave can take its place.
//
// A public key is handed on as an anchor, the text that a stranger verifies
// with: a verifier key of signed notes (c2sp.org/signed-note),
// NAME+HASH+BASE64.
package identity

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// What stands in the first and last lines of the key file's two parts.
const (
	privateType = "PRIVATE KEY"
	publicType  = "PUBLIC KEY"
)

// maxFile is more than any key file has bytes.
const maxFile = 4 << 10

// Key is a master's key in this process's memory. The zero value is none.
type Key struct{ private ed25519.PrivateKey }

var _ crypto.Signer = (*Key)(nil)

// Public gives the public key, an [ed25519.PublicKey].
func (k *Key) Public() crypto.PublicKey { return k.Ed25519() }

// Ed25519 gives the public key.
func (k *Key) Ed25519() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Sign signs the message itself, not a digest: opts.HashFunc must be 0. The
// signature is deterministic and rand is not used.
func (k *Key) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.private.Sign(rand, message, opts)
}

// String names the key by the first bytes of its public half; it never shows
// the private one.
func (k *Key) String() string { return fmt.Sprintf("ed25519 %x…", []byte(k.Ed25519()[:4])) }

// GoString keeps the private half out of %#v.
func (k *Key) GoString() string { return k.String() }

// LoadOrCreate loads the key at path, or makes one there if there is no file.
// Two processes that make one at the same time end up with the same key.
func LoadOrCreate(path string) (*Key, error) {
	k, err := Load(path)
	if !errors.Is(err, os.ErrNotExist) {
		return k, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	text, err := encode(private)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if err := create(path, text); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return Load(path)
}

// Load reads the key at path. A missing file matches [os.ErrNotExist].
func Load(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("load key: %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("load key: others may use %s (mode %04o), and whoever has the key is the zone; allow only its owner: chmod 600 %s", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	private, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("load key: %s %w; restore the file from a copy", path, err)
	}
	return &Key{private}, nil
}

// encode gives the one form in which a key is kept.
func encode(private ed25519.PrivateKey) ([]byte, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: privateType, Bytes: secret})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: publicType, Bytes: public})...), nil
}

// parse reads what encode gives, and nothing else.
func parse(text []byte) (ed25519.PrivateKey, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("is longer than a key, over %d bytes", maxFile)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != privateType {
		return nil, fmt.Errorf("is not a key: no PEM block %q", privateType)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("is not a key: %w", err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("is a key of another kind, %T: want Ed25519", key)
	}
	again, err := encode(private)
	if err != nil {
		return nil, err
	}
	at := difference(text, again)
	switch {
	case at < 0:
		return private, nil
	case at < len(text)-len(rest):
		return nil, fmt.Errorf("is not as it was written: byte %d was changed", at)
	}
	return nil, fmt.Errorf("is not as it was written: from byte %d on it is not the public half of the private key before", at)
}

// difference is the first place where a and b differ, or -1.
func difference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return n
	}
	return -1
}

// temporary begins the name of a key file that is not finished.
const temporary = ".key-"

// IsTemporary reports the name of a file that a crash kept LoadOrCreate from
// finishing; it may be removed.
func IsTemporary(name string) bool { return strings.HasPrefix(name, temporary) }

// create makes the file, whole or not at all, and leaves one that appeared
// meanwhile as it is.
//
// A crash before the link leaves at most a temporary file behind; after it, the
// key is there, and the directory's sync makes that last.
func create(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, temporary+"*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	// Unlike a rename, a link never replaces a file that is there.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Package backup makes one encrypted file of a zone's files, and splits its key
// so that any k of n holders together can open it, and fewer learn nothing.
//
// The file is an age file (age-encryption.org/v1): encrypted and authenticated in
// blocks of 64 KiB, so that a changed, missing or added byte is found where it
// stands. It is encrypted to a passphrase of 256 random bits, the [Key]; so the
// common tool age opens it too. Inside is a tar archive.
//
// The key is split by Shamir's scheme over GF(2^8) ("How to share a secret", CACM
// 22(11), 1979), each byte by itself. A [Share] is text that a person can type
// from paper; a mistyped line is named.
//
// What it refuses: names that lead out of a directory, files that are not plain,
// a name twice, shares of another backup, too few of them. Which names belong to
// a zone is the caller's matter.
package backup

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"filippo.io/age"
)

// ID names a backup: the first 8 bytes of the SHA-256 of "bellwether/backup/1\0"
// and the age file's header, in which there are random bytes.
type ID [8]byte

// String gives the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText gives the ID in hexadecimal.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

func idOf(header []byte) ID {
	sum := sha256.Sum256(append([]byte("bellwether/backup/1\x00"), header...))
	return ID(sum[:8])
}

// Key opens one backup.
type Key [32]byte

// NewKey draws a key.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails
	return k
}

// passphrase is the key as age takes it.
func (k Key) passphrase() string { return hex.EncodeToString(k[:]) }

// workFactor is the least that there is: stretching adds nothing to 256 random
// bits.
const workFactor = 1

func (k Key) recipient() (age.Recipient, error) {
	r, err := age.NewScryptRecipient(k.passphrase())
	if err != nil {
		return nil, err
	}
	r.SetWorkFactor(workFactor)
	return r, nil
}

func (k Key) identity() (age.Identity, error) {
	i, err := age.NewScryptIdentity(k.passphrase())
	if err != nil {
		return nil, err
	}
	i.SetMaxWorkFactor(workFactor)
	return i, nil
}

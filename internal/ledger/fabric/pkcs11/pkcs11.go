// Package pkcs11 signs with a private key that stays in a PKCS #11 token: an HSM,
// a smart card, or SoftHSM.
//
// # The signing program
//
// A PKCS #11 module is a shared library, which a static program cannot load, and
// which is its vendor's code. So a program of its own loads it (bellwether-pkcs11,
// the module tools/pkcs11 of this tree), one process for each key, and is talked
// to by lines of JSON on its standard input and output, at most 24 MiB long:
//
//	→ the key, as URI marshals; no PIN, only where the program finds it
//	← {"protocol": "bellwether/pkcs11/1", "mechanism": "ECDSA" or "EDDSA",
//	   "params": CKA_EC_PARAMS, "point": CKA_EC_POINT of the public key, if the token has it}
//	→ {"id": N, "sign": the digest (ECDSA) or the message (EDDSA)}, many at a time
//	← {"id": N, "signature": as the token gives it}, in any order
//
// Bytes are base64. Instead of what was asked for an answer may have "error" and
// "code": "pin" where another try could lock the token, "gone" where the process
// has lost the token and another one may find it. The program ends with its
// standard input.
//
// # What is made sure
//
// Each time the program starts, the key signs a random text, and only if that
// holds by the certificate's public key the program is used. When the process dies, or
// does not answer for 30 s, it is started again, at once and then after longer and
// longer pauses. A PIN that was refused is never tried again by one Key, and not at
// all when the token says that one more wrong one would lock it.
package pkcs11

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"
)

// ErrAway is matched by errors after which the same call may succeed: the signing
// program died, or does not find the token now.
var ErrAway = errors.New("the token is away")

// Options say which key is used.
type Options struct {
	URI     URI              // needed
	Program string           // the signing program; empty: bellwether-pkcs11 beside this program or in PATH
	Public  crypto.PublicKey // what it must be the private key of: *ecdsa.PublicKey or ed25519.PublicKey; nil: what the token says
	Log     *slog.Logger     // nil: nothing is logged

	wait time.Duration // for one answer of the program; 0: answerWait
}

// The waits of a Key.
const (
	answerWait = 30 * time.Second // for one answer of the program, its first one included
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Key is a private key in a token. Make one with Open. Its methods may be called
// by many goroutines.
type Key struct {
	o Options

	mu      sync.Mutex // guards what follows; held while the program starts
	program *program
	pause   time.Duration // before the next start
	final   error         // not nil: nothing is tried any more
}

// Open starts the signing program and makes sure that it has the key.
func Open(o Options) (*Key, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.wait = cmp.Or(o.wait, answerWait)
	k := &Key{o: o}
	p, err := k.start()
	if err != nil {
		return nil, err
	}
	k.program = p
	return k, nil
}

// Public gives the public key.
func (k *Key) Public() crypto.PublicKey { return k.o.Public }

var errClosed = errors.New("the key is closed")

// Close ends the signing program, and waits for that.
func (k *Key) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.final = errClosed
	if k.program != nil {
		k.program.close()
		k.program = nil
	}
	return nil
}

// Sign signs a digest of SHA-256 (ECDSA) or a message of at most 16 MiB (Ed25519), as
// Fabric wants it: ASN.1 with the smaller s, or the 64 bytes of RFC 8032.
func (k *Key) Sign(data []byte) ([]byte, error) {
	signature, err := k.once(data)
	if errors.Is(err, ErrAway) { // one that was killed has a successor at once
		signature, err = k.once(data)
	}
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pause = 0
	return signature, nil
}

func (k *Key) once(data []byte) ([]byte, error) {
	p, err := k.running()
	if err != nil {
		return nil, err
	}
	raw, err := p.sign(data)
	if err != nil {
		return nil, k.note(err)
	}
	return encode(k.o.Public, raw)
}

// running gives the program, started again if it ended.
func (k *Key) running() (*program, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.final != nil {
		return nil, k.final
	}
	if k.program != nil {
		ended := k.program.over()
		if ended == nil {
			return k.program, nil
		}
		k.o.Log.Warn("the program that signs for Fabric ended; starting it again", "because", ended)
		k.program.close()
		k.program = nil
	}
	time.Sleep(k.pause)
	k.pause = min(max(2*k.pause, firstPause), lastPause)
	p, err := k.start()
	if err == nil {
		k.program = p
		return p, nil
	}
	if lasting(err) {
		k.final = err
	} else if !errors.Is(err, ErrAway) {
		err = fmt.Errorf("%w: %w", ErrAway, err)
	}
	return nil, err
}

// note keeps an error that will not pass.
func (k *Key) note(err error) error {
	if lasting(err) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.final = err
	}
	return err
}

// lasting reports errors after which nothing must be tried again: a wrong PIN, and
// another key in the certificate's place.
func lasting(err error) bool {
	a := (*answerError)(nil)
	return errors.Is(err, errOther) || errors.As(err, &a) && a.code == codePIN
}

var errOther = errors.New("it is not the key of the certificate")

// start gives a program that has the certificate's key.
func (k *Key) start() (*program, error) {
	path, err := find(k.o.Program)
	if err != nil {
		return nil, err
	}
	p, err := launch(path, k.o.wait)
	if err != nil {
		return nil, fmt.Errorf("signing program: %w", err)
	}
	if err := k.try(p); err != nil {
		p.close()
		return nil, fmt.Errorf("signing program %s: %w", path, err)
	}
	return p, nil
}

// try names the key to a program and compares it with the certificate's.
func (k *Key) try(p *program) error {
	hello, err := p.open(k.o.URI)
	if err != nil {
		return err
	}
	public, err := publicKey(hello.Params, hello.Point)
	switch want := mechanism(k.o.Public); {
	case k.o.Public == nil && err != nil:
		return fmt.Errorf("the token does not show the public key: %w", err)
	case k.o.Public == nil:
		k.o.Public = public
	case hello.Mechanism != want:
		return fmt.Errorf("%w: that one is for %s, the one in the token for %q", errOther, want, hello.Mechanism)
	case err == nil && !same(public, k.o.Public):
		return errOther
	}
	text := append([]byte("bellwether: is this the key of the certificate? "), make([]byte, 32)...)
	rand.Read(text[len(text)-32:])
	if hello.Mechanism == mechanismECDSA {
		digest := sha256.Sum256(text)
		text = digest[:]
	}
	raw, err := p.sign(text)
	if err != nil {
		return err
	}
	signature, err := encode(k.o.Public, raw)
	if err != nil {
		return err
	}
	if !holds(k.o.Public, text, signature) {
		return errOther
	}
	return nil
}

// The mechanisms, as the program calls them.
const (
	mechanismECDSA = "ECDSA"
	mechanismEdDSA = "EDDSA"
)

func mechanism(public crypto.PublicKey) string {
	if _, ok := public.(ed25519.PublicKey); ok {
		return mechanismEdDSA
	}
	return mechanismECDSA
}

func same(a, b crypto.PublicKey) bool {
	e, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && e.Equal(b)
}

func holds(public crypto.PublicKey, data, signature []byte) bool {
	switch public := public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(public, data, signature)
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, data, signature)
	}
	return false
}

// encode brings a token's signature into Fabric's form. Of the two values of s that
// hold for an ECDSA signature Fabric takes the smaller one only.
func encode(public crypto.PublicKey, raw []byte) ([]byte, error) {
	curve, ok := public.(*ecdsa.PublicKey)
	if !ok {
		if len(raw) != ed25519.SignatureSize {
			return nil, fmt.Errorf("the token's signature has %d bytes: want %d", len(raw), ed25519.SignatureSize)
		}
		return raw, nil
	}
	order := curve.Params().N
	size := (order.BitLen() + 7) / 8
	if len(raw) != 2*size {
		return nil, fmt.Errorf("the token's signature has %d bytes: want %d, r and s", len(raw), 2*size)
	}
	r, s := new(big.Int).SetBytes(raw[:size]), new(big.Int).SetBytes(raw[size:])
	if s.Cmp(new(big.Int).Rsh(order, 1)) > 0 {
		s.Sub(order, s)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{r, s})
}

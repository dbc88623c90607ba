package contract

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"bellwether/internal/zone"
)

const (
	signDomain  = "bellwether/tx/1\x00"
	idDomain    = "bellwether/tx-id/1\x00"
	groupDomain = "bellwether/group/1\x00"
)

// wireTx is a transaction's payload.
type wireTx struct {
	Zone   zone.Hash       `cbor:"1,keyasint"`
	Kind   Kind            `cbor:"2,keyasint"`
	Time   zone.Time       `cbor:"3,keyasint"`
	Device zone.MAC        `cbor:"4,keyasint"`
	N      uint64          `cbor:"5,keyasint"`
	Body   cbor.RawMessage `cbor:"6,keyasint"`
}

// wireSigned is a signed transaction.
type wireSigned struct {
	_         struct{} `cbor:",toarray"`
	Payload   []byte
	Key       []byte
	Signature []byte
}

// Signed is a parsed transaction.
type Signed struct {
	Tx
	ID        zone.HID
	Key       ed25519.PublicKey
	Signature []byte
	payload   []byte
}

var (
	encoding = mustEncoding()
	decoding = mustDecoding()
)

func mustEncoding() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.NilContainers = cbor.NilContainerAsEmpty // so that a null is never canonical
	m, err := o.EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}

func mustDecoding() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   4,
		MaxMapPairs:       16,
		MaxArrayElements:  16,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}

// decode reads exactly the bytes that encoding v gives. decoding.Unmarshal alone
// is enough for bytes that were held against that once.
func decode(raw []byte, v any) error {
	if err := decoding.Unmarshal(raw, v); err != nil {
		return err
	}
	again, err := encoding.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, raw) {
		return fmt.Errorf("not in canonical form")
	}
	return nil
}

// GroupID names the zone that master created at that time under that name: the
// SHA-256 of "bellwether/group/1\x00", the key (32 bytes), the time (8 bytes,
// big-endian) and the name.
func GroupID(master ed25519.PublicKey, created zone.Time, name string) zone.Hash {
	b := append([]byte(groupDomain), master...)
	b = binary.BigEndian.AppendUint64(b, uint64(created))
	return sha256.Sum256(append(b, name...))
}

// Sign gives the signed bytes. The signer's public key must be Ed25519. A
// transaction that no ledger would take is refused with a [*RejectError].
func (t *Tx) Sign(s crypto.Signer) ([]byte, error) {
	key, ok := s.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("sign transaction: the key is a %T, not Ed25519", s.Public())
	}
	payload, err := t.payload()
	if err != nil {
		return nil, err
	}
	sig, err := s.Sign(nil, append([]byte(signDomain), payload...), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("sign transaction: %w", err)
	}
	return encoding.Marshal(wireSigned{Payload: payload, Key: key, Signature: sig})
}

func (t *Tx) payload() ([]byte, error) {
	full := *t
	if full.Kind == 0 && full.Body != nil {
		full.Kind = full.Body.kind()
	}
	if err := full.check(); err != nil {
		return nil, err
	}
	body, err := encoding.Marshal(full.Body)
	if err != nil {
		return nil, fmt.Errorf("encode transaction: %w", err)
	}
	return encoding.Marshal(wireTx{full.Zone, full.Kind, full.Time, full.Device, full.N, body})
}

// Parse reads a signed transaction and checks its form and its ranges, not its
// signature; see [Signed.Verify]. The error is a [*RejectError]. The result
// shares no memory with raw.
func Parse(raw []byte) (*Signed, error) {
	signed, err := parse(raw, decode)
	if err != nil {
		return nil, err
	}
	if err := signed.check(); err != nil {
		return nil, err
	}
	return signed, nil
}

// parse reads with decode, which decides how strictly.
func parse(raw []byte, decode func([]byte, any) error) (*Signed, error) {
	w, err := parseSigned(raw, decode)
	if err != nil {
		return nil, err
	}
	tx, err := parseTx(w.Payload, decode)
	if err != nil {
		return nil, err
	}
	return &Signed{Tx: *tx, ID: idOf(w.Payload), Key: w.Key, Signature: w.Signature, payload: w.Payload}, nil
}

func parseSigned(raw []byte, decode func([]byte, any) error) (*wireSigned, error) {
	if len(raw) > MaxTx {
		return nil, reject(CodeMalformed, "%d bytes are over the limit of %d", len(raw), MaxTx)
	}
	w := new(wireSigned)
	if err := decode(raw, w); err != nil {
		return nil, reject(CodeMalformed, "%v", err)
	}
	if len(w.Key) != ed25519.PublicKeySize || len(w.Signature) != ed25519.SignatureSize {
		return nil, reject(CodeMalformed, "key of %d and signature of %d bytes", len(w.Key), len(w.Signature))
	}
	return w, nil
}

func parseTx(payload []byte, decode func([]byte, any) error) (*Tx, error) {
	var w wireTx
	if err := decode(payload, &w); err != nil {
		return nil, reject(CodeMalformed, "payload: %v", err)
	}
	body := newBody(w.Kind)
	if body == nil {
		return nil, reject(CodeMalformed, "there is no kind %d", uint8(w.Kind))
	}
	if err := decode(w.Body, body); err != nil {
		return nil, reject(CodeMalformed, "%s: %v", w.Kind, err)
	}
	return &Tx{w.Zone, w.Kind, w.Time, w.Device, w.N, body}, nil
}

// Verify checks the signature by the key that the transaction carries.
// Whether that key may sign is for [Apply] to say.
func (s *Signed) Verify() error {
	if !ed25519.Verify(s.Key, append([]byte(signDomain), s.payload...), s.Signature) {
		return reject(CodeSignature, "the signature is not by key %x", []byte(s.Key[:4]))
	}
	return nil
}

// ID gives the H-ID of a signed transaction.
func ID(raw []byte) (zone.HID, error) {
	w, err := parseSigned(raw, decode)
	if err != nil {
		return zone.HID{}, err
	}
	return idOf(w.Payload), nil
}

func idOf(payload []byte) zone.HID {
	return sha256.Sum256(append([]byte(idDomain), payload...))
}

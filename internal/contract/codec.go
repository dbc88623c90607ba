package contract

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"bellwether/internal/canonical"
	"bellwether/internal/cose"
	"bellwether/internal/zone"
)

const (
	signDomain  = "bellwether/tx/1\x00"
	idDomain    = "bellwether/tx-id/1\x00"
	memberAAD   = "bellwether/member-tx/1\x00"
	groupDomain = "bellwether/group/1\x00"
)

// wireTx is a transaction's payload.
type wireTx struct {
	Zone zone.Hash     `cbor:"1,keyasint"`
	Kind Kind          `cbor:"2,keyasint"`
	Time zone.Time     `cbor:"3,keyasint"`
	Who  canonical.Raw `cbor:"4,keyasint"` // the device, or the member that signed it
	N    uint64        `cbor:"5,keyasint"`
	Body canonical.Raw `cbor:"6,keyasint"`
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
	object    *cose.Sign1 // a member's
}

// wireReceived is a member's transaction as it stands on the ledger.
type wireReceived struct {
	_        struct{} `cbor:",toarray"`
	Received zone.Time
	Object   []byte
}

// byMemberHead is the first byte of a member's transaction, an array of two; the
// master's are arrays of three.
const byMemberHead = 0x82

// decoding.Unmarshal is enough for bytes that a ledger accepted once.
var decoding = canonical.Bounds{Nesting: 4, Pairs: 32, Elements: 16}.Decoder()

// GroupID names the zone that master created at that time under that name: the
// SHA-256 of "bellwether/group/1\x00", the key (32 bytes), the time (8 bytes,
// big-endian) and the name.
func GroupID(master ed25519.PublicKey, created zone.Time, name string) zone.Hash {
	b := append([]byte(groupDomain), master...)
	b = binary.BigEndian.AppendUint64(b, uint64(created))
	return sha256.Sum256(append(b, name...))
}

// Sign gives the master's signed bytes. The signer's public key must be Ed25519.
// A transaction that no ledger would take is refused with a [*RejectError].
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
	return canonical.Marshal(wireSigned{Payload: payload, Key: key, Signature: sig})
}

// SignMember gives a member's COSE_Sign1. Time plays no part in it; see [Receive].
func (t *Tx) SignMember(s crypto.Signer) ([]byte, error) {
	payload, err := t.payload()
	if err != nil {
		return nil, err
	}
	return cose.Sign(s, memberAAD, payload)
}

// Receive gives the bytes that stand on the ledger for a member's COSE_Sign1 that
// the master received at that time.
func Receive(object []byte, at zone.Time) ([]byte, error) {
	return canonical.Marshal(wireReceived{Received: at, Object: object})
}

// Received gives a member's COSE_Sign1 from its bytes on the ledger, and when the
// master received it.
func Received(raw []byte) (object []byte, received zone.Time, err error) {
	var w wireReceived
	if err := decoding.Parse(raw, &w); err != nil {
		return nil, 0, reject(CodeMalformed, "%v", err)
	}
	return w.Object, w.Received, nil
}

func (t *Tx) payload() ([]byte, error) {
	full := *t
	if full.Kind == 0 && full.Body != nil {
		full.Kind = full.Body.kind()
	}
	if err := full.check(); err != nil {
		return nil, err
	}
	body, err := canonical.Marshal(full.Body)
	if err != nil {
		return nil, fmt.Errorf("encode transaction: %w", err)
	}
	var who any = full.Device
	at := full.Time
	if full.Member != "" {
		who, at = full.Member, full.Sent
	}
	subject, err := canonical.Marshal(who)
	if err != nil {
		return nil, fmt.Errorf("encode transaction: %w", err)
	}
	return canonical.Marshal(wireTx{full.Zone, full.Kind, at, subject, full.N, body})
}

// Parse reads a signed transaction and checks its form and its ranges, not its
// signature; see [Signed.Verify]. The error is a [*RejectError]. The result
// shares no memory with raw.
func Parse(raw []byte) (*Signed, error) {
	signed, err := parse(raw, decoding.Parse)
	if err != nil {
		return nil, err
	}
	if err := signed.check(); err != nil {
		return nil, err
	}
	return signed, nil
}

// ByMember reports a transaction that a member signed, by its first byte. It is for
// bytes that a ledger accepted once.
func ByMember(raw []byte) bool { return len(raw) > 0 && raw[0] == byMemberHead }

// ParseAccepted is Parse without the checks of form and ranges, for bytes that a
// ledger accepted once.
func ParseAccepted(raw []byte) (*Signed, error) { return parse(raw, decoding.Unmarshal) }

// parse reads with decode, which decides how strictly.
func parse(raw []byte, decode func([]byte, any) error) (*Signed, error) {
	if len(raw) > MaxTx {
		return nil, reject(CodeMalformed, "%d bytes are over the limit of %d", len(raw), MaxTx)
	}
	if ByMember(raw) {
		return parseReceived(raw, decode)
	}
	w := new(wireSigned)
	if err := decode(raw, w); err != nil {
		return nil, reject(CodeMalformed, "%v", err)
	}
	if len(w.Key) != ed25519.PublicKeySize || len(w.Signature) != ed25519.SignatureSize {
		return nil, reject(CodeMalformed, "key of %d and signature of %d bytes", len(w.Key), len(w.Signature))
	}
	tx, who, err := parseTx(w.Payload, decode)
	if err != nil {
		return nil, err
	}
	if err := decode(who, &tx.Device); err != nil {
		return nil, reject(CodeMalformed, "device: %v", err)
	}
	return &Signed{Tx: *tx, ID: idOf(w.Payload), Key: w.Key, Signature: w.Signature, payload: w.Payload}, nil
}

func parseReceived(raw []byte, decode func([]byte, any) error) (*Signed, error) {
	var w wireReceived
	if err := decode(raw, &w); err != nil {
		return nil, reject(CodeMalformed, "%v", err)
	}
	o, err := cose.Parse(w.Object)
	if err != nil {
		return nil, reject(CodeMalformed, "%v", err)
	}
	tx, who, err := parseTx(o.Payload, decode)
	if err != nil {
		return nil, err
	}
	if err := decode(who, &tx.Member); err != nil {
		return nil, reject(CodeMalformed, "member: %v", err)
	}
	tx.Time, tx.Sent = w.Received, tx.Time
	if tx.Member == "" { // else it would pass for the master's
		return nil, reject(CodeRange, "no member")
	}
	return &Signed{Tx: *tx, ID: idOf(o.Payload), Key: o.Key, Signature: o.Signature, payload: o.Payload, object: o}, nil
}

// parseTx gives the transaction and, still encoded, who it is about.
func parseTx(payload []byte, decode func([]byte, any) error) (*Tx, canonical.Raw, error) {
	var w wireTx
	if err := decode(payload, &w); err != nil {
		return nil, nil, reject(CodeMalformed, "payload: %v", err)
	}
	body := newBody(w.Kind)
	if body == nil {
		return nil, nil, reject(CodeMalformed, "there is no kind %d", uint8(w.Kind))
	}
	if err := decode(w.Body, body); err != nil {
		return nil, nil, reject(CodeMalformed, "%s: %v", w.Kind, err)
	}
	return &Tx{Zone: w.Zone, Kind: w.Kind, Time: w.Time, N: w.N, Body: body}, w.Who, nil
}

// Verify checks the signature by the key that the transaction carries.
// Whether that key may sign is for [Validator.Apply] to say.
func (s *Signed) Verify() error {
	if s.object != nil {
		if err := s.object.Verify(memberAAD); err != nil {
			return reject(CodeSignature, "%v", err)
		}
		return nil
	}
	if !ed25519.Verify(s.Key, append([]byte(signDomain), s.payload...), s.Signature) {
		return reject(CodeSignature, "the signature is not by key %x", []byte(s.Key[:4]))
	}
	return nil
}

// ID gives the H-ID of a signed transaction.
func ID(raw []byte) (zone.HID, error) {
	s, err := parse(raw, decoding.Parse)
	if err != nil {
		return zone.HID{}, err
	}
	return s.ID, nil
}

func idOf(payload []byte) zone.HID {
	return sha256.Sum256(append([]byte(idDomain), payload...))
}

package contract

import (
	"crypto"
	"crypto/ed25519"

	"bellwether/internal/canonical"
	"bellwether/internal/cose"
	"bellwether/internal/zone"
)

const ticketAAD = "bellwether/ticket/1\x00"

// maxTicket is more than any ticket has bytes.
const maxTicket = 2048

// Ticket is the master's word that a follower may join (paper, section 4.2). Its
// bytes are a COSE_Sign1 (package cose) by the zone's master with the external
// data "bellwether/ticket/1\x00" over the map below. It holds as long as the
// ledger is no higher and in the same epoch: no clock is asked.
type Ticket struct {
	Zone     zone.Hash     `cbor:"1,keyasint"` // the group ID
	Member   zone.MemberID `cbor:"2,keyasint"`
	Key      [32]byte      `cbor:"3,keyasint"`  // the follower's Ed25519 public key
	Role     string        `cbor:"4,keyasint"`  // a code of 1 to 32 of a-z, 0-9 and -, for the policy
	Maker    string        `cbor:"5,keyasint"`  // manufacturer information; at most 128 bytes, printable
	Firmware zone.Hash     `cbor:"6,keyasint"`  // SHA-256; zeros: not known
	MAC      zone.MAC      `cbor:"7,keyasint"`  // under which its traffic is observed; zeros: not known
	Until    uint64        `cbor:"8,keyasint"`  // the last block that it holds for
	Epoch    uint64        `cbor:"9,keyasint"`  // the zone's
	Serial   uint64        `cbor:"10,keyasint"` // 1, 2, … of this member; each takes the place of those before
}

// Sign gives the ticket's bytes, signed by the zone's master.
func (t *Ticket) Sign(master crypto.Signer) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	payload, err := canonical.Marshal(t)
	if err != nil {
		return nil, err
	}
	return cose.Sign(master, ticketAAD, payload)
}

// ParseTicket reads the bytes that Sign gives, and nothing else. It checks the
// signature, and gives the key that it is by. The error is a [*RejectError].
func ParseTicket(raw []byte) (*Ticket, ed25519.PublicKey, error) {
	t, o, err := parseTicket(raw)
	if err != nil {
		return nil, nil, err
	}
	if err := o.Verify(ticketAAD); err != nil {
		return nil, nil, reject(CodeTicket, "%v", err)
	}
	return t, o.Key, nil
}

func parseTicket(raw []byte) (*Ticket, *cose.Sign1, error) {
	if len(raw) > maxTicket {
		return nil, nil, reject(CodeTicket, "%d bytes are over the limit of %d", len(raw), maxTicket)
	}
	o, err := cose.Parse(raw)
	if err != nil {
		return nil, nil, reject(CodeTicket, "%v", err)
	}
	t := new(Ticket)
	if err := decoding.Parse(o.Payload, t); err != nil {
		return nil, nil, reject(CodeTicket, "%v", err)
	}
	return t, o, t.check()
}

func (t *Ticket) check() error {
	if !t.Member.Valid() {
		return reject(CodeRange, "no follower can be called %q", string(t.Member))
	}
	if t.Serial == 0 {
		return reject(CodeRange, "a ticket without a serial number")
	}
	if t.MAC.IsGroup() {
		return reject(CodeRange, "%s is a group address, not a device", t.MAC)
	}
	return firstError(present("public key", t.Key), code("role", t.Role), text("manufacturer", t.Maker, 0, maxName))
}

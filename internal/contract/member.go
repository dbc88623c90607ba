package contract

import (
	"crypto/sha256"

	"bellwether/internal/policy"
	"bellwether/internal/zone"
)

// Associated makes a follower a member, or renews its ticket. It is the first
// thing that a follower says.
type Associated struct {
	Ticket []byte   `cbor:"1,keyasint"` // see Ticket
	Seal   [32]byte `cbor:"2,keyasint"` // X25519 public key that payloads to it may be encrypted to, not of low order; zeros: none
}

// Op is what a message does.
type Op uint8

// The operations. Their numbers are part of the format.
const (
	OpSend    Op = iota + 1 // to a member, the master, or everyone
	OpRequest               // to a member or the master, which replies
	OpReply                 // to the request Ref, which To made of the sender and which is open
	OpCreate                // an object of To's data; the first version
	OpRead                  // asks for the object
	OpUpdate                // the next version
	OpDelete                // takes it away
)

var opNames = [...]string{OpSend: "send", OpRequest: "request", OpReply: "reply", OpCreate: "create", OpRead: "read", OpUpdate: "update", OpDelete: "delete"}

// String gives the operation's name, which is also the policy's.
func (o Op) String() string {
	if o >= OpSend && int(o) < len(opNames) {
		return opNames[o]
	}
	return "op(?)"
}

// OnData reports the operations on data objects.
func (o Op) OnData() bool { return o >= OpCreate }

// Carries reports the operations with a payload.
func (o Op) Carries() bool { return o != OpRead && o != OpDelete }

// Message is one communication of a member. The payload is not on the ledger: its
// first 16 bytes are random, so that its hash tells nothing about short ones.
type Message struct {
	To     zone.MemberID `cbor:"1,keyasint"` // a member, "master", or for OpSend "*"; for data: whose
	Op     Op            `cbor:"2,keyasint"`
	Object string        `cbor:"3,keyasint"` // for data: 1 to 64 of a-z, 0-9, - and .; else empty
	Ref    zone.HID      `cbor:"4,keyasint"` // OpReply: the request's H-ID; else zeros
	Hash   zone.Hash     `cbor:"5,keyasint"` // SHA-256 of "bellwether/payload/1\x00" and the payload; zeros without one
	Size   uint32        `cbor:"6,keyasint"` // of the payload in bytes, at most MaxPayload
	Sealed bool          `cbor:"7,keyasint"` // the payload is encrypted to To (RFC 9180)
}

// PayloadSalt is how many random bytes a payload begins with.
const PayloadSalt = 16

const payloadDomain = "bellwether/payload/1\x00"

// PayloadHash is what a message says of its payload.
func PayloadHash(payload []byte) zone.Hash {
	return sha256.Sum256(append([]byte(payloadDomain), payload...))
}

// applyToMember takes what a member says. The master is one without a ticket.
func (v *Validator) applyToMember(s State, height uint64, z ZoneState, t *Signed) error {
	m, known, err := ReadMember(s, t.Member)
	if err != nil {
		return err
	}
	if t.Member == zone.Master {
		m, known = MemberState{Member: zone.Master, Key: z.Master, N: m.N, Newest: m.Newest, Role: string(zone.Master)}, true
	}
	if known && m.Key != [32]byte{} && [32]byte(t.Key) != m.Key {
		return reject(CodeAuthority, "key %x is not the one of %s", []byte(t.Key[:4]), t.Member)
	}
	if err := t.follows(m.N, m.Newest); err != nil {
		return err
	}
	m.N, m.Newest = t.N, t.ID
	switch b := t.Body.(type) {
	case *Associated:
		return b.apply(s, height, t, m)
	case *Message:
		if !known || m.Key == [32]byte{} {
			return reject(CodeAssociation, "%s is not associated: its first transaction must be that", t.Member)
		}
		if t.Member != zone.Master {
			if err := m.Standing(s, height); err != nil {
				return err
			}
		}
		return v.pass(s, height, b, m, t.ID)
	}
	return reject(CodeTransition, "%s is not for members to say", t.Kind)
}

// apply holds the ticket against the zone and gives the member its place.
func (b *Associated) apply(s State, height uint64, t *Signed, m MemberState) error {
	z, _, err := ReadZone(s)
	if err != nil {
		return err
	}
	ticket, by, err := ParseTicket(b.Ticket)
	if err != nil {
		return err
	}
	switch {
	case [32]byte(by) != z.Master:
		return reject(CodeTicket, "the ticket is not by this zone's master")
	case ticket.Zone != z.ID:
		return reject(CodeTicket, "the ticket is of zone %s, this is %s", ticket.Zone.Short(), z.ID.Short())
	case ticket.Member != t.Member:
		return reject(CodeTicket, "the ticket is for %s, not %s", ticket.Member, t.Member)
	case ticket.Key != [32]byte(t.Key):
		return reject(CodeTicket, "the ticket is for another key than %x", []byte(t.Key[:4]))
	case ticket.Key == z.Master:
		return reject(CodeTicket, "the key is the master's")
	case ticket.Serial <= m.Serial:
		return reject(CodeTicket, "ticket %d of %s was followed by %d", ticket.Serial, t.Member, m.Serial)
	}
	owner, err := ReadKey(s, ticket.Key)
	if err != nil {
		return err
	}
	if owner != "" && owner != t.Member {
		return reject(CodeTicket, "the key is that of %s", owner)
	}
	m.take(ticket, b.Seal, t, height)
	if err := m.Standing(s, height); err != nil {
		return err
	}
	if owner == "" {
		if err := write(s, keyKey(ticket.Key), t.Member); err != nil {
			return err
		}
	}
	return write(s, memberKey(t.Member), m)
}

// take fills in what the ticket says.
func (m *MemberState) take(k *Ticket, seal [32]byte, t *Signed, height uint64) {
	if m.Key == [32]byte{} {
		m.Associated, m.Joined = t.Time, height
	}
	m.Member, m.Key, m.Role, m.Maker, m.Firmware, m.MAC = k.Member, k.Key, k.Role, k.Maker, k.Firmware, k.MAC
	m.Until, m.Epoch, m.Serial, m.Seal = k.Until, k.Epoch, k.Serial, seal
}

// pass holds a message against its recipient and the policy, and lets it through.
func (v *Validator) pass(s State, height uint64, b *Message, m MemberState, id zone.HID) error {
	to, err := b.recipient(s, m)
	if err != nil {
		return err
	}
	if err := v.allow(s, height, b, &m, to); err != nil {
		return err
	}
	switch {
	case b.Op == OpRequest:
		err = m.ask(s, b)
	case b.Op == OpReply:
		err = m.reply(s, b)
	case b.Op.OnData() && to.Member == m.Member:
		err = b.touch(s, &m, id)
	case b.Op.OnData():
		if err = b.touch(s, to, id); err == nil {
			err = write(s, memberKey(to.Member), to)
		}
	}
	if err != nil {
		return err
	}
	return write(s, memberKey(m.Member), m)
}

// recipient gives the member that a message is for; of the master and of everyone
// only the name.
func (b *Message) recipient(s Reader, from MemberState) (*MemberState, error) {
	if b.To == from.Member && !b.Op.OnData() {
		return nil, reject(CodeRecipient, "a message of %s to itself", b.To)
	}
	if b.To == zone.Master || b.To == zone.Everyone {
		return &MemberState{Member: b.To, Role: string(b.To)}, nil
	}
	to, known, err := ReadMember(s, b.To)
	switch {
	case err != nil:
		return nil, err
	case !known || to.Key == [32]byte{}:
		return nil, reject(CodeRecipient, "%s is not a member of this zone", b.To)
	case to.Revoked:
		return nil, reject(CodeRecipient, "%s was revoked", b.To)
	}
	return &to, nil
}

// touch does what the message does to the owner's data.
func (b *Message) touch(s State, owner *MemberState, id zone.HID) error {
	d, there, err := ReadData(s, owner.Member, b.Object)
	if err != nil {
		return err
	}
	if there != (b.Op != OpCreate) {
		if there {
			return reject(CodeTransition, "%s keeps an object %q already", owner.Member, b.Object)
		}
		return reject(CodeTransition, "%s keeps no object %q", owner.Member, b.Object)
	}
	key := dataKey(owner.Member, b.Object)
	switch b.Op {
	case OpDelete:
		owner.Objects--
		return s.Put(key, nil)
	case OpRead:
		return nil
	case OpCreate:
		if owner.Objects >= MaxObjects {
			return reject(CodeRange, "%s keeps %d objects, which is the most", owner.Member, owner.Objects)
		}
		owner.Objects++
	}
	return write(s, key, DataState{Hash: b.Hash, Size: b.Size, Version: d.Version + 1, ID: id})
}

// allow asks the policy.
func (v *Validator) allow(s Reader, height uint64, b *Message, from, to *MemberState) error {
	set, err := v.rules(s)
	if err != nil {
		return err
	}
	// A sender that is flagged has been refused before; whom it reaches may be.
	verdict, err := to.verdict(s)
	if err != nil {
		return err
	}
	d := set.Decide(policy.Request{
		Principal: describe(from), Action: b.Op.String(), Resource: b.resource(to, verdict != Verdict{}),
		Context: policy.Context{Size: uint64(b.Size), Height: height, Encrypted: b.Sealed},
	})
	if !d.Allowed {
		return reject(CodePolicy, "%s may not %s to %s %s: forbidden by %q, errors %q", from.Member, b.Op, b.To, b.Object, d.Reasons, d.Errors)
	}
	return nil
}

func (b *Message) resource(to *MemberState, flagged bool) policy.Resource {
	owner := describe(to)
	owner.Flagged = flagged
	switch {
	case b.Op.OnData():
		return policy.Object{Owner: owner, Name: b.Object}
	case b.To == zone.Everyone:
		return policy.Group(policy.Everyone)
	}
	return owner
}

// describe gives a member as the policy sees it.
func describe(m *MemberState) policy.Member {
	d := policy.Member{ID: string(m.Member), Role: m.Role, Manufacturer: m.Maker, Epoch: m.Epoch, Associated: m.Joined}
	if m.Firmware != (zone.Hash{}) {
		d.Firmware = m.Firmware.String()
	}
	return d
}

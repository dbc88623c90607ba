// Package message is what a follower and its zone's master say to each other: the
// invite that brings a follower to its zone, the hello that it proves itself with,
// and the frames of a session. docs/format/member.md describes every byte.
//
// What a member says to the zone is a transaction (package contract); a frame
// only carries it. Encoding is CBOR in core deterministic form (RFC 8949, section
// 4.2.1), and parsing takes exactly the bytes that encoding gives.
//
// The room does no input or output and has no clock.
package message

import (
	"errors"
	"fmt"

	"bellwether/internal/canonical"
	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

// Subprotocol names this protocol when a WebSocket is opened (RFC 6455, section
// 1.9), and Path is where.
const (
	Subprotocol = "bellwether.1"
	Path        = "/v1/member"
)

// MaxFrame is the largest frame in bytes.
const MaxFrame = contract.MaxPayload + 8<<10

// Credit is how many transactions a member may have under way, and how many
// deliveries the master may.
const Credit = 64

// Type says what a frame is. The numbers are part of the format.
type Type uint8

// The frames of the master, then those of the follower.
const (
	TypeWelcome Type = iota + 1
	TypeTicket
	TypeReceipt
	TypeRefusal
	TypeDelivery
	TypeObject
	TypeMember
	TypeBye

	TypeSubmit Type = iota + 8 // 16
	TypeAck
	TypeLookup
)

// Frame is one message of a session. The types below are all there are.
type Frame interface {
	frame() Type
	begin(Type)
}

// head begins the CBOR array that a frame is.
type head struct {
	_    struct{} `cbor:",toarray"`
	Type Type
}

func (h *head) begin(t Type) { h.Type = t }

// Standing is where a member stands when a session begins.
type Standing string

// The standings.
const (
	StandingMember    Standing = "member"    // it may speak
	StandingAssociate Standing = "associate" // it has a ticket, and has to associate first
	StandingRenew     Standing = "renew"     // its ticket does not hold any more; if the master consents, a new one comes
	StandingPending   Standing = "pending"   // an operator has to admit it
)

// Welcome begins a session, and comes again when the standing changes.
type Welcome struct {
	head
	Standing Standing
	Height   uint64   // of the ledger
	Epoch    uint64   // the zone's
	N        uint64   // of the member's newest transaction
	Newest   zone.HID // and its H-ID; zeros: none
}

// Ticket brings the member a ticket; it associates with it.
type Ticket struct {
	head
	Ticket []byte
}

// Receipt says that a transaction stands on the ledger, durably.
type Receipt struct {
	head
	N     uint64
	ID    zone.HID
	Block uint64
}

// Refusal says that a transaction was refused: nothing of it is on the ledger, and
// its number is still to be used.
type Refusal struct {
	head
	N    uint64
	Code contract.Code
}

// Delivery brings a message of somebody else. Positions rise, and come again
// until they are acknowledged.
type Delivery struct {
	head
	Position uint64
	Received zone.Time
	Object   []byte // the sender's COSE_Sign1
	Payload  []byte
}

// Object answers a read: the object's newest version.
type Object struct {
	head
	N       uint64 // of the transaction that asked
	Object  []byte // the COSE_Sign1 that made this version
	Payload []byte
}

// Member answers a lookup: the COSE_Sign1 with which that member associated
// last, empty if there is none.
type Member struct {
	head
	Member zone.MemberID
	Object []byte
}

// Bye is the last frame of a session that the master ends.
type Bye struct {
	head
	Code contract.Code
}

// Submit hands in a transaction, with its payload if it has one.
type Submit struct {
	head
	Object  []byte // the COSE_Sign1
	Payload []byte
}

// Ack acknowledges every delivery up to a position.
type Ack struct {
	head
	Position uint64
}

// Lookup asks for a member, to encrypt to it.
type Lookup struct {
	head
	Member zone.MemberID
}

func (*Welcome) frame() Type  { return TypeWelcome }
func (*Ticket) frame() Type   { return TypeTicket }
func (*Receipt) frame() Type  { return TypeReceipt }
func (*Refusal) frame() Type  { return TypeRefusal }
func (*Delivery) frame() Type { return TypeDelivery }
func (*Object) frame() Type   { return TypeObject }
func (*Member) frame() Type   { return TypeMember }
func (*Bye) frame() Type      { return TypeBye }
func (*Submit) frame() Type   { return TypeSubmit }
func (*Ack) frame() Type      { return TypeAck }
func (*Lookup) frame() Type   { return TypeLookup }

// newFrame gives an empty frame, nil if there is no such type.
func newFrame(t Type) Frame {
	switch t {
	case TypeWelcome:
		return new(Welcome)
	case TypeTicket:
		return new(Ticket)
	case TypeReceipt:
		return new(Receipt)
	case TypeRefusal:
		return new(Refusal)
	case TypeDelivery:
		return new(Delivery)
	case TypeObject:
		return new(Object)
	case TypeMember:
		return new(Member)
	case TypeBye:
		return new(Bye)
	case TypeSubmit:
		return new(Submit)
	case TypeAck:
		return new(Ack)
	case TypeLookup:
		return new(Lookup)
	}
	return nil
}

var decoding = canonical.Bounds{Nesting: 4, Pairs: 16, Elements: 16}.Decoder()

// Bytes gives a frame's bytes. It fills in the type.
func Bytes(f Frame) ([]byte, error) {
	f.begin(f.frame())
	return canonical.Marshal(f)
}

// Parse reads the bytes that Bytes gives, and nothing else. The frame shares no
// memory with raw.
func Parse(raw []byte) (Frame, error) {
	if len(raw) > MaxFrame {
		return nil, fmt.Errorf("a frame of %d bytes is over the limit of %d", len(raw), MaxFrame)
	}
	// An array of up to 23 elements, then the type as a small integer.
	if len(raw) < 2 || raw[0]&0xe0 != 0x80 || raw[1] > 23 {
		return nil, errors.New("not a frame: want a CBOR array that begins with its type")
	}
	f := newFrame(Type(raw[1]))
	if f == nil {
		return nil, fmt.Errorf("there is no frame of type %d", raw[1])
	}
	if err := decoding.Parse(raw, f); err != nil {
		return nil, fmt.Errorf("frame of type %d: %w", raw[1], err)
	}
	return f, nil
}

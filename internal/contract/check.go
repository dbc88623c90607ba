package contract

import (
	"cmp"
	"crypto/ecdh"
	"math"
	"strings"
	"unicode/utf8"

	"bellwether/internal/zone"
)

const (
	maxName = 128
	maxNote = 512
	maxCode = 32
)

// check holds every value against its range, without any state.
func (t *Tx) check() error {
	if t.Body == nil || t.Kind != t.Body.kind() {
		return reject(CodeRange, "the body is not of kind %s", t.Kind)
	}
	if t.Kind.byMember() != (t.Member != "") {
		return reject(CodeRange, "%s is not for %q to sign", t.Kind, t.signer())
	}
	if t.Time < 0 {
		return reject(CodeRange, "time %d is before 1970", int64(t.Time))
	}
	if t.N == 0 {
		return reject(CodeRange, "number 0: transactions are numbered from 1")
	}
	if err := t.checkSubject(); err != nil {
		return err
	}
	return t.checkBody()
}

func (t *Tx) signer() string { return string(cmp.Or(t.Member, zone.Master)) }

func (t *Tx) checkSubject() error {
	if t.Member != "" || t.Kind.ofRoll() {
		return t.checkMember()
	}
	ofZone := t.Device == zone.MAC{}
	switch {
	case t.Device.IsGroup():
		return reject(CodeRange, "%s is a group address, not a device", t.Device)
	case ofZone && t.Kind != KindZoneCreated && t.Kind != KindOperatorAction:
		return reject(CodeRange, "%s needs a device", t.Kind)
	case !ofZone && t.Kind == KindZoneCreated:
		return reject(CodeRange, "%s is not about a device", t.Kind)
	}
	return nil
}

func (t *Tx) checkMember() error {
	if t.Device != (zone.MAC{}) {
		return reject(CodeRange, "%s is not about a device", t.Kind)
	}
	if t.Member == zone.Master && t.Kind == KindMessage {
		return nil
	}
	if t.Member != "" && !t.Member.Valid() {
		return reject(CodeRange, "no follower can be called %q", string(t.Member))
	}
	return nil
}

func (t *Tx) checkBody() error {
	switch b := t.Body.(type) {
	case *ZoneCreated:
		return firstError(text("name", b.Name, 1, maxName), text("use case", b.UseCase, 0, maxName), present("master key", b.Master))
	case *DeviceSeen:
		return text("name", b.Name, 0, maxName)
	case *DeviceRenamed:
		return text("name", b.Name, 0, maxName)
	case *ModelAccepted:
		return b.check()
	case *SegmentRecorded:
		return b.check()
	case *VerdictChanged:
		return b.check(t.Time)
	case *OperatorAction:
		return b.check(t)
	case *Associated:
		return b.check()
	case *Message:
		return b.check()
	case *MemberAction:
		return b.check()
	case *EpochBegun:
		return text("note", b.Note, 0, maxNote)
	case *PolicySet:
		return firstError(size("policy", b.Text, MaxPolicy), text("note", b.Note, 0, maxNote))
	case *NetworkPolicySet:
		return text("note", b.Note, 0, maxNote)
	}
	return reject(CodeRange, "%T is no body", t.Body)
}

func (b *ModelAccepted) check() error {
	if b.From < 0 || b.To < b.From {
		return reject(CodeRange, "learned from %d to %d", int64(b.From), int64(b.To))
	}
	if b.Window == 0 || b.Span < 0 {
		return reject(CodeRange, "a window of %d rows in %s", b.Window, b.Span)
	}
	return firstError(present("model digest", b.Digest), present("features digest", b.Features),
		rows(b.First, b.Last, b.Rows), measure("threshold", b.Threshold), text("rule", b.Rule, 1, maxName))
}

func (b *SegmentRecorded) check() error {
	if err := firstError(rows(b.First, b.Last, b.Rows), present("root", b.Root)); err != nil {
		return err
	}
	// Each is compared before it is subtracted: a sum could overflow.
	if b.Normal > b.Rows || b.Malicious > b.Rows-b.Normal || b.Unjudged != b.Rows-b.Normal-b.Malicious {
		return reject(CodeRange, "%d normal, %d malicious and %d unjudged rows are not %d", b.Normal, b.Malicious, b.Unjudged, b.Rows)
	}
	return nil
}

func (b *VerdictChanged) check(now zone.Time) error {
	if b.From != zone.StateWatching && b.From != zone.StateMalicious ||
		b.To != zone.StateWatching && b.To != zone.StateMalicious || b.From == b.To {
		return reject(CodeRange, "no verdict leads from %s to %s", b.From, b.To)
	}
	if b.Since < 0 || b.Since > now {
		return reject(CodeRange, "since %d, known at %d", int64(b.Since), int64(now))
	}
	if b.First > b.Last || b.First == 0 && b.Last != 0 {
		return reject(CodeRange, "evidence from row %d to %d", b.First, b.Last)
	}
	if b.To == zone.StateMalicious {
		if err := present("alert digest", b.Alert); err != nil {
			return err
		}
	}
	return firstError(code("reason", b.Reason), measure("score", b.Score), measure("threshold", b.Threshold), present("model digest", b.Model))
}

func (b *OperatorAction) check(t *Tx) error {
	switch b.Action {
	case ActionSilence:
		if b.Until <= t.Time {
			return reject(CodeRange, "silence until %s would be over at once", b.Until)
		}
	case ActionRelearn, ActionUnsilence:
		if b.Until != 0 {
			return reject(CodeRange, "%s has no end", b.Action)
		}
		if b.Action == ActionRelearn && t.Device == (zone.MAC{}) {
			return reject(CodeRange, "relearn needs a device")
		}
	default:
		return reject(CodeRange, "no action %q: want relearn, silence or unsilence", b.Action)
	}
	return text("note", b.Note, 0, maxNote)
}

func (b *Associated) check() error {
	if _, _, err := parseTicket(b.Ticket); err != nil || b.Seal == [32]byte{} {
		return err
	}
	// What every scalar takes to zero is no key: who encrypts to it would fail.
	public, err := ecdh.X25519().NewPublicKey(b.Seal[:])
	if err != nil {
		return err
	}
	some, err := ecdh.X25519().NewPrivateKey(make([]byte, 32))
	if err != nil {
		return err
	}
	if _, err := some.ECDH(public); err != nil {
		return reject(CodeRange, "nothing can be encrypted to the X25519 key %x", b.Seal[:4])
	}
	return nil
}

func (b *MemberAction) check() error {
	if b.Action != ActionRevoke && b.Action != ActionRelease {
		return reject(CodeRange, "no action %q: want revoke or release", b.Action)
	}
	if !b.Member.Valid() {
		return reject(CodeRange, "no follower can be called %q", string(b.Member))
	}
	return text("note", b.Note, 0, maxNote)
}

func (b *Message) check() error {
	switch data := b.Op.OnData(); {
	case b.Op < OpSend || b.Op > OpDelete:
		return reject(CodeRange, "no operation %d", uint8(b.Op))
	case data && !b.To.Valid():
		return reject(CodeRange, "%s keeps no data", string(b.To))
	case !b.To.Valid() && b.To != zone.Master && (b.To != zone.Everyone || b.Op != OpSend):
		return reject(CodeRange, "%s to %q", b.Op, string(b.To))
	case data != (b.Object != ""):
		return reject(CodeRange, "%s with the object %q", b.Op, b.Object)
	case (b.Op == OpReply) != (b.Ref != zone.HID{}):
		return reject(CodeRange, "%s with a reference %s", b.Op, b.Ref.Short())
	case b.Op.Carries() != (b.Hash != zone.Hash{}) || !b.Op.Carries() && (b.Size != 0 || b.Sealed):
		return reject(CodeRange, "%s with a payload of %d bytes, hash %s", b.Op, b.Size, b.Hash.Short())
	case b.Op.Carries() && b.Size < PayloadSalt || b.Size > MaxPayload:
		return reject(CodeRange, "a payload of %d bytes: want %d to %d", b.Size, PayloadSalt, MaxPayload)
	case b.Sealed && b.To == zone.Everyone:
		return reject(CodeRange, "a payload encrypted to everyone")
	}
	if len(b.Object) > maxObject || strings.Trim(b.Object, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return reject(CodeRange, "object %q is not 1 to %d of a-z, 0-9, - and .", b.Object, maxObject)
	}
	return nil
}

// rows holds a run of rows against the only bounds there are for it.
func rows(first, last zone.SeqID, n uint64) error {
	if first == 0 || last < first || n == 0 || n-1 > uint64(last-first) {
		return reject(CodeRange, "%d rows from %d to %d", n, first, last)
	}
	return nil
}

// measure refuses NaN, infinities, negative numbers and negative zero.
func measure(what string, v float64) error {
	if math.Signbit(v) || math.IsNaN(v) || math.IsInf(v, 0) {
		return reject(CodeRange, "%s %v is not a finite number of 0 or more", what, v)
	}
	return nil
}

func present(what string, digest [32]byte) error {
	if digest == [32]byte{} {
		return reject(CodeRange, "no %s", what)
	}
	return nil
}

func size(what, s string, most int) error {
	if len(s) > most || !utf8.ValidString(s) {
		return reject(CodeRange, "a %s of %d bytes: want UTF-8, at most %d", what, len(s), most)
	}
	return nil
}

func code(what, s string) error {
	if len(s) < 1 || len(s) > maxCode || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return reject(CodeRange, "%s %q is not 1 to %d of a-z, 0-9 and -", what, s, maxCode)
	}
	return nil
}

func text(what, s string, least, most int) error {
	if len(s) < least || len(s) > most {
		return reject(CodeRange, "a %s of %d bytes: want %d to %d", what, len(s), least, most)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unprintable) {
		return reject(CodeRange, "%s %q is not printable text", what, s)
	}
	return nil
}

// unprintable finds what could deceive a reader of a name: controls, line
// separators, marks that turn the writing direction, invisible characters. It
// is written out because the tables of package unicode grow with Go's
// versions, and two validators must never disagree.
func unprintable(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0, delete, C1
		return true
	case r == 0xad, r == 0x61c, r == 0xfeff, r == utf8.RuneError:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	case r >= 0xfff0 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe0fff: // specials, tags
		return true
	}
	return r&0xfffe == 0xfffe || r >= 0xe000 && r <= 0xf8ff || r >= 0xf0000 // noncharacters, private use
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

package contract

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"bellwether/internal/policy"
	"bellwether/internal/zone"
)

// Validator applies transactions to a state. Between them it keeps the compiled
// policy and what it decoded of zone, roll and members, and nothing that changes an
// answer; its zero value is ready. It is not safe for concurrent use.
type Validator struct {
	policy *policy.Set
	of     zone.HID // the transaction that set it; zeros: the default
	known  map[string]value
}

// Apply validates a signed transaction against the state and, when everything
// holds, writes what it leads to: the keys of its subject and those that follow
// from it. Height is the number of the block that it is to stand in. The error is
// a [*RejectError] when the contract refuses, with nothing written, and else one
// of the state's own. A transaction that could be read is given with it.
func (v *Validator) Apply(s State, height uint64, raw []byte) (*Signed, error) {
	tx, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	if err := tx.Verify(); err != nil {
		return tx, err
	}
	return tx, v.apply(s, height, tx)
}

// Checked is a transaction of which everything was checked that needs no state:
// form, ranges and signature. Only Check makes one, and nothing changes it, so that
// many goroutines can check while one applies.
type Checked struct {
	tx  *Signed
	raw []byte
}

// Check does the part of Apply that needs no state, which is most of the work. The
// error is a [*RejectError]. The result shares no memory with raw.
func Check(raw []byte) (*Checked, error) {
	tx, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	if err := tx.Verify(); err != nil {
		return nil, err
	}
	return &Checked{tx, bytes.Clone(raw)}, nil
}

// Tx gives the transaction, which is not to be changed.
func (c *Checked) Tx() *Signed { return c.tx }

// Raw gives its bytes, which are not to be changed.
func (c *Checked) Raw() []byte { return c.raw }

// ApplyChecked is the rest of Apply.
func (v *Validator) ApplyChecked(s State, height uint64, c *Checked) error {
	return v.apply(s, height, c.tx)
}

// Replay is Apply without the checks of form, ranges and signature, for a ledger
// that builds its state anew from the bytes of transactions it accepted once.
// Zone, authority, order and transitions are checked.
func (v *Validator) Replay(s State, height uint64, raw []byte) (*Signed, error) {
	tx, err := parse(raw, decoding.Unmarshal)
	if err != nil {
		return nil, err
	}
	return tx, v.apply(s, height, tx)
}

func (v *Validator) apply(s State, height uint64, t *Signed) error {
	if v.known == nil {
		v.known = map[string]value{}
	}
	s = &known{s, v.known}
	z, created, err := ReadZone(s)
	if err != nil {
		return err
	}
	if !created {
		return t.create(s)
	}
	if t.Zone != z.ID {
		return reject(CodeZone, "it is of zone %s, this is %s", t.Zone.Short(), z.ID.Short())
	}
	if t.Member != "" {
		return v.applyToMember(s, height, z, t)
	}
	if !t.Key.Equal(ed25519.PublicKey(z.Master[:])) {
		return reject(CodeAuthority, "key %x is not the zone's master", []byte(t.Key[:4]))
	}
	if t.Kind.ofRoll() {
		return v.applyToRoll(s, t)
	}
	if t.Device == (zone.MAC{}) {
		return t.applyToZone(s, z)
	}
	return t.applyToDevice(s)
}

// rules gives the policy in force, compiled once.
func (v *Validator) rules(s Reader) (*policy.Set, error) {
	p, set, err := ReadPolicy(s)
	if err != nil {
		return nil, err
	}
	if v.policy != nil && v.of == p.ID {
		return v.policy, nil
	}
	text := policy.Default
	if set {
		text = p.Text
	}
	if v.policy, err = policy.Compile(text); err != nil {
		return nil, fmt.Errorf("the policy in force: %w", err)
	}
	v.of = p.ID
	return v.policy, nil
}

// setPolicy takes a policy that compiles.
func (v *Validator) setPolicy(s State, t *Signed, b *PolicySet) error {
	if _, err := policy.Compile(b.Text); err != nil {
		return reject(CodePolicy, "%v", err)
	}
	return write(s, policyKey, PolicyState{Text: b.Text, N: t.N, ID: t.ID})
}

// create makes the zone of a ledger that has none.
func (t *Signed) create(s State) error {
	b, ok := t.Body.(*ZoneCreated)
	if !ok {
		return reject(CodeZone, "%s comes before the zone was created", t.Kind)
	}
	if t.Zone != GroupID(b.Master[:], t.Time, b.Name) {
		return reject(CodeZone, "its zone ID %s does not follow from its content", t.Zone.Short())
	}
	if !t.Key.Equal(ed25519.PublicKey(b.Master[:])) {
		return reject(CodeAuthority, "key %x is not the master it names", []byte(t.Key[:4]))
	}
	if err := t.follows(0, zone.HID{}); err != nil {
		return err
	}
	return write(s, zoneKey, ZoneState{ID: t.Zone, Name: b.Name, UseCase: b.UseCase, Master: b.Master, Created: t.Time, N: 1, Newest: t.ID})
}

// follows holds the transaction's number against its subject's newest.
func (t *Signed) follows(n uint64, newest zone.HID) error {
	if t.N == n && t.ID == newest {
		return reject(CodeDuplicate, "number %d is this very transaction", n)
	}
	if t.N-1 != n {
		return reject(CodeOrder, "it is number %d, the next is %d", t.N, n+1)
	}
	return nil
}

func (t *Signed) applyToZone(s State, z ZoneState) error {
	if err := t.follows(z.N, z.Newest); err != nil {
		return err
	}
	b, ok := t.Body.(*OperatorAction)
	if !ok {
		return reject(CodeTransition, "the zone was created before")
	}
	if err := b.silence(t.Time, &z.SilencedFrom, &z.SilencedUntil); err != nil {
		return err
	}
	z.N, z.Newest = t.N, t.ID
	return write(s, zoneKey, z)
}

func (t *Signed) applyToDevice(s State) error {
	d, seen, err := ReadDevice(s, t.Device)
	if err != nil {
		return err
	}
	if err := t.follows(d.N, d.Newest); err != nil {
		return err
	}
	if _, first := t.Body.(*DeviceSeen); first == seen {
		return reject(CodeTransition, "%s of a device that is %s", t.Kind, d.State)
	}
	if err := t.step(&d); err != nil {
		return err
	}
	d.N, d.Newest = t.N, t.ID
	return write(s, deviceKey(t.Device), d)
}

// step changes the device as the body says.
func (t *Signed) step(d *DeviceState) error {
	switch b := t.Body.(type) {
	case *DeviceSeen:
		d.MAC, d.Name, d.FirstSeen = t.Device, b.Name, t.Time
		d.enter(zone.StateLearning, t.Time)
		return nil
	case *DeviceRenamed:
		d.Name = b.Name
		return nil
	case *ModelAccepted:
		return d.accept(b, t.Time)
	case *SegmentRecorded:
		return d.record(b)
	case *VerdictChanged:
		return d.judge(b, t.Time)
	case *NetworkPolicySet:
		if b.Digest == d.Network {
			return reject(CodeTransition, "that is the device's network policy already")
		}
		d.Network = b.Digest
		return nil
	case *OperatorAction:
		if b.Action == ActionRelearn {
			return d.relearn(t.Time)
		}
		return b.silence(t.Time, &d.SilencedFrom, &d.SilencedUntil)
	}
	return reject(CodeTransition, "%s is not about a device", t.Kind)
}

func (d *DeviceState) enter(state zone.State, at zone.Time) { d.State, d.Since = state, at }

func (d *DeviceState) accept(b *ModelAccepted, at zone.Time) error {
	switch {
	case d.State == zone.StateLearning:
		d.enter(zone.StateWatching, at)
	case d.State != zone.StateWatching:
		return reject(CodeTransition, "a model for a device that is %s, not learning or watching", d.State)
	case b.Digest == d.Model:
		return reject(CodeTransition, "model %s is the device's already", b.Digest.Short())
	case b.Last > d.LastSeq:
		return reject(CodeTransition, "a model that learned up to row %d: recorded up to %d", b.Last, d.LastSeq)
	}
	d.Model, d.Threshold = b.Digest, b.Threshold
	return nil
}

func (d *DeviceState) record(b *SegmentRecorded) error {
	if b.First <= d.LastSeq {
		return reject(CodeTransition, "a segment from row %d: recorded up to %d already", b.First, d.LastSeq)
	}
	d.LastSeq = b.Last
	// The sums stay below LastSeq: no row is counted twice.
	d.Rows += b.Rows
	d.Normal += b.Normal
	d.Malicious += b.Malicious
	return nil
}

func (d *DeviceState) judge(b *VerdictChanged, at zone.Time) error {
	if d.State != b.From {
		return reject(CodeTransition, "a verdict from %s for a device that is %s", b.From, d.State)
	}
	if d.Model != b.Model {
		return reject(CodeTransition, "a verdict of model %s: the device's is %s", b.Model.Short(), d.Model.Short())
	}
	d.enter(b.To, at)
	return nil
}

func (d *DeviceState) relearn(at zone.Time) error {
	if d.State == zone.StateLearning {
		return reject(CodeTransition, "the device is learning already")
	}
	d.Model, d.Threshold = zone.Hash{}, 0
	d.enter(zone.StateLearning, at)
	return nil
}

// silence sets or clears a silence.
func (b *OperatorAction) silence(at zone.Time, from, until *zone.Time) error {
	if b.Action == ActionUnsilence && *until == 0 {
		return reject(CodeTransition, "nothing is silenced")
	}
	*from, *until = 0, b.Until
	if b.Action == ActionSilence {
		*from = at
	}
	return nil
}

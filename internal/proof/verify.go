package proof

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// FieldError says which field of a bundle does not hold, and why.
type FieldError struct {
	Field  string // its path in the bundle's JSON
	Reason string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

func failf(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// Step is one thing that was checked and holds.
type Step struct {
	Name string // what was checked
	Says string // what it shows
}

// checker holds what the steps of one check hand on to each other.
type checker struct {
	b       *Bundle
	anchor  ed25519.PublicKey
	created *contract.ZoneCreated
	verdict *contract.VerdictChanged
	vtx     contract.Tx
	model   *detect.Model
	rows    []zone.Snapshot
}

// Verify checks a bundle against the anchor, which the caller has from
// elsewhere; nil takes the one in the bundle, and the result is only as good as
// that. It gives the steps that hold, and a [*FieldError] for the first that does not.
func Verify(b *Bundle, anchor ed25519.PublicKey) ([]Step, error) {
	c := &checker{b: b, anchor: anchor}
	var done []Step
	for _, s := range []struct {
		name string
		f    func() (string, error)
	}{
		{"anchor", c.checkAnchor}, {"zone", c.checkZone}, {"verdict", c.checkVerdict}, {"model", c.checkModel},
		{"segments", c.checkSegments}, {"scores", c.checkScores}, {"vote", c.checkVote}, {"alert", c.checkAlert},
	} {
		says, err := s.f()
		if err != nil {
			return done, err
		}
		done = append(done, Step{s.name, says})
	}
	return done, nil
}

func (c *checker) checkAnchor() (string, error) {
	name, key, err := identity.ParseAnchor(c.b.Anchor)
	if err != nil {
		return "", failf("anchor", "%v", err)
	}
	if want := ledger.Origin(c.b.Alert.Zone); name != want {
		return "", failf("anchor", "it is the key of %s, alert.zone says %s", name, want)
	}
	if c.anchor == nil {
		c.anchor = key
		return "the bundle's own key: give --anchor to know whose it is", nil
	}
	if !key.Equal(c.anchor) {
		return "", failf("anchor", "the bundle was made by another key than the anchor given")
	}
	return "the key is the anchor given", nil
}

// entry checks that a transaction is on the ledger and is what it is taken for.
func (c *checker) entry(field string, e *Entry) (*contract.Signed, error) {
	s, err := contract.Parse(e.Tx)
	if err != nil {
		return nil, failf(field+".tx", "%v", err)
	}
	if err := s.Verify(); err != nil {
		return nil, failf(field+".tx", "%v", err)
	}
	if !c.anchor.Equal(ed25519.PublicKey(s.Key[:])) {
		return nil, failf(field+".tx", "it is signed by another key than the zone's")
	}
	if s.Tx.Zone != c.b.Alert.Zone {
		return nil, failf(field+".tx", "it belongs to zone %s, alert.zone says %s", s.Tx.Zone.Short(), c.b.Alert.Zone.Short())
	}
	in, err := e.inclusion()
	if err != nil {
		return nil, failf(field+".header", "%v", err)
	}
	if in.Header.Zone != c.b.Alert.Zone {
		return nil, failf(field+".header", "it belongs to another zone than alert.zone")
	}
	return s, c.included(field, in, e.Tx)
}

// included checks the proof that a transaction is on the ledger.
func (c *checker) included(field string, in *ledger.Inclusion, tx []byte) error {
	err := in.Verify(tx, c.anchor)
	var step *ledger.StepError
	if !errors.As(err, &step) {
		return err
	}
	name := map[string]string{
		ledger.StepCheckpoint: "checkpoint", ledger.StepHeaderPath: "header_path, header or checkpoint",
		ledger.StepHeader: "header_signature", ledger.StepTxPath: "tx_path, index or tx",
	}[step.Step]
	return failf(field+"."+name, "%v", err)
}

func (c *checker) checkZone() (string, error) {
	s, err := c.entry("zone", &c.b.Zone)
	if err != nil {
		return "", err
	}
	body, ok := s.Tx.Body.(*contract.ZoneCreated)
	if !ok {
		return "", failf("zone.tx", "it is %s, not zone-created", s.Tx.Kind)
	}
	if string(body.Master[:]) != string(c.anchor) {
		return "", failf("zone.tx", "it names another master than the anchor")
	}
	if contract.GroupID(c.anchor, s.Tx.Time, body.Name) != c.b.Alert.Zone {
		return "", failf("alert.zone", "it is not the group ID of the zone that was created")
	}
	return fmt.Sprintf("zone %q (%s) was created by this key", body.Name, c.b.Alert.Zone.Short()), nil
}

func (c *checker) checkVerdict() (string, error) {
	s, err := c.entry("verdict", &c.b.Verdict)
	if err != nil {
		return "", err
	}
	v, ok := s.Tx.Body.(*contract.VerdictChanged)
	if !ok || v.To != zone.StateMalicious {
		return "", failf("verdict.tx", "it calls no device malicious")
	}
	c.verdict, c.vtx = v, s.Tx
	return fmt.Sprintf("%s was called malicious at %s, with H-ID %s", s.Tx.Device, s.Tx.Time, s.ID.Short()), nil
}

func (c *checker) checkModel() (string, error) {
	s, err := c.entry("model.accepted", &c.b.Model.Accepted)
	if err != nil {
		return "", err
	}
	body, ok := s.Tx.Body.(*contract.ModelAccepted)
	if !ok || s.Tx.Device != c.vtx.Device {
		return "", failf("model.accepted.tx", "it accepts no model of %s", c.vtx.Device)
	}
	if c.model, err = detect.UnmarshalModel(c.b.Model.File); err != nil {
		return "", failf("model.file", "%v", err)
	}
	m := c.model
	switch {
	case m.Digest() != body.Digest:
		return "", failf("model.file", "its digest is %s, the ledger says %s", m.Digest().Short(), body.Digest.Short())
	case body.Digest != c.verdict.Model:
		return "", failf("model.accepted.tx", "the verdict names model %s, not %s", c.verdict.Model.Short(), body.Digest.Short())
	case m.Origin.Device != c.vtx.Device:
		return "", failf("model.file", "it was learned from %s", m.Origin.Device)
	case m.Origin.Definition != feature.Digest():
		return "", failf("model.file", "it judges other features than this program knows: check with the version that made it")
	case m.Threshold != body.Threshold || m.Window != int(body.Window) || m.Span != body.Span:
		return "", failf("model.accepted.tx", "threshold or window differ from the model's own")
	}
	return fmt.Sprintf("learned from %d snapshots, SEQ %d to %d; threshold %.4g", body.Rows, body.First, body.Last, body.Threshold), nil
}

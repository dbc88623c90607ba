package proof

import (
	"crypto/ed25519"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/evidence"
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
	Says string // what it shows; one line, of the channel several
	// Warning says that what was shown is less than it could be: the key that
	// signed everything is known from the bundle alone.
	Warning bool
}

// checker holds what the steps of one check hand on to each other.
type checker struct {
	b       *Bundle
	anchor  ed25519.PublicKey
	verdict *contract.VerdictChanged
	vtx     contract.Tx
	model   *detect.Model
	rows    []zone.Snapshot
	fields  []string // where each of rows stands in the bundle
	channel *evidence.Channel
	warning bool // of the step under way
}

// step is one thing to check.
type step struct {
	name string
	f    func() (string, error)
}

// Verify checks a bundle against the anchor, which the caller has from
// elsewhere; nil takes the one in the bundle, and the result is only as good as
// that, which the anchor's step warns of. What a channel of Fabric shows is checked
// against channel, which the caller has from elsewhere too; nil leaves that out,
// which is warned of. It gives the steps that hold, and a [*FieldError] for the
// first that does not.
func Verify(b *Bundle, anchor ed25519.PublicKey, channel *evidence.Channel) ([]Step, error) {
	c := &checker{b: b, anchor: anchor, channel: channel}
	steps := []step{
		{"anchor", c.checkAnchor}, {"zone", c.checkZone}, {"verdict", c.checkVerdict}, {"model", c.checkModel},
		{"segments", c.checkSegments}, {"scores", c.checkScores}, {"vote", c.checkVote},
	}
	if b.Policy != nil || b.Alert.Network != nil {
		steps = append(steps, step{"policy", c.checkPolicy})
	}
	steps = append(steps, step{"alert", c.checkAlert})
	if b.Channel != nil || channel != nil {
		steps = append(steps, step{"channel", c.checkChannel})
	}
	var done []Step
	for _, s := range steps {
		says, err := s.f()
		if err != nil {
			return done, err
		}
		done = append(done, Step{s.name, says, c.warning})
		c.warning = false
	}
	return done, nil
}

func (c *checker) checkAnchor() (string, error) {
	name, key, err := identity.ParseAnchor(c.b.Anchor)
	if err != nil {
		return "", failf("anchor", "%v", err)
	}
	given := c.anchor != nil
	if given && !key.Equal(c.anchor) {
		return "", failf("anchor", "the bundle was made by another key than the anchor given")
	}
	c.anchor = key
	if name != ledger.Origin(c.b.Alert.Zone) {
		return "", c.blameZone(name)
	}
	if !given {
		c.warning = true
		return "the bundle's own key, whoever's it is: give the zone's anchor to be sure", nil
	}
	return "the key is the anchor given", nil
}

// blameZone says which of anchor and alert.zone is wrong, when they differ.
func (c *checker) blameZone(name string) error {
	s, err := contract.Parse(c.b.Zone.Tx)
	if err == nil && s.Tx.Zone == c.b.Alert.Zone {
		return failf("anchor", "it is the key of %s, the alert of zone %s", name, c.b.Alert.Zone)
	}
	return failf("alert.zone", "it is %s, the anchor is the key of %s", c.b.Alert.Zone, name)
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
	case m.Origin.Definition != body.Features || m.Origin.First != body.First || m.Origin.Last != body.Last:
		return "", failf("model.accepted.tx", "it names other features or snapshots than the model was learned from")
	case body.Last >= c.verdict.First:
		return "", failf("model.accepted.tx", "the model was learned from the evidence itself")
	case m.Threshold != body.Threshold || m.Window != int(body.Window) || m.Span != body.Span:
		return "", failf("model.accepted.tx", "threshold or window differ from the model's own")
	}
	return fmt.Sprintf("learned from %d snapshots, SEQ %d to %d; threshold %.4g", body.Rows, body.First, body.Last, body.Threshold), nil
}

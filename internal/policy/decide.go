package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// Member is somebody in the zone, as policies see it.
type Member struct {
	ID           string // its name in the zone
	Role         string
	Manufacturer string
	Firmware     string // hexadecimal
	Epoch        uint64 // of its keys
	Associated   uint64 // the height of the block that took it in
	Flagged      bool   // its device was found malicious and is not released
}

// Group is a set of members that messages go to. There is Everyone.
type Group string

// Object is a piece of a member's data.
type Object struct {
	Owner Member
	Name  string // without the owner
}

// Resource is what something is done to: a Member, a Group or an Object.
type Resource interface {
	kind() string
	entity(uses) cedar.Entity
}

// Context is what else is known of a request.
type Context struct {
	Size      uint64 // bytes of the message or object
	Height    uint64 // of the ledger
	Encrypted bool
}

// Request asks whether a member may do something. Numbers over 2^63-1 count as
// 2^63-1.
type Request struct {
	Principal Member
	Action    string // one of Actions
	Resource  Resource
	Context   Context
}

// Decision is the answer to a request.
type Decision struct {
	Allowed bool `json:"allowed"`
	// Reasons are the identifiers of the policies that decided, sorted: those that
	// forbid where one does, else those that permit. None: nothing permits it.
	Reasons []string `json:"reasons"`
	// Errors says why a request could not be decided; then it is not allowed.
	Errors []string `json:"errors,omitempty"`
}

// Decide answers a request. It never fails: what no zone has is not allowed, and
// Errors says why.
func (s *Set) Decide(r Request) Decision {
	if err := r.check(); err != nil {
		return Decision{Reasons: []string{}, Errors: []string{err.Error()}}
	}
	principal, resource := r.Principal.entity(s.uses), r.Resource.entity(s.uses)
	known := entities{principal, resource}
	if o, ok := r.Resource.(Object); ok {
		known = append(known, o.Owner.entity(s.uses))
	}
	allowed, why := cedar.Authorize(s.byAction[r.Action], known, cedar.Request{
		Principal: principal.UID,
		Action:    cedar.NewEntityUID(typeAction, cedar.String(r.Action)),
		Resource:  resource.UID,
		Context:   s.uses.record(typeContext, r.Context.attribute),
	})
	d := Decision{Allowed: bool(allowed), Reasons: []string{}}
	for _, reason := range why.Reasons {
		d.Reasons = append(d.Reasons, string(reason.PolicyID))
	}
	for _, e := range why.Errors { // a compiled set has none: were there one, it must not open a door
		d.Allowed = false
		d.Errors = append(d.Errors, fmt.Sprintf("%s: %s", e.PolicyID, e.Message))
	}
	slices.Sort(d.Reasons)
	slices.Sort(d.Errors)
	return d
}

// check holds a request against the schema.
func (r *Request) check() error {
	if !slices.Contains(Actions(), r.Action) {
		return fmt.Errorf("there is no action %s", quote(r.Action))
	}
	if r.Resource == nil {
		return fmt.Errorf("a request to %s without a resource", r.Action)
	}
	if kind := r.Resource.kind(); !slices.Contains(resourceTypes(r.Action), kind) {
		return fmt.Errorf("%s is nothing to %s", article(kind), r.Action)
	}
	if g, ok := r.Resource.(Group); ok && g != Everyone {
		return fmt.Errorf("there is no group %s", quote(string(g)))
	}
	if o, ok := r.Resource.(Object); ok && strings.Contains(o.Owner.ID, "/") {
		return fmt.Errorf("a member is called %s: a name has no slash, which parts owner and object", quote(o.Owner.ID))
	}
	return nil
}

// entities are what the engine may look up: two or three.
type entities []cedar.Entity

// Get finds an entity.
func (e entities) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	for _, known := range e {
		if known.UID == uid {
			return known, true
		}
	}
	return cedar.Entity{}, false
}

func (Member) kind() string { return typeMember }
func (Group) kind() string  { return typeGroup }
func (Object) kind() string { return typeObject }

func (m Member) uid() cedar.EntityUID { return cedar.NewEntityUID(typeMember, cedar.String(m.ID)) }

func (m Member) entity(u uses) cedar.Entity {
	return cedar.Entity{UID: m.uid(), Parents: cedar.NewEntityUIDSet(cedar.NewEntityUID(typeRole, cedar.String(m.Role))), Attributes: u.record(typeMember, m.attribute)}
}

func (m Member) attribute(name string) cedar.Value {
	switch name {
	case "id":
		return cedar.String(m.ID)
	case "role":
		return cedar.String(m.Role)
	case "manufacturer":
		return cedar.String(m.Manufacturer)
	case "firmware":
		return cedar.String(m.Firmware)
	case "epoch":
		return long(m.Epoch)
	case "associated":
		return long(m.Associated)
	}
	return cedar.Boolean(m.Flagged)
}

func (g Group) entity(uses) cedar.Entity {
	return cedar.Entity{UID: cedar.NewEntityUID(typeGroup, cedar.String(g))}
}

func (o Object) entity(u uses) cedar.Entity {
	return cedar.Entity{UID: cedar.NewEntityUID(typeObject, cedar.String(o.Owner.ID+"/"+o.Name)), Parents: cedar.NewEntityUIDSet(o.Owner.uid()), Attributes: u.record(typeObject, o.attribute)}
}

func (o Object) attribute(name string) cedar.Value {
	if name == "owner" {
		return o.Owner.uid()
	}
	return cedar.String(o.Name)
}

func (c Context) attribute(name string) cedar.Value {
	switch name {
	case "size":
		return long(c.Size)
	case "height":
		return long(c.Height)
	}
	return cedar.Boolean(c.Encrypted)
}

func long(n uint64) cedar.Long { return cedar.Long(min(n, math.MaxInt64)) }

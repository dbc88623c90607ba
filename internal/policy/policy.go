// Package policy says who may do what to whom in a zone: policies in the Cedar
// language (https://docs.cedarpolicy.com), held against the zone's own schema.
//
// A text is compiled once and decides many requests. Everything here is a
// function of its arguments: no clock, no randomness, and no order of a map
// reaches a result, so that every validator of a ledger comes to the same
// answer. A text that compiles cannot fail when it decides: what could (records,
// arithmetic, extension functions, attributes of members that are only named)
// is not part of the zone's language. Nothing is permitted unless a policy
// permits it, and a policy that forbids wins over all that permit.
//
// The text may come from anybody. It is limited in bytes, policies, tokens of
// one policy and nesting before the engine sees it, and the work of a decision is
// linear in its length.
//
// docs/policy.md has the schema in words and examples.
package policy

import (
	"fmt"
	"iter"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// The limits of a policy text.
const (
	MaxText     = 48 << 10 // bytes
	MaxPolicies = 256
	MaxTokens   = 1024 // of one policy
	MaxNesting  = 32   // of brackets
)

// Set is a compiled policy text. It does not change and may be used by many
// goroutines.
type Set struct {
	policies []named
	byAction map[string]list // the policies whose scope lets them say something about an action
	uses     uses
}

// uses are the attributes that some policy of a set looks at, by type. A request
// is told to the engine with no others, since making them is most of its cost.
type uses map[string]map[string]bool

func (u uses) add(of, attribute string) {
	if u[of] == nil {
		u[of] = map[string]bool{}
	}
	u[of][attribute] = true
}

// record makes the engine's record of what is looked at.
func (u uses) record(of string, attribute func(name string) cedar.Value) cedar.Record {
	if len(u[of]) == 0 {
		return cedar.Record{}
	}
	m := make(cedar.RecordMap, len(u[of]))
	for name := range u[of] {
		m[cedar.String(name)] = attribute(name)
	}
	return cedar.NewRecord(m)
}

// Policy describes one policy of a set.
type Policy struct {
	ID          string `json:"id"` // its @id, or policyN, counted from 1
	Effect      string `json:"effect"`
	Description string `json:"description,omitempty"`
	Line        int    `json:"line"`
}

// named is a policy of the engine under its identifier.
type named struct {
	Policy
	engine *cedar.Policy
}

// list is what the engine asks for its policies.
type list []named

// All gives the policies in the order of the text.
func (l list) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, p := range l {
			if !yield(cedar.PolicyID(p.ID), p.engine) {
				return
			}
		}
	}
}

// Policies describes the policies of the set in the order of the text.
func (s *Set) Policies() []Policy {
	out := make([]Policy, len(s.policies))
	for i, p := range s.policies {
		out[i] = p.Policy
	}
	return out
}

// About describes the policies whose scope names an action, or all actions.
func (s *Set) About(action string) []Policy {
	return (&Set{policies: s.byAction[action]}).Policies()
}

// Compile reads a policy text. What does not parse, or says what no member,
// action or object of a zone can be, is an *Error that names every place.
func Compile(text string) (*Set, error) {
	tokens, problem := scan(text)
	if problem != nil {
		return nil, &Error{Problems: []Problem{*problem}}
	}
	parsed, problem := parse(text, tokens)
	if problem != nil {
		return nil, &Error{Problems: []Problem{*problem}}
	}
	found := &Error{}
	s := &Set{byAction: map[string]list{}, uses: uses{}}
	used := map[string]int{}
	for i, p := range parsed {
		tree := (*ast.Policy)(p.AST())
		c := newChecker(tree, tokens, s.uses)
		about := c.policy(i + 1)
		if line, twice := used[about.ID]; twice {
			c.at = Position{about.Line, tree.Position.Column}
			c.problem("the policy of line "+fmt.Sprint(line)+" has the id "+quote(about.ID)+" too", "give each policy an @id of its own")
		}
		used[about.ID] = about.Line
		found.add(about.ID, c.problems)
		n := named{Policy: about, engine: p}
		s.policies = append(s.policies, n)
		for _, action := range c.actions() {
			s.byAction[action] = append(s.byAction[action], n)
		}
	}
	if len(found.Problems) > 0 {
		return nil, found
	}
	return s, nil
}

// parse runs the engine's parser on a text within limits.
func parse(text string, tokens []token) (parsed cedar.PolicyList, problem *Problem) {
	defer func() {
		if r := recover(); r != nil { // the text is hostile; the parser is not ours
			parsed, problem = nil, &Problem{Position: Position{1, 1}, Message: "the policy parser cannot take this text"}
		}
	}()
	parsed, err := cedar.NewPolicyListFromBytes("", []byte(text))
	switch {
	case err != nil:
		return nil, syntaxProblem(err.Error(), tokens)
	case len(parsed) == 0:
		return nil, &Problem{Position: Position{1, 1}, Message: "the text has no policy", Hint: "to forbid everything, say so: forbid (principal, action, resource);"}
	case len(parsed) > MaxPolicies:
		return nil, &Problem{Position: Position{parsed[MaxPolicies].Position().Line, parsed[MaxPolicies].Position().Column},
			Message: fmt.Sprintf("%d policies, and a zone has at most %d", len(parsed), MaxPolicies), Hint: "one policy may name several actions: action in [Action::\"send\", Action::\"reply\"]"}
	}
	return parsed, nil
}

// Default is the policy of a zone that sets none.
const Default = `// Members talk to each other and to everyone.
@id("members-talk")
permit (
  principal is Member,
  action in [Action::"send", Action::"request", Action::"reply"],
  resource
);

// What a member keeps is its own.
@id("own-data")
permit (
  principal is Member,
  action in [Action::"create", Action::"read", Action::"update", Action::"delete"],
  resource is Object
)
when { resource.owner == principal };

// The master may read everything.
@id("master-reads")
permit (principal in Role::"master", action == Action::"read", resource is Object);

// Who was found malicious and is not released may do nothing.
@id("flagged-nothing")
forbid (principal, action, resource)
when { principal.flagged };
`

// quote puts a name into quotation marks, without what a terminal would obey.
func quote(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// situation is a kind of request: one action on one type of resource. A policy
// is checked in every situation that its scope lets it speak about.
type situation struct{ action, resource string }

// typed is what is known of an expression: its type, and for a Bool whether it
// is always true or always false in this situation. The zero value is an
// expression that a problem was told of already.
type typed struct {
	name    string
	of      string // the type of a set's elements
	always  always
	literal bool // an entity that is only named: nothing else is known of it
}

type always uint8

const (
	varies always = iota
	alwaysTrue
	alwaysFalse
)

func isAlways(b bool) always {
	if b {
		return alwaysTrue
	}
	return alwaysFalse
}

const typeSet = "Set"

// checker walks one policy in the order of its text. The engine's tree has no
// places; the walk finds them by going along the tokens.
type checker struct {
	tree     *ast.Policy
	tokens   []token // of the whole text
	next     int     // the token that the walk has come to
	at       Position
	now      situation
	all      []situation
	skipped  int  // > 0 where the expression is never evaluated
	lost     bool // the walk and the tokens are apart: say nothing more of this policy in this situation
	problems []Problem
	uses     uses // of the whole text
}

func newChecker(tree *ast.Policy, tokens []token, u uses) *checker {
	return &checker{tree: tree, tokens: tokens, uses: u}
}

// problem takes down what is wrong at the present place.
func (c *checker) problem(message, hint string) {
	if !c.lost && len(c.problems) < 16*maxProblems {
		c.problems = append(c.problems, Problem{Position: c.at, Message: message, Hint: hint})
	}
}

// refuse takes down something that is not part of the zone's language.
func (c *checker) refuse(message, hint string) typed {
	c.problem(message, hint)
	c.lost = true
	return typed{}
}

// seek goes on to the next token that is wanted.
func (c *checker) seek(wanted func(token) bool) {
	for i := c.next; i < len(c.tokens); i++ {
		if wanted(c.tokens[i]) {
			c.at, c.next = c.tokens[i].at, i+1
			return
		}
	}
}

func (c *checker) word(text ...string) {
	c.seek(func(t token) bool { return slices.Contains(text, t.text) })
}

// start goes back to the first token of the policy.
func (c *checker) start() {
	first := Position{c.tree.Position.Line, c.tree.Position.Column}
	c.next, c.at, c.lost = 0, first, false
	c.seek(func(t token) bool { return t.at == first })
	c.next = max(c.next-1, 0)
}

// policy checks all of it. n counts policies from 1.
func (c *checker) policy(n int) Policy {
	c.start()
	about := c.annotations(n)
	c.scope()
	if len(c.problems) > 0 {
		return about
	}
	if len(c.all) == 0 {
		c.start()
		c.problem("no action that this policy names can be done to the resource that it names", "send, request and reply go to a Member or a Group; create, read, update and delete to an Object")
		return about
	}
	begin := c.next
	holds := false
	for _, c.now = range c.all {
		c.next, c.lost = begin, false
		holds = c.conditions() || holds
	}
	if !holds && len(c.problems) == 0 {
		c.start()
		c.problem("this policy can never apply: its conditions are never true", "remove it, or compare with something that can be")
	}
	return about
}

// conditions checks the when and unless clauses in one situation, and reports
// whether they can all hold.
func (c *checker) conditions() bool {
	possible := true
	for _, k := range c.tree.Conditions {
		c.word("when", "unless")
		c.word("{")
		at := c.at
		t := c.expr(k.Body)
		if t.name != "" && t.name != typeBool {
			c.at = at
			c.problem("a condition is a Bool, and this one is "+article(t.name), "compare it with something")
		}
		never := alwaysFalse
		if k.Condition == ast.ConditionUnless {
			never = alwaysTrue
		}
		possible = possible && t.always != never
	}
	return possible
}

// idForm is what an @id may look like: it goes into decisions and records.
var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$`)

func (c *checker) annotations(n int) Policy {
	p := Policy{ID: fmt.Sprintf("policy%d", n), Effect: "forbid", Line: c.tree.Position.Line}
	if c.tree.Effect == ast.EffectPermit {
		p.Effect = "permit"
	}
	for _, a := range c.tree.Annotations {
		c.word("@")
		switch key, value := string(a.Key), string(a.Value); {
		case key == "id" && idForm.MatchString(value):
			p.ID = value
		case key == "id":
			c.problem("an @id is 1 to 64 letters, digits, spaces, dots, hyphens and underscores, and not "+quote(value), "")
		case key == "description" && len(value) <= 512:
			p.Description = value
		case key == "description":
			c.problem(fmt.Sprintf("a description of %d bytes, and at most 512 are kept", len(value)), "write the rest as a comment")
		default:
			c.problem("there is no annotation @"+key, "there are @id and @description")
		}
	}
	c.word("permit", "forbid")
	return p
}

// scope checks who, what and whom, and notes the situations that remain.
func (c *checker) scope() {
	c.word("principal")
	c.scopeOf(c.tree.Principal, []string{typeMember})
	c.word("action")
	c.scopeOf(c.tree.Action, []string{typeAction})
	c.word("resource")
	resources := c.scopeOf(c.tree.Resource, []string{typeMember, typeGroup, typeObject})
	for _, action := range c.actions() {
		for _, r := range resourceTypes(action) {
			if slices.Contains(resources, r) {
				c.all = append(c.all, situation{action, r})
			}
		}
	}
}

// actions gives the actions that the scope names, in the order of Actions.
func (c *checker) actions() []string {
	var named []types.EntityUID
	switch s := c.tree.Action.(type) {
	case ast.ScopeTypeEq:
		named = []types.EntityUID{s.Entity}
	case ast.ScopeTypeIn:
		named = []types.EntityUID{s.Entity}
	case ast.ScopeTypeInSet:
		named = s.Entities
	default:
		return Actions()
	}
	return slices.DeleteFunc(Actions(), func(a string) bool {
		return !slices.Contains(named, types.NewEntityUID(typeAction, types.String(a)))
	})
}

// scopeOf checks one part of the scope and gives those of the possible types
// that it leaves.
func (c *checker) scopeOf(scope any, possible []string) []string {
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return c.equals(c.entity(s.Entity), possible)
	case ast.ScopeTypeIn:
		return c.inside(c.entity(s.Entity), possible)
	case ast.ScopeTypeInSet:
		c.word("[")
		if len(s.Entities) == 0 {
			c.problem("an empty list: this policy can never apply", "name the actions, or none at all for every action")
		}
		for _, e := range s.Entities {
			possible = c.inside(c.entity(e), possible)
		}
	case ast.ScopeTypeIs:
		return c.is(s.Type, possible)
	case ast.ScopeTypeIsIn:
		left := c.is(s.Type, possible)
		return c.inside(c.entity(s.Entity), left)
	}
	return possible
}

// is leaves one type.
func (c *checker) is(t types.EntityType, possible []string) []string {
	c.word("is")
	c.seek(token.isName)
	if !isEntity(string(t)) {
		c.noType(string(t))
		return nil
	}
	return c.equals(typed{name: string(t)}, possible)
}

// equals leaves the one type that something can be equal to.
func (c *checker) equals(t typed, possible []string) []string {
	if t.name == "" || slices.Contains(possible, t.name) {
		return []string{t.name}
	}
	hint := "it is a " + strings.Join(possible, ", a ")
	if slices.ContainsFunc(possible, func(p string) bool { return slices.Contains(within(p), t.name) }) {
		hint = "write `in` instead of `==`: a " + possible[0] + " is in a " + t.name
	}
	c.problem("this is never "+article(t.name), hint)
	return nil
}

// inside leaves the types that can be in something.
func (c *checker) inside(t typed, possible []string) []string {
	if t.name == "" {
		return possible
	}
	left := slices.DeleteFunc(slices.Clone(possible), func(p string) bool { return !slices.Contains(within(p), t.name) })
	if len(left) == 0 && len(possible) > 0 {
		c.problem("nothing that this can be is ever in "+article(t.name), "a Member is in its Role, an Object in its owner; a Group is compared with ==")
	}
	return left
}

func (c *checker) noType(t string) {
	c.problem("there is no entity type "+t, "there are "+strings.Join(entityTypes(), ", "))
}

// entity checks an entity that the text names.
func (c *checker) entity(e types.EntityUID) typed {
	first, _, _ := strings.Cut(string(e.Type), "::")
	c.word(first)
	t, id := string(e.Type), string(e.ID)
	switch {
	case !isEntity(t):
		c.noType(t)
		return typed{}
	case t == typeAction && !slices.Contains(Actions(), id):
		c.problem("there is no action "+quote(id), "there are "+strings.Join(Actions(), ", "))
	case t == typeGroup && id != Everyone:
		c.problem("there is no group "+quote(id), "there is "+quote(Everyone))
	case t == typeObject && !strings.Contains(id, "/"):
		c.problem("an object is named by owner and name, and "+quote(id)+" has no slash", `write Object::"member/name"`)
	case id == "":
		c.problem("a "+t+" without a name", "")
	default:
		return typed{name: t, literal: true}
	}
	return typed{}
}

// article puts "a" or "an" before the name of a type.
func article(t string) string {
	if strings.ContainsAny(t[:1], "AO") {
		return "an " + t
	}
	return "a " + t
}

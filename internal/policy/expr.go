package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// expr gives the type of an expression in the present situation, and takes down
// what is wrong with it. Its depth is that of the parser's tree, which the limits
// of the scanner bound.
func (c *checker) expr(n ast.IsNode) typed {
	if c.lost {
		return typed{}
	}
	switch n := n.(type) {
	case ast.NodeValue:
		return c.value(n.Value)
	case ast.NodeTypeVariable:
		return c.variable(string(n.Name))
	case ast.NodeTypeAccess:
		return c.access(n)
	case ast.NodeTypeAnd:
		return c.both(n.Left, n.Right, "&&", alwaysFalse)
	case ast.NodeTypeOr:
		return c.both(n.Left, n.Right, "||", alwaysTrue)
	case ast.NodeTypeNot:
		c.word("!")
		t := c.want(typeBool, c.expr(n.Arg))
		return typed{name: typeBool, always: not(t.always)}
	case ast.NodeTypeIfThenElse:
		return c.ifThenElse(n)
	case ast.NodeTypeEquals:
		return c.equality(n.Left, n.Right)
	case ast.NodeTypeNotEquals:
		t := c.equality(n.Left, n.Right)
		return typed{name: t.name, always: not(t.always)}
	case ast.NodeTypeLessThan:
		return c.order(n.BinaryNode)
	case ast.NodeTypeLessThanOrEqual:
		return c.order(n.BinaryNode)
	case ast.NodeTypeGreaterThan:
		return c.order(n.BinaryNode)
	case ast.NodeTypeGreaterThanOrEqual:
		return c.order(n.BinaryNode)
	case ast.NodeTypeIn:
		return c.in(n)
	case ast.NodeTypeIs:
		return c.isType(c.subject(n.Left), n.EntityType)
	case ast.NodeTypeIsIn:
		return c.isIn(n)
	case ast.NodeTypeLike:
		c.want(typeString, c.expr(n.Arg))
		c.word("like")
		c.seek(token.isString)
		return typed{name: typeBool}
	case ast.NodeTypeSet:
		return c.set(n)
	case ast.NodeTypeContains:
		return c.contains(n)
	}
	return c.refused(n)
}

// refused names what the engine knows and a zone's policy does not have.
func (c *checker) refused(n ast.IsNode) typed {
	switch n := n.(type) {
	case ast.NodeTypeHas:
		c.expr(n.Arg)
		c.word("has")
		return c.refuse("`has` is not part of a zone's policy", "every attribute always exists: compare it")
	case ast.NodeTypeAdd, ast.NodeTypeSub, ast.NodeTypeMult, ast.NodeTypeNegate:
		return c.refuse("arithmetic is not part of a zone's policy, since it can overflow", "compare with a number")
	case ast.NodeTypeRecord:
		return c.refuse("records are not part of a zone's policy", "compare the attributes one by one")
	case ast.NodeTypeExtensionCall:
		return c.refuse("the function "+string(n.Name)+" is not part of a zone's policy", "no attribute of a zone is an address, a decimal or a time")
	}
	return c.refuse("this operator is not part of a zone's policy", "sets have contains: [\"sensor\", \"lock\"].contains(principal.role)")
}

// want holds an expression's type against the one that is needed.
func (c *checker) want(name string, t typed) typed {
	if t.name != "" && t.name != name && c.skipped == 0 {
		c.problem("this wants a "+name+", and "+article(t.name)+" is given", "")
	}
	return t
}

// skip walks an expression that may never be evaluated.
func (c *checker) skip(never bool, f func()) {
	if never {
		c.skipped++
		defer func() { c.skipped-- }()
	}
	f()
}

func not(a always) always {
	switch a {
	case alwaysTrue:
		return alwaysFalse
	case alwaysFalse:
		return alwaysTrue
	}
	return varies
}

func (c *checker) value(v types.Value) typed {
	switch v := v.(type) {
	case types.Boolean:
		c.word(v.String())
		return typed{name: typeBool, always: isAlways(bool(v))}
	case types.Long:
		c.seek(token.isNumber)
		return typed{name: typeLong}
	case types.String:
		c.seek(token.isString)
		return typed{name: typeString}
	case types.EntityUID:
		return c.entity(v)
	}
	return c.refuse("this value is not part of a zone's policy", "")
}

func (c *checker) variable(name string) typed {
	c.word(name)
	switch name {
	case "principal":
		return typed{name: typeMember}
	case "action":
		return typed{name: typeAction}
	case "resource":
		return typed{name: c.now.resource}
	}
	return typed{name: typeContext}
}

func (c *checker) access(n ast.NodeTypeAccess) typed {
	of := c.expr(n.Arg)
	c.word(".", "[")
	c.seek(func(t token) bool { return t.isName() || t.isString() })
	if of.name == "" || c.lost {
		return typed{}
	}
	if of.literal {
		return c.refuse("nothing is known of a "+of.name+" that is only named", "attributes have principal, resource, resource.owner and context")
	}
	known := attributes(of.name)
	name, ok := known[string(n.Value)]
	switch {
	case ok:
		c.uses.add(of.name, string(n.Value))
		return typed{name: name}
	case c.skipped > 0: // of another kind of resource
	case len(known) == 0:
		c.problem(article(of.name)+" has no attributes", c.otherwise(string(n.Value)))
	default:
		c.problem(article(of.name)+" has no attribute "+quote(string(n.Value)), "there are "+names(known)+c.elsewhere(string(n.Value)))
	}
	return typed{}
}

// elsewhere tells that an attribute belongs to the other kinds of resource.
func (c *checker) elsewhere(attribute string) string {
	if hint := c.otherwise(attribute); hint != "" {
		return ". " + hint
	}
	return ""
}

func (c *checker) otherwise(attribute string) string {
	for _, t := range []string{typeObject, typeMember} {
		if _, ok := attributes(t)[attribute]; ok && t != c.now.resource && len(c.all) > 1 {
			return article(t) + " has: write `resource is " + t + "` into the scope, or before `&&`"
		}
	}
	return ""
}

// both checks && and ||, which a side that is always ends decides.
func (c *checker) both(left, right ast.IsNode, word string, ends always) typed {
	l := c.want(typeBool, c.expr(left))
	var r typed
	c.skip(l.always == ends, func() { c.word(word); r = c.want(typeBool, c.expr(right)) })
	t := typed{name: typeBool}
	switch {
	case l.always == ends || r.always == ends:
		t.always = ends
	case l.always == not(ends):
		t.always = r.always
	}
	return t
}

func (c *checker) ifThenElse(n ast.NodeTypeIfThenElse) typed {
	c.word("if")
	k := c.want(typeBool, c.expr(n.If))
	var then, otherwise typed
	c.skip(k.always == alwaysFalse, func() { c.word("then"); then = c.expr(n.Then) })
	c.skip(k.always == alwaysTrue, func() { c.word("else"); otherwise = c.expr(n.Else) })
	switch {
	case k.always == alwaysTrue:
		return then
	case k.always == alwaysFalse:
		return otherwise
	case then.name != "" && otherwise.name != "" && (then.name != otherwise.name || then.of != otherwise.of):
		c.problem("then gives "+article(then.name)+" and else "+article(otherwise.name), "both give the same type")
		return typed{}
	}
	t := typed{name: then.name, of: then.of, literal: then.literal || otherwise.literal}
	if then.always == otherwise.always {
		t.always = then.always
	}
	return t
}

func (c *checker) equality(left, right ast.IsNode) typed {
	l := c.expr(left)
	c.word("==", "!=")
	at := c.at
	r := c.expr(right)
	result := typed{name: typeBool}
	if l.name == "" || r.name == "" || c.skipped > 0 {
		return result
	}
	c.at = at
	switch {
	case l.name == typeSet || r.name == typeSet || l.name == typeContext || r.name == typeContext:
		c.problem("sets and the context cannot be compared", "a set has contains; the context has "+names(attributes(typeContext)))
	case l.name == r.name:
		result.always = c.sameAction(left, right)
	case c.never(left, right, l, r):
		hint := "both sides have the same type"
		if slices.Contains(within(l.name), r.name) {
			hint = "write `in` instead of `==`: " + article(l.name) + " is in " + article(r.name)
		}
		c.problem(article(l.name)+" is never "+article(r.name), hint)
	default:
		result.always = alwaysFalse // another kind of resource in this situation
	}
	return result
}

// never reports two types that are not the same in any situation: of all that a
// policy can name, only resource differs.
func (c *checker) never(left, right ast.IsNode, l, r typed) bool {
	other := ""
	switch {
	case isResource(left):
		other = r.name
	case isResource(right):
		other = l.name
	default:
		return true
	}
	return !slices.ContainsFunc(c.all, func(s situation) bool { return s.resource == other })
}

func isResource(n ast.IsNode) bool {
	v, ok := n.(ast.NodeTypeVariable)
	return ok && v.Name == "resource"
}

// sameAction settles a comparison of the action with one that is named.
func (c *checker) sameAction(left, right ast.IsNode) always {
	for _, pair := range [][2]ast.IsNode{{left, right}, {right, left}} {
		v, isVariable := pair[0].(ast.NodeTypeVariable)
		e, isValue := pair[1].(ast.NodeValue)
		if isVariable && isValue && v.Name == "action" {
			return isAlways(e.Value.Equal(types.NewEntityUID(typeAction, types.String(c.now.action))))
		}
	}
	return varies
}

func (c *checker) order(n ast.BinaryNode) typed {
	c.want(typeLong, c.expr(n.Left))
	c.word("<", "<=", ">", ">=")
	c.want(typeLong, c.expr(n.Right))
	return typed{name: typeBool}
}

// subject is the left side of `in` and `is`.
func (c *checker) subject(n ast.IsNode) typed {
	t := c.expr(n)
	if t.literal {
		return c.refuse("nothing is known of a "+t.name+" that is only named", "ask about principal, action, resource or resource.owner")
	}
	if t.name != "" && !isEntity(t.name) && c.skipped == 0 {
		c.problem("this is asked of an entity, and not of a "+t.name, "")
		return typed{}
	}
	return t
}

func (c *checker) isType(left typed, t types.EntityType) typed {
	c.word("is")
	c.seek(token.isName)
	if !isEntity(string(t)) {
		c.noType(string(t))
		return typed{name: typeBool}
	}
	if left.name == "" {
		return typed{name: typeBool}
	}
	return typed{name: typeBool, always: isAlways(left.name == string(t))}
}

func (c *checker) isIn(n ast.NodeTypeIsIn) typed {
	left := c.subject(n.Left)
	t := c.isType(left, n.EntityType)
	c.skip(t.always == alwaysFalse, func() {
		if c.contained(left, c.expr(n.Entity)) && t.always == alwaysTrue {
			t.always = varies
		} else {
			t.always = alwaysFalse
		}
	})
	return t
}

func (c *checker) in(n ast.NodeTypeIn) typed {
	left := c.subject(n.Left)
	c.word("in")
	at := c.at
	right := c.expr(n.Right)
	t := typed{name: typeBool}
	if left.name == "" || right.name == "" {
		return t
	}
	c.at = at
	if !c.contained(left, right) {
		t.always = alwaysFalse
		if !isResource(n.Left) && !isResource(n.Right) && c.skipped == 0 {
			c.problem(article(left.name)+" is never in "+article(elementOf(right)), "a Member is in its Role, an Object in its owner; a Group is compared with ==")
		}
	}
	return t
}

func elementOf(t typed) string {
	if t.name == typeSet {
		return t.of
	}
	return t.name
}

// contained reports whether something of the left type can be in the right.
func (c *checker) contained(left, right typed) bool {
	e := elementOf(right)
	if e != "" && !isEntity(e) && c.skipped == 0 {
		c.problem("`in` wants an entity or a set of them, and not a "+e, "for text, write [\"a\", \"b\"].contains(…)")
		return true
	}
	return left.name == "" || e == "" || slices.Contains(within(left.name), e)
}

// set checks a set: literals of one type, so that it is made once.
func (c *checker) set(n ast.NodeTypeSet) typed {
	c.word("[")
	if len(n.Elements) == 0 {
		c.problem("an empty set: nothing is ever in it", "")
		return typed{}
	}
	of := ""
	for _, e := range n.Elements {
		if _, ok := e.(ast.NodeValue); !ok {
			return c.refuse("a set is made of names, texts and numbers", "for anything else, write the comparisons with ||")
		}
		t := c.expr(e)
		switch {
		case t.name == "":
			return typed{}
		case of == "":
			of = t.name
		case of != t.name:
			c.problem("a set of "+article(of)+" and "+article(t.name), "its elements have one type")
			return typed{}
		}
	}
	return typed{name: typeSet, of: of}
}

func (c *checker) contains(n ast.NodeTypeContains) typed {
	set := c.expr(n.Left)
	c.word("contains")
	at := c.at
	t := c.expr(n.Right)
	result := typed{name: typeBool}
	if set.name == "" || t.name == "" || c.skipped > 0 {
		return result
	}
	c.at = at
	switch {
	case set.name != typeSet:
		c.problem("contains is asked of a set, and not of "+article(set.name), "write [\"a\", \"b\"].contains(…)")
	case set.of != t.name && (!isResource(n.Right) || c.never(n.Right, n.Left, t, typed{name: set.of})):
		c.problem("a set of "+set.of+" never contains "+article(t.name), "its elements and what it is asked for have one type")
	case set.of != t.name:
		result.always = alwaysFalse
	}
	return result
}

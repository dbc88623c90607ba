package mud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Parse reads a MUD file.
func Parse(b []byte) (*File, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("mud: %d bytes, and at most %d are read", len(b), MaxFile)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("mud: this is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("mud: something stands behind the file's JSON object, at byte %d", d.InputOffset())
	}
	p := &parser{file: &File{}, acls: map[string][]ace{}}
	p.root(node{v, "", p})
	if p.err != nil {
		return nil, fmt.Errorf("mud: %w", p.err)
	}
	return p.file, nil
}

// parser reads the tree. It keeps the first error and goes on with zero values.
type parser struct {
	file  *File
	acls  map[string][]ace
	rules int
	err   error
}

// ace is an access control entry before its direction is known.
type ace struct {
	node node
	v6   bool
	typ  string // of its list
}

func (p *parser) fail(path, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
	}
}

// ignore counts a part that means nothing here.
func (p *parser) ignore(what string) {
	for i := range p.file.Ignored {
		if p.file.Ignored[i].What == what {
			p.file.Ignored[i].Times++
			return
		}
	}
	p.file.Ignored = append(p.file.Ignored, Ignored{what, 1})
}

func (p *parser) root(n node) {
	root := n.object()
	mud, ok := root.take("ietf-mud:mud")
	if !ok {
		p.fail("/", "there is no \"ietf-mud:mud\": this is not a MUD file (RFC 8520)")
	}
	lists, ok := root.take("ietf-access-control-list:acls")
	if !ok { // a name of the drafts, which many published files have
		lists, ok = root.take("ietf-access-control-list:access-lists")
		if ok {
			p.ignore("that the access lists are called access-lists, as in drafts")
		}
	}
	root.rest()
	if ok {
		p.lists(lists)
	}
	p.container(mud.object())
	slices.SortFunc(p.file.Ignored, func(a, b Ignored) int { return strings.Compare(a.What, b.What) })
}

// container reads what the file says about itself, and which lists count.
func (p *parser) container(o object) {
	f := p.file
	f.Version = o.integer("mud-version", 1, 255, -1)
	if f.Version != 1 && p.err == nil {
		p.fail(o.path+"/mud-version", "%d, and only version 1 is known", f.Version)
	}
	f.URL = o.text("mud-url")
	if u, err := url.Parse(f.URL); p.err == nil && (err != nil || u.Scheme != "https" || u.Host == "") {
		p.fail(o.path+"/mud-url", "%.80q is not an https URL", f.URL)
	}
	f.LastUpdate = o.text("last-update")
	if _, err := time.Parse(time.RFC3339, f.LastUpdate); p.err == nil && err != nil {
		p.fail(o.path+"/last-update", "%.80q is not a time like 2026-01-31T12:00:00Z", f.LastUpdate)
	}
	f.CacheValidity = o.integer("cache-validity", 1, 168, 48)
	f.Supported = o.truth("is-supported")
	f.Systeminfo, f.Manufacturer, f.Model = o.optional("systeminfo"), o.optional("mfg-name"), o.optional("model-name")
	f.Firmware, f.Software, f.Signature = o.optional("firmware-rev"), o.optional("software-rev"), o.optional("mud-signature")
	f.Profile.From = p.policy(&o, "from-device-policy", true)
	f.Profile.To = p.policy(&o, "to-device-policy", false)
	o.rest()
}

// policy reads the rules of the lists that a direction names.
func (p *parser) policy(o *object, name string, from bool) []Rule {
	n, ok := o.take(name)
	if !ok {
		return nil
	}
	policy := n.object()
	lists, ok := policy.take("access-lists")
	policy.rest()
	if !ok {
		return nil
	}
	outer := lists.object()
	inner, _ := outer.take("access-list")
	outer.rest()
	var rules []Rule
	for _, entry := range inner.list() {
		e := entry.object()
		list := e.text("name")
		e.rest()
		aces, known := p.acls[list]
		if !known {
			p.fail(entry.path, "there is no access list %.80q", list)
		}
		for _, a := range aces {
			if p.rules++; p.rules > MaxRules {
				p.fail(a.node.path, "more than %d rules", MaxRules)
				return nil
			}
			rules = append(rules, p.rule(a, from))
		}
	}
	return rules
}

// lists notes the access lists by name.
func (p *parser) lists(n node) {
	outer := n.object()
	acl, _ := outer.take("acl")
	outer.rest()
	for _, list := range acl.list() {
		o := list.object()
		name, typ := o.text("name"), strings.TrimPrefix(o.text("type"), "ietf-access-control-list:")
		v6 := strings.HasPrefix(typ, "ipv6") || strings.HasSuffix(typ, "ipv6-acl-type")
		if p.err == nil && !v6 && !strings.HasPrefix(typ, "ipv4") && !strings.HasSuffix(typ, "ipv4-acl-type") {
			p.fail(o.path+"/type", "%.80q: want ipv4-acl-type or ipv6-acl-type", typ)
		}
		if _, twice := p.acls[name]; twice {
			p.fail(list.path, "there are two access lists %.80q", name)
		}
		found := []ace{}
		if entries, ok := o.take("aces"); ok {
			e := entries.object()
			inner, _ := e.take("ace")
			e.rest()
			for _, a := range inner.list() {
				found = append(found, ace{a, v6, typ})
			}
		}
		o.rest()
		p.acls[name] = found
	}
}

// node is a value of the tree with its path.
type node struct {
	value any
	path  string
	p     *parser
}

// object is a JSON object whose members are taken one by one.
type object struct {
	members map[string]any
	path    string
	p       *parser
}

func (n node) object() object {
	m, ok := n.value.(map[string]any)
	if !ok {
		n.p.fail(n.path+"/", "want an object {…}, and this is %s", kindOf(n.value))
	}
	left := make(map[string]any, len(m))
	for k, v := range m {
		left[k] = v
	}
	return object{left, n.path, n.p}
}

func (n node) list() []node {
	l, ok := n.value.([]any)
	if !ok && n.p.err == nil && n.value != nil {
		n.p.fail(n.path, "want a list […], and this is %s", kindOf(n.value))
	}
	out := make([]node, len(l))
	for i, v := range l {
		out[i] = node{v, fmt.Sprintf("%s/%d", n.path, i), n.p}
	}
	return out
}

// take removes a member and gives it.
func (o *object) take(name string) (node, bool) {
	v, ok := o.members[name]
	delete(o.members, name)
	return node{v, o.path + "/" + name, o.p}, ok
}

// takeAny takes a member by its name with or without the prefix of a module.
func (o *object) takeAny(module, name string) (node, bool) {
	if n, ok := o.take(module + ":" + name); ok {
		return n, true
	}
	return o.take(name)
}

// rest ignores the members that nobody took.
func (o *object) rest() {
	for name := range o.members {
		o.p.ignore(printable(name))
	}
	o.members = nil
}

// text takes a text that has to be there.
func (o *object) text(name string) string {
	if _, ok := o.members[name]; !ok {
		o.p.fail(o.path+"/"+name, "it is missing")
		return ""
	}
	return o.optional(name)
}

// optional takes a text that may be missing.
func (o *object) optional(name string) string {
	n, ok := o.take(name)
	if !ok {
		return ""
	}
	s, isText := n.value.(string)
	if !isText || len(s) > 2048 {
		o.p.fail(n.path, "want a text of at most 2048 bytes, and this is %s", kindOf(n.value))
		return ""
	}
	return s
}

func (o *object) truth(name string) bool {
	n, ok := o.take(name)
	b, isBool := n.value.(bool)
	if !ok || !isBool {
		o.p.fail(n.path, "want true or false")
	}
	return b
}

// integer takes a number within bounds. A missing one is the default; with -1
// it has to be there.
func (o *object) integer(name string, low, high, missing int) int {
	n, ok := o.take(name)
	if !ok {
		if missing < 0 {
			o.p.fail(n.path, "it is missing")
		}
		return missing
	}
	return n.integer(low, high)
}

func (n node) integer(low, high int) int {
	num, ok := n.value.(json.Number)
	v, err := num.Int64()
	if !ok || err != nil || v < int64(low) || v > int64(high) {
		n.p.fail(n.path, "want a number from %d to %d, and this is %.40v", low, high, n.value)
		return low
	}
	return int(v)
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return fmt.Sprintf("the text %.40q", v)
	case json.Number:
		return "the number " + printable(v.String())
	case bool:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	}
	return "an object"
}

// printable shortens a name and takes out what a terminal would obey.
func printable(s string) string {
	q := fmt.Sprintf("%.60q", s)
	return q[1 : len(q)-1]
}

// prefix reads an address or a network of the rule's family.
func (n node) prefix(v6 bool) netip.Prefix {
	s, ok := n.value.(string)
	x, err := netip.ParsePrefix(s)
	if err != nil {
		var a netip.Addr
		if a, err = netip.ParseAddr(s); err == nil {
			x = netip.PrefixFrom(a.WithZone(""), a.BitLen())
		}
	}
	if !ok || err != nil || x.Addr().Is4() == v6 {
		family := 4
		if v6 {
			family = 6
		}
		n.p.fail(n.path, "%.60v is not an IPv%d network like %s", n.value, family, map[bool]string{false: "192.0.2.0/24", true: "2001:db8::/32"}[v6])
		return netip.Prefix{}
	}
	return x.Masked()
}

// ports reads a port or a range of ports (RFC 8519, section 4.3).
func (n node) ports() Ports {
	o := n.object()
	defer o.rest()
	if _, ok := o.members["lower-port"]; ok {
		p := Ports{Low: uint16(o.integer("lower-port", 0, math.MaxUint16, -1)), High: uint16(o.integer("upper-port", 0, math.MaxUint16, math.MaxUint16)), Set: true}
		if p.Low > p.High {
			n.p.fail(n.path, "from %d to %d is no range", p.Low, p.High)
		}
		return p
	}
	operator := o.optional("operator")
	port := uint16(o.integer("port", 0, math.MaxUint16, -1))
	switch operator {
	case "", "eq":
		return Ports{Low: port, High: port, Set: true}
	case "neq":
		return Ports{Low: port, High: port, Not: true, Set: true}
	case "lte":
		return Ports{High: port, Set: true}
	case "gte":
		return Ports{Low: port, High: math.MaxUint16, Set: true}
	}
	n.p.fail(n.path+"/operator", "%.40q: want eq, neq, lte or gte", operator)
	return Ports{}
}

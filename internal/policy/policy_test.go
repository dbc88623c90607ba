package policy

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func compile(t testing.TB, text string) *Set {
	t.Helper()
	s, err := Compile(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

// TestProblems: what is wrong is told where it stands, and with what exists
// instead.
func TestProblems(t *testing.T) {
	when := func(condition string) string {
		return "permit (principal, action, resource)\nwhen { " + condition + " };"
	}
	for _, c := range []struct{ text, want string }{
		{"", "1:1: the text has no policy"},
		{"// nothing\n", "1:1: the text has no policy"},
		{"allow (principal, action, resource);", `1:1: a policy starts with permit or forbid, not with "allow"`},
		{"permit (principal, action, resource)\nforbid", `2:1: want ; here, not "forbid"`},
		{"permit (principal, action, resource)", "1:37: the text ends where it wants ;"},
		{"permit (principal, action, resource) when { 1 < };", "1:49: invalid primary"},
		{"permit (principal, action, \"\\q\");", "invalid char escape"},
		{when("principal.colour == \"red\""), `2:18: a Member has no attribute "colour"; there are associated, epoch, firmware, flagged, id, manufacturer, role`},
		{when("true && context[\"colour\"] > 1"), `2:24: a Context has no attribute "colour"; there are encrypted, height, size`},
		{when("principal.role == 3"), "2:23: a String is never a Long"},
		{when("principal == Role::\"sensor\""), "2:18: a Member is never a Role; write `in` instead of `==`: a Member is in a Role"},
		{when("principal.role in [\"a\", \"b\"]"), "2:18: this is asked of an entity, and not of a String"},
		{when("principal in [\"a\", \"b\"]"), "2:18: `in` wants an entity or a set of them, and not a String"},
		{when("context.size < \"9\""), "2:23: this wants a Long, and a String is given"},
		{when("context.size"), "2:6: a condition is a Bool, and this one is a Long"},
		{when("principal has role"), "2:18: `has` is not part of a zone's policy; every attribute always exists"},
		{when("context.size + 1 > 2"), "arithmetic is not part"},
		{when("ip(\"10.0.0.1\").isLoopback()"), "is not part of a zone's policy"},
		{when("{a: 1} == {a: 1}"), "records are not part"},
		{when("Member::\"hub\".flagged"), "2:22: nothing is known of a Member that is only named"},
		{when("resource.owner == principal"), "2:17: a Group has no attributes; an Object has: write `resource is Object` into the scope, or before `&&`"},
		{when("action == Action::\"sent\""), `2:18: there is no action "sent"; there are send, request, reply, create, read, update, delete`},
		{when("resource == Group::\"al\""), `2:20: there is no group "al"; there is "all"`},
		{when("resource in User::\"a\""), "2:20: there is no entity type User; there are Action, Group, Member, Object, Role"},
		{when("resource is Camera"), "2:20: there is no entity type Camera"},
		{when("[principal].contains(principal)"), "2:8: a set is made of names, texts and numbers"},
		{when("[1, 2].contains(principal.role)"), "a set of Long never contains a String"},
		{when("if true then 1 else 2"), "2:6: a condition is a Bool"},
		{when("false"), "1:1: this policy can never apply"},
		{"permit (principal == Role::\"x\", action, resource);", "1:22: this is never a Role; write `in` instead of `==`"},
		{"permit (principal in Group::\"all\", action, resource);", "1:22: nothing that this can be is ever in a Group"},
		{"permit (principal is Object, action, resource);", "1:22: this is never an Object"},
		{"permit (principal, action in [], resource);", "1:30: an empty list"},
		{"permit (principal, action == Action::\"read\", resource == Group::\"all\");", "1:1: no action that this policy names can be done"},
		{"permit (principal, action, resource == Object::\"name\");", "an object is named by owner and name"},
		{"@id(\"a\")\npermit (principal, action, resource);\n@id(\"a\")\nforbid (principal, action, resource);", `3:1: the policy of line 1 has the id "a" too`},
		{"@id(\"a\\n\")\npermit (principal, action, resource);", "1:1: an @id is 1 to 64 letters"},
		{"@name(\"a\")\npermit (principal, action, resource);", "1:1: there is no annotation @name"},
		{strings.Repeat("permit (principal, action, resource);\n", MaxPolicies+1), "257:1: 257 policies, and a zone has at most 256"},
		{when(strings.Repeat("(", MaxNesting+1)), "brackets nested deeper than 32"},
		{when("true" + strings.Repeat(" && true", MaxTokens)), "a policy of more than 1024 words"},
		{when("true" + strings.Repeat(" ", MaxText)), "bytes of policy, and at most 49152"},
	} {
		_, err := Compile(c.text)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Compile(%.80q)\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// TestSeveralProblems: an error names all of them, each once, in the order of
// the text, though a policy is checked for each kind of request.
func TestSeveralProblems(t *testing.T) {
	_, err := Compile("@id(\"one\")\npermit (principal, action, resource)\nwhen { principal.a == 1 && principal.b }\nunless { context.c };\npermit (principal is Camera, action, resource);")
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range e.Problems {
		got = append(got, fmt.Sprintf("%s %d:%d", p.Policy, p.Line, p.Column))
	}
	if want := []string{"one 3:18", "one 3:38", "one 4:18", "policy2 5:22"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func cast() (sensor, hub, camera Member) {
	sensor = Member{ID: "thermostat", Role: "sensor", Manufacturer: "Sensi", Firmware: "01ff", Epoch: 3, Associated: 12}
	hub = Member{ID: "hub", Role: "hub"}
	camera = Member{ID: "camera", Role: "camera", Flagged: true}
	return sensor, hub, camera
}

// TestDefault: the policy of a zone that sets none.
func TestDefault(t *testing.T) {
	s := compile(t, Default)
	sensor, hub, flagged := cast()
	master := Member{ID: "master", Role: "master"}
	for _, c := range []struct {
		who    Member
		action string
		whom   Resource
		want   string
	}{
		{sensor, "send", hub, "true [members-talk] []"},
		{sensor, "request", Group(Everyone), "true [members-talk] []"},
		{sensor, "reply", sensor, "true [members-talk] []"},
		{sensor, "create", Object{sensor, "t"}, "true [own-data] []"},
		{sensor, "delete", Object{sensor, "t"}, "true [own-data] []"},
		{sensor, "read", Object{hub, "t"}, "false [] []"},
		{master, "read", Object{hub, "t"}, "true [master-reads] []"},
		{master, "read", Object{master, "t"}, "true [master-reads own-data] []"},
		{master, "update", Object{hub, "t"}, "false [] []"},
		{flagged, "send", hub, "false [flagged-nothing] []"},
		{flagged, "read", Object{flagged, "t"}, "false [flagged-nothing] []"},
		{sensor, "send", flagged, "true [members-talk] []"},
		{sensor, "send", nil, "false [] [a request to send without a resource]"},
		{sensor, "send", Group("some"), `false [] [there is no group "some"]`},
		{sensor, "send", Object{sensor, "t"}, "false [] [an Object is nothing to send]"},
		{sensor, "read", Object{Member{ID: "a/b"}, "t"}, `false [] [a member is called "a/b": a name has no slash, which parts owner and object]`},
		{sensor, "fly", hub, `false [] [there is no action "fly"]`},
	} {
		d := s.Decide(Request{Principal: c.who, Action: c.action, Resource: c.whom})
		if got := fmt.Sprint(d.Allowed, d.Reasons, d.Errors); got != c.want {
			t.Errorf("%s %s %v: got %s, want %s", c.who.ID, c.action, c.whom, got, c.want)
		}
	}
}

// TestLanguage: what a condition may say, one way for each.
func TestLanguage(t *testing.T) {
	sensor, hub, _ := cast()
	send := Request{Principal: sensor, Action: "send", Resource: hub, Context: Context{Size: 200, Height: 5, Encrypted: true}}
	read := Request{Principal: sensor, Action: "read", Resource: Object{hub, "log/1"}}
	for _, c := range []struct {
		condition  string
		send, read bool
	}{
		{"principal in Role::\"sensor\"", true, true},
		{"principal in [Role::\"lock\", Role::\"sensor\"]", true, true},
		{"principal == Member::\"thermostat\"", true, true},
		{"principal is Member in Role::\"sensor\"", true, true},
		{"resource is Object in Role::\"hub\"", false, true},
		{"resource in Role::\"hub\"", true, true}, // the objects of hubs are in their role too
		{"resource == Member::\"hub\"", true, false},
		{"resource in Member::\"hub\"", true, true},
		{"resource == Object::\"hub/log/1\"", false, true},
		{"resource is Object && resource.owner.role == \"hub\" && resource.name like \"log/*\"", false, true},
		{"if resource is Object then resource.name == \"log/1\" else resource == Group::\"all\"", false, true},
		{"!(resource is Object) || resource.owner == principal", true, false},
		{"[\"lock\", \"sensor\"].contains(principal.role)", true, true},
		{"[Member::\"hub\", Member::\"x\"].contains(resource)", true, false},
		{"context.size <= 200 && context.size >= 200 && context.size < 201 && context.size > -1", true, false},
		{"context.encrypted && context.height == 5", true, false},
		{"principal.firmware == \"01ff\" && principal.epoch == 3 && principal.associated != 13", true, true},
		{"principal.manufacturer == \"Sensi\" && principal.id like \"therm*\"", true, true},
		{"action == Action::\"send\"", true, false},
		{"action in [Action::\"read\", Action::\"update\"]", false, true},
		{"principal[\"role\"] == \"sensor\" /* as text */ // so", true, true},
	} {
		s := compile(t, "permit (principal, action in [Action::\"send\", Action::\"read\"], resource)\nwhen { "+c.condition+"\n};")
		for _, k := range []struct {
			r    Request
			want bool
		}{{send, c.send}, {read, c.read}} {
			if d := s.Decide(k.r); d.Allowed != k.want || len(d.Errors) > 0 {
				t.Errorf("%s: %s is %v, want %v", c.condition, k.r.Action, d, k.want)
			}
		}
	}
}

// TestPolicies: identifiers, effects and descriptions.
func TestPolicies(t *testing.T) {
	s := compile(t, "@id(\"talk\") @description(\"why\")\npermit (principal, action, resource);\n\n  forbid (principal, action == Action::\"send\", resource);")
	want := []Policy{{"talk", "permit", "why", 1}, {"policy2", "forbid", "", 4}}
	if got := s.Policies(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestLongNumbers: what does not fit the engine's numbers is the largest of them.
func TestLongNumbers(t *testing.T) {
	s := compile(t, "permit (principal, action, resource) when { context.size == 9223372036854775807 };")
	sensor, hub, _ := cast()
	if d := s.Decide(Request{Principal: sensor, Action: "send", Resource: hub, Context: Context{Size: 1 << 63}}); !d.Allowed {
		t.Error(d)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(Default)
	f.Add("permit (principal, action, resource) when { if if if true then 1 else 2 };")
	f.Add("@id(\"a\")@id permit(principal in Role::\"\\u{1F600}\", action in [], resource) unless { [1,-2].contains(3) };")
	f.Add("forbid (principal, action, resource) when { resource.owner.flagged || context[\"size\"] > 3 };/*")
	f.Add("permit (principal, action, resource) when { !!!!true && principal like \"*\\*\" };")
	f.Add("permit (principal is Member in Role::\"a\", action, resource is Object) when { resource is Object in principal };")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Compile(text)
		again, errAgain := Compile(text)
		if (err == nil) != (s != nil) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("%v, then %v", err, errAgain)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || len(e.Problems) == 0 || len(e.Problems) > maxProblems {
				t.Fatalf("%#v", err)
			}
			return
		}
		decideAll(t, s, again)
	})
}

// decideAll puts every kind of request to two sets of one text: the answers are
// the same, and no policy fails.
func decideAll(t *testing.T, s, again *Set) {
	sensor, hub, flagged := cast()
	for _, who := range []Member{sensor, hub, flagged, {}} {
		for _, action := range Actions() {
			for _, r := range []Resource{sensor, flagged, Group(Everyone), Object{hub, "log"}, Object{sensor, ""}} {
				if !slices.Contains(resourceTypes(action), r.kind()) {
					continue
				}
				ask := Request{Principal: who, Action: action, Resource: r, Context: Context{Size: 7}}
				d, e := s.Decide(ask), again.Decide(ask)
				if fmt.Sprint(d) != fmt.Sprint(e) || len(d.Errors) > 0 || d.Allowed && len(d.Reasons) == 0 {
					t.Fatalf("%v: %v, then %v", ask, d, e)
				}
			}
		}
	}
}

func FuzzDecide(f *testing.F) {
	set := compile(f, Default+"permit (principal, action, resource) when { principal.manufacturer like \"*a*b\" && principal.firmware == \"00\" && context.size > 3 };")
	f.Add("thermostat", "sensor", "send", "hub", "", uint64(20), false)
	f.Add("thermostat", "master", "read", "hub", "log/1", uint64(1<<63), true)
	f.Add("", "", "", "", "", uint64(0), false)
	f.Add("a", "b", "send", "all", "*", uint64(0), false)
	f.Fuzz(func(t *testing.T, id, role, action, whom, object string, n uint64, flag bool) {
		var r Resource = Member{ID: whom, Role: role, Flagged: flag}
		switch {
		case object == "*":
			r = Group(whom)
		case object != "":
			r = Object{Member{ID: whom}, object}
		}
		ask := Request{Principal: Member{ID: id, Role: role, Manufacturer: object, Firmware: whom, Epoch: n, Associated: n, Flagged: flag}, Action: action, Resource: r, Context: Context{Size: n, Encrypted: flag}}
		d := set.Decide(ask)
		if again := set.Decide(ask); fmt.Sprint(d) != fmt.Sprint(again) {
			t.Fatalf("%v, then %v", d, again)
		}
		if d.Allowed && (flag || len(d.Reasons) == 0 || len(d.Errors) > 0) {
			t.Fatalf("%v: %v", ask, d)
		}
	})
}

// BenchmarkDecide decides one message against sets of several sizes. docs/policy.md
// has what it takes.
func BenchmarkDecide(b *testing.B) {
	sensor, hub, _ := cast()
	for _, n := range []int{1, 20, 101} {
		var text strings.Builder
		for i := range n - 1 {
			fmt.Fprintf(&text, "permit (principal in Role::\"role%d\", action == Action::\"%s\", resource) when { context.size < %d && context.encrypted };\n", i, Actions()[i%7], 100+i)
		}
		text.WriteString("permit (principal, action, resource) when { !principal.flagged };")
		s := compile(b, text.String())
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := s.Decide(Request{Principal: sensor, Action: "send", Resource: hub}); !d.Allowed {
					b.Fatal(d)
				}
			}
		})
	}
}

// TestPage: every policy on the page for people compiles, and does what the page
// says beside the default.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	blocks := 0
	for _, block := range strings.Split(string(page), "```cedar\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		compile(t, text)
		all.WriteString(text)
		blocks++
	}
	if blocks < 7 {
		t.Fatalf("only %d policies on the page", blocks)
	}
	all.WriteString(Default)
	s := compile(t, all.String())
	sensor, hub, _ := cast()
	camera := Member{ID: "webcam", Role: "camera"}
	old := Member{ID: "old", Role: "hub", Manufacturer: "Example", Firmware: "010399", Associated: 95_000}
	late := Context{Height: 99_000}
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{sensor, "send", hub, late}, "true [members-talk sensors-to-hub]"},
		{Request{sensor, "send", camera, late}, "false [sensors-only-to-hubs]"},
		{Request{camera, "send", hub, late}, "false [cameras-encrypt]"},
		{Request{camera, "send", hub, Context{Encrypted: true}}, "true [members-talk]"},
		{Request{hub, "send", Group(Everyone), Context{Size: 256}}, "true [members-talk]"},
		{Request{hub, "send", Group(Everyone), Context{Size: 257}}, "false [announcements]"},
		{Request{hub, "read", Object{sensor, "readings.1"}, late}, "true [readings]"},
		{Request{hub, "read", Object{sensor, "settings"}, late}, "false []"},
		{Request{old, "request", hub, late}, "false [old-firmware]"},
		{Request{old, "send", hub, late}, "true [members-talk]"},
		{Request{old, "update", Object{old, "a"}, late}, "false [newcomers-wait old-firmware]"},
		{Request{hub, "update", Object{hub, "a"}, late}, "true [own-data]"},
	} {
		if d := s.Decide(c.r); fmt.Sprint(d.Allowed, d.Reasons) != c.want {
			t.Errorf("%v: %v, want %s", c.r, d, c.want)
		}
	}
}

package contract

import (
	"testing"

	"bellwether/internal/zone"
)

// TestReaches: a member reaches whom the policy lets it say something to, in any
// way, and nobody else.
func TestReaches(t *testing.T) {
	c := newClub(t)
	c.join("hub", 2, func(k *Ticket) { k.Role = "hub" })
	c.join("lamp", 3, func(k *Ticket) { k.MAC = lamp })
	c.join("gone", 4)
	c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "gone"}))
	c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "barred"})) // it never came
	check := func(about string, want bool, pairs ...zone.MemberID) {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			if got, err := c.v.Reaches(c.state, c.height, pairs[i], pairs[i+1]); got != want || err != nil {
				t.Errorf("%s: %s to %s: %t, %v, want %t", about, pairs[i], pairs[i+1], got, err, want)
			}
		}
	}
	check("default", true, "hub", "lamp", "lamp", "hub", "lamp", "lamp", zone.Master, "lamp", zone.Master, "gone")
	check("default", false, "lamp", "nobody", "lamp", zone.Master, "lamp", zone.Everyone, "lamp", "gone", "lamp", "barred",
		"gone", "lamp", "nobody", "lamp", "barred", "lamp", zone.Master, "nobody", zone.Master, "barred")
	under := func(text string) {
		t.Helper()
		c.must(c.decide(&PolicySet{Text: text}))
	}
	under(`permit (principal, action == Action::"reply", resource in Role::"hub") when { context.encrypted && context.size == 0 };`)
	check("replies to hubs", true, "lamp", "hub", zone.Master, "lamp")
	check("replies to hubs", false, "hub", "lamp")
	under(`permit (principal, action, resource is Member) unless { context.encrypted };`)
	check("nothing encrypted", false, "lamp", "hub", "hub", "lamp")
	under(`permit (principal, action in [Action::"create", Action::"update"], resource is Object) when { resource.name like "door*" };`)
	check("objects of that name, of which there is none", false, "lamp", "hub")
	c.must(c.say("hub", 2, 2, keeps("hub", OpCreate, "door.1")))
	check("objects of that name", true, "lamp", "hub")
	check("objects of that name", false, "hub", "lamp")
	under(`permit (principal, action == Action::"send", resource == Group::"all");`)
	check("to everyone alone", false, "lamp", "hub")
	under(`permit (principal, action, resource);`)
	mustApply(t, c.state, life()[1:7]...) // the lamp's device is malicious now
	check("malicious", false, "lamp", "hub")
	check("malicious", true, "hub", "lamp")
	c.must(c.decide(&EpochBegun{Epoch: 1}))
	check("another epoch", false, "hub", "lamp")
}

package contract

import (
	"errors"
	"fmt"
	"testing"

	"bellwether/internal/zone"
)

// keyOf is which key the members of the tests have.
var keyOf = map[zone.MemberID]byte{zone.Master: 1, "hub": 2, "lamp": 3, "door": 4}

// try has a member say something, and gives its H-ID.
func (c *club) try(id zone.MemberID, m *Message) (zone.HID, error) {
	c.tb.Helper()
	raw, err := c.say(id, keyOf[id], c.next(id), m)
	if err != nil {
		c.tb.Fatal(err)
	}
	hid, err := ID(raw)
	if err != nil {
		c.tb.Fatal(err)
	}
	return hid, c.apply(raw)
}

// asks has a member make a request.
func (c *club) asks(id, to zone.MemberID) zone.HID {
	c.tb.Helper()
	hid, err := c.try(id, with2(text4(to), func(m *Message) { m.Op = OpRequest }))
	if err != nil {
		c.tb.Fatal(err)
	}
	return hid
}

func (c *club) replies(id, to zone.MemberID, ref zone.HID) error {
	c.tb.Helper()
	_, err := c.try(id, with2(text4(to), func(m *Message) { m.Op, m.Ref = OpReply, ref }))
	return err
}

// TestReplies: a reply is to an open request that its recipient made of its
// sender, once.
func TestReplies(t *testing.T) {
	renew := func(c *club) { c.join("hub", 2, func(k *Ticket) { k.MAC = lamp }) }
	tests := []struct {
		name     string
		ref      func(c *club) zone.HID // what was asked, and what came before the reply
		from, to zone.MemberID
		code     Code
	}{
		{"to a request", func(c *club) zone.HID { return c.asks("hub", "lamp") }, "lamp", "hub", ""},
		{"to the master's request", func(c *club) zone.HID { return c.asks("master", "lamp") }, "lamp", "master", ""},
		{"of the master", func(c *club) zone.HID { return c.asks("hub", "master") }, "master", "hub", ""},
		{"to the older of two", func(c *club) zone.HID { r := c.asks("hub", "lamp"); c.asks("hub", "lamp"); return r }, "lamp", "hub", ""},
		{"to the newer of two", func(c *club) zone.HID { c.asks("hub", "lamp"); return c.asks("hub", "lamp") }, "lamp", "hub", ""},
		{"to nothing", func(*club) zone.HID { return digest(3) }, "lamp", "hub", CodeUnasked},
		{"to a message that is no request", func(c *club) zone.HID { r, _ := c.try("hub", text4("lamp")); return r }, "lamp", "hub", CodeUnasked},
		{"a second one", func(c *club) zone.HID {
			r := c.asks("hub", "lamp")
			if err := c.replies("lamp", "hub", r); err != nil {
				c.tb.Fatal(err)
			}
			return r
		}, "lamp", "hub", CodeUnasked},
		{"a second one, beside another request", func(c *club) zone.HID {
			r := c.asks("hub", "lamp")
			c.asks("hub", "lamp")
			if err := c.replies("lamp", "hub", r); err != nil {
				c.tb.Fatal(err)
			}
			return r
		}, "lamp", "hub", CodeUnasked},
		{"by who was not asked", func(c *club) zone.HID { return c.asks("hub", "lamp") }, "door", "hub", CodeUnasked},
		{"by the master, who was not asked", func(c *club) zone.HID { return c.asks("hub", "lamp") }, "master", "hub", CodeUnasked},
		{"to who did not ask", func(c *club) zone.HID { return c.asks("hub", "lamp") }, "lamp", "door", CodeUnasked},
		{"by who asked", func(c *club) zone.HID { return c.asks("hub", "lamp") }, "hub", "lamp", CodeUnasked},
		{"to the master, who did not ask", func(c *club) zone.HID { return c.asks("hub", "lamp") }, "lamp", "master", CodeUnasked},
		{"to one of MaxOpen", func(c *club) zone.HID {
			r := c.asks("hub", "lamp")
			for range MaxOpen - 1 {
				c.asks("hub", "door")
			}
			return r
		}, "lamp", "hub", ""},
		{"to one that MaxOpen followed", func(c *club) zone.HID {
			r := c.asks("hub", "lamp")
			for range MaxOpen {
				c.asks("hub", "door")
			}
			return r
		}, "lamp", "hub", CodeUnasked},
		{"to one that others' requests followed", func(c *club) zone.HID {
			r := c.asks("hub", "lamp")
			for range MaxOpen {
				c.asks("door", "lamp")
			}
			return r
		}, "lamp", "hub", ""},
		{"after a renewal", func(c *club) zone.HID { r := c.asks("hub", "lamp"); renew(c); return r }, "lamp", "hub", ""},
		{"after an epoch", func(c *club) zone.HID {
			r := c.asks("hub", "lamp")
			c.must(c.decide(&EpochBegun{Epoch: 1}))
			c.join("lamp", 3)
			return r
		}, "lamp", "hub", ""},
		{"to who was revoked", func(c *club) zone.HID {
			r := c.asks("hub", "lamp")
			c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "hub"}))
			return r
		}, "lamp", "hub", CodeRecipient},
		{"to who was revoked and released", func(c *club) zone.HID {
			r := c.asks("hub", "lamp")
			c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "hub"}))
			c.must(c.decide(&MemberAction{Action: ActionRelease, Member: "hub"}))
			return r
		}, "lamp", "hub", CodeUnasked},
		{"by who was revoked and released", func(c *club) zone.HID {
			r := c.asks("hub", "lamp")
			c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "lamp"}))
			c.must(c.decide(&MemberAction{Action: ActionRelease, Member: "lamp"}))
			return r
		}, "lamp", "hub", ""},
		{"that the policy forbids", func(c *club) zone.HID {
			c.must(c.decide(&PolicySet{Text: `permit (principal, action == Action::"request", resource);`}))
			return c.asks("hub", "lamp")
		}, "lamp", "hub", CodePolicy},
		{"where nothing may be sent", func(c *club) zone.HID {
			c.must(c.decide(&PolicySet{Text: `permit (principal, action in [Action::"request", Action::"reply"], resource);`}))
			return c.asks("hub", "lamp")
		}, "lamp", "hub", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClub(t)
			for _, id := range []zone.MemberID{"hub", "lamp", "door"} {
				c.join(id, keyOf[id])
			}
			err := c.replies(tt.from, tt.to, tt.ref(c))
			if r := (*RejectError)(nil); tt.code == "" && err != nil || tt.code != "" && (!errors.As(err, &r) || r.Code != tt.code) {
				t.Errorf("%v, want %q", err, tt.code)
			}
		})
	}
}

// TestRepliedAgain: the same reply again is the same transaction.
func TestRepliedAgain(t *testing.T) {
	c := newClub(t)
	c.join("hub", 2)
	c.join("lamp", 3)
	raw, err := c.say("lamp", 3, 2, with2(text4("hub"), func(m *Message) { m.Op, m.Ref = OpReply, c.asks("hub", "lamp") }))
	c.must(raw, err)
	err = c.apply(raw)
	if r := (*RejectError)(nil); !errors.As(err, &r) || r.Code != CodeDuplicate {
		t.Errorf("%v, want %s", err, CodeDuplicate)
	}
}

// TestOpenIsBounded: what is open costs one key of who asked, which nothing but
// requests, replies and revocations touches.
func TestOpenIsBounded(t *testing.T) {
	c := newClub(t)
	long := zone.MemberID(fmt.Sprintf("%063d", 4))
	c.join("hub", 2)
	c.join(long, 3)
	for range 3 * MaxOpen {
		c.asks("hub", long)
	}
	open, err := ReadOpen(c.state, "hub")
	if err != nil || len(open) != MaxOpen {
		t.Fatalf("%d are open: %v", len(open), err)
	}
	for n := range open {
		if n <= c.member("hub").N-MaxOpen {
			t.Errorf("request %d is open, of %d", n, c.member("hub").N)
		}
	}
	if raw, err := c.state.Get(askKey("hub")); err != nil || len(raw) > 110*MaxOpen {
		t.Errorf("they take %d bytes (%v)", len(raw), err)
	}
	before := string(c.state[askKey("hub")])
	c.must(c.say("hub", 2, c.next("hub"), text4(long)))
	c.must(c.say("hub", 2, c.next("hub"), keeps("hub", OpCreate, "x")))
	if string(c.state[askKey("hub")]) != before {
		t.Error("a message that is neither request nor reply changed them")
	}
	if _, err := CheckState(c.state); err != nil {
		t.Error(err)
	}
	for _, o := range open {
		c.must(c.say(long, 3, c.next(long), with2(text4("hub"), func(m *Message) { m.Op, m.Ref = OpReply, o.ID })))
	}
	if raw, ok := c.state[askKey("hub")]; ok {
		t.Errorf("all are answered, and %x is left", raw)
	}
	c.asks("hub", long)
	c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "hub"}))
	if raw, ok := c.state[askKey("hub")]; ok {
		t.Errorf("it was revoked, and %x is left", raw)
	}
}

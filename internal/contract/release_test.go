package contract

import (
	"errors"
	"testing"

	"bellwether/internal/zone"
)

// step makes the next transaction of a device, which happened then.
func (c *club) step(mac zone.MAC, at zone.Time, b Body) {
	c.tb.Helper()
	d, _, err := ReadDevice(c.state, mac)
	if err != nil {
		c.tb.Fatal(err)
	}
	tx := Tx{Zone: group(), Time: at, Device: mac, N: d.N + 1, Body: b}
	c.must(tx.Sign(key(1)))
}

// turn has a device found malicious then: one that is not watched yet is first.
func (c *club) turn(mac zone.MAC, at zone.Time) {
	c.tb.Helper()
	d, seen, err := ReadDevice(c.state, mac)
	if err != nil {
		c.tb.Fatal(err)
	}
	if !seen {
		c.step(mac, created, &DeviceSeen{})
		c.step(mac, created, segment(1, 1000))
		c.step(mac, created, model())
	}
	if d.State == zone.StateMalicious {
		c.step(mac, at, quiet())
	}
	c.step(mac, at, turned())
}

func voiceOf(id zone.MemberID) zone.MAC {
	mac, _ := id.Voice()
	return mac
}

// TestRelease: what an operator puts aside are the verdicts in force, of the device
// and of the voice, and nothing else.
func TestRelease(t *testing.T) {
	const now = created + 1000
	spare := zone.MAC{2, 0, 0, 0, 0, 9}
	voice := voiceOf("lamp")
	release := func(c *club) {
		c.must(c.decide(&MemberAction{Action: ActionRelease, Member: "lamp", Note: "it was an update"}))
	}
	revoke := func(c *club) { c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "lamp"})) }
	moved := func(mac zone.MAC) func(c *club) {
		return func(c *club) { c.join("lamp", 3, func(k *Ticket) { k.MAC = mac }) }
	}
	turn := func(mac zone.MAC, at zone.Time) func(c *club) { return func(c *club) { c.turn(mac, at) } }
	calm := func(mac zone.MAC, at zone.Time) func(c *club) { return func(c *club) { c.step(mac, at, quiet()) } }
	type steps []func(*club)
	tests := []struct {
		name  string
		steps steps
		code  Code // what the next message meets
	}{
		{"nothing", nil, ""},
		{"revoked", steps{revoke}, CodeRevoked},
		{"revoked and released", steps{revoke, release}, ""},
		{"its device", steps{turn(lamp, now)}, CodeBehaviour},
		{"its voice", steps{turn(voice, now)}, CodeBehaviour},
		{"its device, put aside", steps{turn(lamp, now), release}, ""},
		{"its voice, put aside", steps{turn(voice, now), release}, ""},
		{"both, put aside at once", steps{turn(voice, now), turn(lamp, now+1), release}, ""},
		{"both, and a revocation", steps{turn(voice, now), turn(lamp, now+1), revoke, release}, ""},
		{"revoked with a verdict put aside, and released", steps{turn(lamp, now), release, revoke, release}, ""},
		{"quiet by itself", steps{turn(lamp, now), calm(lamp, now+1)}, ""},
		{"the device's next verdict", steps{turn(lamp, now), release, turn(lamp, now+1)}, CodeBehaviour},
		{"the voice's next verdict", steps{turn(voice, now), release, turn(voice, now+1)}, CodeBehaviour},
		{"the device's next verdict, by a clock that went back", steps{turn(lamp, now), release, turn(lamp, now-1)}, CodeBehaviour},
		{"the voice's verdict after the device's", steps{turn(lamp, now), release, turn(voice, now+1)}, CodeBehaviour},
		{"the voice's verdict, dated before the device's", steps{turn(lamp, now), release, turn(voice, now-1)}, CodeBehaviour},
		{"the voice's verdict of the same time", steps{turn(lamp, now), release, turn(voice, now)}, CodeBehaviour},
		{"the device's verdict of the same time", steps{turn(voice, now), release, turn(lamp, now)}, CodeBehaviour},
		{"another device, flagged at that time", steps{turn(lamp, now), release, moved(spare), turn(spare, now)}, CodeBehaviour},
		{"another device, flagged later", steps{turn(lamp, now), release, moved(spare), turn(spare, now+1)}, CodeBehaviour},
		{"another device, put aside, and back to the first", steps{turn(lamp, now), release, moved(spare), turn(spare, now+1), release, turn(lamp, now+2)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClub(t)
			c.join("hub", 2)
			c.join("lamp", 3, func(k *Ticket) { k.MAC = lamp })
			for _, step := range tt.steps {
				step(c)
			}
			err := c.speak("lamp", 3)
			if r := (*RejectError)(nil); tt.code == "" && err != nil || tt.code != "" && (!errors.As(err, &r) || r.Code != tt.code) {
				t.Errorf("%v, want %q", err, tt.code)
			}
		})
	}
}

// TestReleasedFields: a member with nothing put aside takes no place for it.
func TestReleasedFields(t *testing.T) {
	c := newClub(t)
	c.join("lamp", 3, func(k *Ticket) { k.MAC = lamp })
	fields := func() int {
		var m map[int]any
		if err := decoding.Unmarshal(c.state[memberKey("lamp")], &m); err != nil {
			t.Fatal(err)
		}
		return len(m)
	}
	before := fields()
	c.turn(lamp, created+1)
	c.must(c.decide(&MemberAction{Action: ActionRelease, Member: "lamp"}))
	if before != 16 || fields() != 17 {
		t.Errorf("%d fields, and %d with a verdict put aside, want 16 and 17", before, fields())
	}
}

// speak has a member say something.
func (c *club) speak(id zone.MemberID, n byte) error {
	raw, err := c.say(id, n, c.next(id), text4("hub"))
	if err != nil {
		c.tb.Fatal(err)
	}
	return c.apply(raw)
}

// TestReleasedElsewhere: a member that is given another device answers for what
// that device did, whenever that was.
func TestReleasedElsewhere(t *testing.T) {
	spare := zone.MAC{2, 0, 0, 0, 0, 9}
	for name, at := range map[string]zone.Time{"before the release": created + 1, "at its time": created + 1000, "after it": created + 2000} {
		c := newClub(t)
		c.join("hub", 2)
		c.join("lamp", 3, func(k *Ticket) { k.MAC = lamp })
		c.turn(lamp, created+1000)
		c.must(c.decide(&MemberAction{Action: ActionRelease, Member: "lamp"}))
		c.turn(spare, at)
		k := c.ticket("lamp", 3)
		k.MAC = spare
		raw, err := c.say("lamp", 3, c.next("lamp"), &Associated{Ticket: c.signTicket(k, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if r := (*RejectError)(nil); !errors.As(c.apply(raw), &r) || r.Code != CodeBehaviour {
			t.Errorf("a device that was flagged %s counts for nothing", name)
		}
	}
}

// TestFlaggedResource: the policy sees of a recipient what the contract would say
// of it as a sender.
func TestFlaggedResource(t *testing.T) {
	c := newClub(t)
	c.join("hub", 2)
	c.join("lamp", 3, func(k *Ticket) { k.MAC = lamp })
	c.must(c.decide(&PolicySet{Text: "permit (principal, action, resource);\nforbid (principal, action, resource is Member) when { resource.flagged };"}))
	reaches := func(want bool) {
		t.Helper()
		raw, err := c.say("hub", 2, c.next("hub"), text4("lamp"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.apply(raw); (err == nil) != want {
			t.Errorf("%v, want it to reach: %v", err, want)
		}
	}
	c.turn(lamp, created+9)
	reaches(false)
	c.must(c.decide(&MemberAction{Action: ActionRelease, Member: "lamp"}))
	reaches(true)
	c.turn(voiceOf("lamp"), created+1)
	reaches(false)
}

package contract

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/zone"
)

// club is a zone whose members are made and speak in tests.
type club struct {
	tb     testing.TB
	state  Memory
	v      Validator
	height uint64
	at     zone.Time
}

func newClub(tb testing.TB) *club {
	c := &club{tb: tb, state: Memory{}, height: 1, at: created + 1}
	c.must(genesis().Sign(key(1)))
	return c
}

func (c *club) apply(raw []byte) error {
	before := maps.Clone(c.state)
	_, err := c.v.Apply(c.state, c.height, raw)
	if err != nil && !maps.EqualFunc(before, c.state, bytes.Equal) {
		c.tb.Fatalf("refused, and yet the state changed: %v", err)
	}
	return err
}

func (c *club) must(raw []byte, err error) {
	c.tb.Helper()
	if err == nil {
		err = c.apply(raw)
	}
	if err != nil {
		c.tb.Fatal(err)
	}
}

// ticket gives one for a member whose key is key(n).
func (c *club) ticket(id zone.MemberID, n byte) *Ticket {
	m, _, err := ReadMember(c.state, id)
	if err != nil {
		c.tb.Fatal(err)
	}
	r, err := ReadRoll(c.state)
	if err != nil {
		c.tb.Fatal(err)
	}
	return &Ticket{Zone: group(), Member: id, Key: [32]byte(key(n).Public().(ed25519.PublicKey)), Role: "sensor", Maker: "Example Ltd",
		Until: 1000, Epoch: r.Epoch, Serial: m.Serial + 1}
}

func (c *club) signTicket(k *Ticket, by byte) []byte {
	c.tb.Helper()
	raw, err := k.Sign(key(by))
	if err != nil {
		c.tb.Fatal(err)
	}
	return raw
}

// next gives the number that a member's next transaction has.
func (c *club) next(id zone.MemberID) uint64 {
	m, _, err := ReadMember(c.state, id)
	if err != nil {
		c.tb.Fatal(err)
	}
	return m.N + 1
}

// say gives a transaction of the member as it stands on the ledger.
func (c *club) say(id zone.MemberID, n byte, number uint64, b Body) ([]byte, error) {
	tx := Tx{Zone: group(), Member: id, N: number, Body: b}
	object, err := tx.SignMember(key(n))
	if err != nil {
		return nil, err
	}
	c.at++
	return Receive(object, c.at)
}

func (c *club) join(id zone.MemberID, n byte, change ...func(*Ticket)) {
	c.tb.Helper()
	k := c.ticket(id, n)
	for _, f := range change {
		f(k)
	}
	c.must(c.say(id, n, c.next(id), &Associated{Ticket: c.signTicket(k, 1)}))
}

// decide gives a transaction of the roll.
func (c *club) decide(b Body) ([]byte, error) {
	r, err := ReadRoll(c.state)
	if err != nil {
		return nil, err
	}
	c.at++
	tx := Tx{Zone: group(), Time: c.at, N: r.N + 1, Body: b}
	return tx.Sign(key(1))
}

func text4(to zone.MemberID) *Message {
	payload := []byte("sixteen random b21.5")
	return &Message{To: to, Op: OpSend, Hash: PayloadHash(payload), Size: uint32(len(payload))}
}

func with2(m *Message, change func(*Message)) *Message { change(m); return m }

func keeps(owner zone.MemberID, op Op, object string) *Message {
	m := &Message{To: owner, Op: op, Object: object}
	if op.Carries() {
		m.Hash, m.Size = digest(9), 20
	}
	return m
}

func (c *club) member(id zone.MemberID) MemberState {
	c.tb.Helper()
	m, ok, err := ReadMember(c.state, id)
	if err != nil || !ok {
		c.tb.Fatal(id, ok, err)
	}
	return m
}

func TestMembers(t *testing.T) {
	c := newClub(t)
	c.join("hub", 2)
	c.join("lamp", 3, func(k *Ticket) { k.MAC = lamp })
	c.must(c.say("lamp", 3, 2, text4("hub")))
	c.must(c.say("lamp", 3, 3, text4("*")))
	c.must(c.say("lamp", 3, 4, keeps("lamp", OpCreate, "state.json")))
	c.must(c.say("lamp", 3, 5, keeps("lamp", OpUpdate, "state.json")))
	d, ok, err := ReadData(c.state, "lamp", "state.json")
	if err != nil || !ok || d.Version != 2 || d.Hash != digest(9) || d.Size != 20 || d.ID != c.member("lamp").Newest {
		t.Errorf("%+v, %v, %v", d, ok, err)
	}
	c.must(c.say("lamp", 3, 6, keeps("lamp", OpRead, "state.json")))
	if names, err := Objects(c.state, "lamp"); err != nil || !slices.Equal(names, []string{"state.json"}) || c.member("lamp").Objects != 1 {
		t.Error(names, err)
	}
	c.must(c.say("lamp", 3, 7, keeps("lamp", OpDelete, "state.json")))
	if _, ok, err := ReadData(c.state, "lamp", "state.json"); ok || err != nil || c.member("lamp").Objects != 0 {
		t.Error("still there", err)
	}
	want := MemberState{Member: "lamp", Key: [32]byte(key(3).Public().(ed25519.PublicKey)), N: 7, Newest: c.member("lamp").Newest, Role: "sensor",
		Maker: "Example Ltd", MAC: lamp, Until: 1000, Serial: 1, Associated: c.member("lamp").Associated, Joined: 1}
	if got := c.member("lamp"); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	master := func(n uint64, b Body, by byte) error {
		object, err := (&Tx{Zone: group(), Member: zone.Master, N: n, Body: b}).SignMember(key(by))
		if err != nil {
			return err
		}
		raw, err := Receive(object, c.at)
		if err != nil {
			return err
		}
		return c.apply(raw)
	}
	for _, err := range []error{master(1, text4("lamp"), 1), master(2, text4("*"), 1)} {
		if err != nil {
			t.Errorf("the master speaks: %v", err)
		}
	}
	for name, err := range map[string]error{"by another key": master(3, text4("lamp"), 2), "twice": master(2, text4("lamp"), 1),
		"to itself": master(3, text4("master"), 1), "associates": master(3, &Associated{Ticket: c.signTicket(c.ticket("x", 9), 1)}, 1)} {
		if r := (*RejectError)(nil); !errors.As(err, &r) {
			t.Errorf("the master %s: %v", name, err)
		}
	}
	if all, err := Members(c.state); err != nil || len(all) != 2 || all[0].Member != "hub" {
		t.Error(all, err)
	}
	if id, err := ReadKey(c.state, want.Key); id != "lamp" || err != nil {
		t.Error(id, err)
	}
}

// TestRefusedMembers is the table of attacks, as far as the contract is what
// stops them. Each leaves the state as it was.
func TestRefusedMembers(t *testing.T) {
	other := zone.Hash{1}
	tests := []struct {
		name string
		say  func(c *club) ([]byte, error)
		code Code
	}{
		{"a message before the association", func(c *club) ([]byte, error) { return c.say("new", 9, 1, text4("hub")) }, CodeAssociation},
		{"a forged ticket", func(c *club) ([]byte, error) {
			return c.say("new", 9, 1, &Associated{Ticket: c.signTicket(c.ticket("new", 9), 9)})
		}, CodeTicket},
		{"a ticket with a changed byte", func(c *club) ([]byte, error) {
			raw := c.signTicket(c.ticket("new", 9), 1)
			return c.say("new", 9, 1, &Associated{Ticket: bytes.Replace(raw, []byte("sensor"), []byte("master"), 1)})
		}, CodeTicket},
		{"a ticket of another zone", func(c *club) ([]byte, error) {
			k := c.ticket("new", 9)
			k.Zone = other
			return c.say("new", 9, 1, &Associated{Ticket: c.signTicket(k, 1)})
		}, CodeTicket},
		{"a stolen ticket with another key", func(c *club) ([]byte, error) {
			return c.say("new", 8, 1, &Associated{Ticket: c.signTicket(c.ticket("new", 9), 1)})
		}, CodeTicket},
		{"a ticket for another name", func(c *club) ([]byte, error) {
			return c.say("newer", 9, 1, &Associated{Ticket: c.signTicket(c.ticket("new", 9), 1)})
		}, CodeTicket},
		{"a key that somebody has", func(c *club) ([]byte, error) {
			return c.say("new", 2, 1, &Associated{Ticket: c.signTicket(c.ticket("new", 2), 1)})
		}, CodeTicket},
		{"the master's key", func(c *club) ([]byte, error) {
			return c.say("new", 1, 1, &Associated{Ticket: c.signTicket(c.ticket("new", 1), 1)})
		}, CodeTicket},
		{"a name that somebody has", func(c *club) ([]byte, error) {
			return c.say("hub", 9, 2, &Associated{Ticket: c.signTicket(c.ticket("hub", 9), 1)})
		}, CodeAuthority},
		{"a ticket of an old epoch", func(c *club) ([]byte, error) {
			k := c.ticket("new", 9)
			c.must(c.decide(&EpochBegun{Epoch: 1}))
			return c.say("new", 9, 1, &Associated{Ticket: c.signTicket(k, 1)})
		}, CodeExpired},
		{"a ticket for blocks that are past", func(c *club) ([]byte, error) {
			k := c.ticket("new", 9)
			c.height = k.Until + 1
			return c.say("new", 9, 1, &Associated{Ticket: c.signTicket(k, 1)})
		}, CodeExpired},
		{"the ticket of before", func(c *club) ([]byte, error) {
			k := c.ticket("hub", 2)
			k.Serial = 1
			return c.say("hub", 2, 2, &Associated{Ticket: c.signTicket(k, 1)})
		}, CodeTicket},
		{"a ticket of a name that was revoked before", func(c *club) ([]byte, error) {
			k := c.ticket("new", 9)
			c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "new"}))
			return c.say("new", 9, 1, &Associated{Ticket: c.signTicket(k, 1)})
		}, CodeRevoked},
		{"a message in an old epoch", func(c *club) ([]byte, error) {
			c.must(c.decide(&EpochBegun{Epoch: 1}))
			return c.say("lamp", 3, 2, text4("hub"))
		}, CodeExpired},
		{"a message past the ticket", func(c *club) ([]byte, error) { c.height = 1001; return c.say("lamp", 3, 2, text4("hub")) }, CodeExpired},
		{"a revoked key", func(c *club) ([]byte, error) {
			c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "lamp", Note: "lost"}))
			return c.say("lamp", 3, 2, text4("hub"))
		}, CodeRevoked},
		{"to a revoked member", func(c *club) ([]byte, error) {
			c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "lamp"}))
			return c.say("hub", 2, 2, text4("lamp"))
		}, CodeRecipient},
		{"a malicious device", func(c *club) ([]byte, error) {
			mustApply(c.tb, c.state, life()[1:7]...)
			return c.say("lamp", 3, 2, text4("hub"))
		}, CodeBehaviour},
		{"to a malicious device, which the policy forbids", func(c *club) ([]byte, error) {
			c.must(c.decide(&PolicySet{Text: "permit (principal, action, resource);\nforbid (principal, action, resource is Member) when { resource.flagged };"}))
			c.must(c.say("hub", 2, 2, text4("lamp")))
			mustApply(c.tb, c.state, life()[1:7]...)
			return c.say("hub", 2, 3, text4("lamp"))
		}, CodePolicy},
		{"another key", func(c *club) ([]byte, error) { return c.say("lamp", 2, 2, text4("hub")) }, CodeAuthority},
		{"a replayed message", func(c *club) ([]byte, error) {
			raw, err := c.say("lamp", 3, 2, text4("hub"))
			c.must(raw, err)
			return raw, err
		}, CodeDuplicate},
		{"an older message", func(c *club) ([]byte, error) {
			raw, err := c.say("lamp", 3, 2, text4("hub"))
			c.must(raw, err)
			c.must(c.say("lamp", 3, 3, text4("hub")))
			return raw, err
		}, CodeOrder},
		{"a skipped number", func(c *club) ([]byte, error) { return c.say("lamp", 3, 3, text4("hub")) }, CodeOrder},
		{"to nobody", func(c *club) ([]byte, error) { return c.say("lamp", 3, 2, text4("neighbour")) }, CodeRecipient},
		{"to itself", func(c *club) ([]byte, error) { return c.say("lamp", 3, 2, text4("lamp")) }, CodeRecipient},
		{"of another zone", func(c *club) ([]byte, error) {
			object, err := (&Tx{Zone: other, Member: "lamp", N: 2, Body: text4("hub")}).SignMember(key(3))
			if err != nil {
				return nil, err
			}
			return Receive(object, c.at)
		}, CodeZone},
		{"a changed byte", func(c *club) ([]byte, error) {
			raw, err := c.say("lamp", 3, 2, text4("hub"))
			return bytes.Replace(raw, []byte("hub"), []byte("hob"), 1), err
		}, CodeSignature},
		{"the master's decision by a member", func(c *club) ([]byte, error) {
			raw, err := (&Tx{Zone: group(), Time: c.at, N: 1, Body: &EpochBegun{Epoch: 1}}).Sign(key(3))
			return raw, err
		}, CodeAuthority},
		{"another's data", func(c *club) ([]byte, error) {
			c.must(c.say("hub", 2, 2, keeps("hub", OpCreate, "log")))
			return c.say("lamp", 3, 2, keeps("hub", OpUpdate, "log"))
		}, CodePolicy},
		{"data that is not there", func(c *club) ([]byte, error) { return c.say("lamp", 3, 2, keeps("lamp", OpUpdate, "log")) }, CodeTransition},
		{"data that is there", func(c *club) ([]byte, error) {
			c.must(c.say("lamp", 3, 2, keeps("lamp", OpCreate, "log")))
			return c.say("lamp", 3, 3, keeps("lamp", OpCreate, "log"))
		}, CodeTransition},
		{"more data than is kept", func(c *club) ([]byte, error) {
			for i := range MaxObjects {
				c.must(c.say("lamp", 3, uint64(i+2), keeps("lamp", OpCreate, fmt.Sprint("log-", i))))
			}
			return c.say("lamp", 3, MaxObjects+2, keeps("lamp", OpCreate, "log"))
		}, CodeRange},
		{"against the policy", func(c *club) ([]byte, error) {
			c.must(c.decide(&PolicySet{Text: `permit (principal == Member::"hub", action, resource);`}))
			return c.say("lamp", 3, 2, text4("hub"))
		}, CodePolicy},
		{"a policy that is none", func(c *club) ([]byte, error) { return c.decide(&PolicySet{Text: "permit everything"}) }, CodePolicy},
		{"an epoch skipped", func(c *club) ([]byte, error) { return c.decide(&EpochBegun{Epoch: 2}) }, CodeTransition},
		{"revoked twice", func(c *club) ([]byte, error) {
			c.must(c.decide(&MemberAction{Action: ActionRevoke, Member: "lamp"}))
			return c.decide(&MemberAction{Action: ActionRevoke, Member: "lamp"})
		}, CodeTransition},
		{"released from nothing", func(c *club) ([]byte, error) {
			return c.decide(&MemberAction{Action: ActionRelease, Member: "lamp"})
		}, CodeTransition},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClub(t)
			c.join("hub", 2)
			c.join("lamp", 3, func(k *Ticket) { k.MAC = lamp })
			raw, err := tt.say(c)
			if err != nil {
				t.Fatal(err)
			}
			r := (*RejectError)(nil)
			if err := c.apply(raw); !errors.As(err, &r) || r.Code != tt.code {
				t.Errorf("%v, want %s", err, tt.code)
			}
		})
	}
}

// TestBadMessages: what no ledger would take is not even signed.
func TestBadMessages(t *testing.T) {
	c := newClub(t)
	for name, b := range map[string]Body{
		"to everyone, as a request":  with2(text4("*"), func(m *Message) { m.Op = OpRequest }),
		"no such operation":          with2(text4("hub"), func(m *Message) { m.Op = 8 }),
		"a reply to nothing":         with2(text4("hub"), func(m *Message) { m.Op = OpReply }),
		"a reference":                with2(text4("hub"), func(m *Message) { m.Ref[0] = 1 }),
		"no hash":                    with2(text4("hub"), func(m *Message) { m.Hash = zone.Hash{} }),
		"a short payload":            with2(text4("hub"), func(m *Message) { m.Size = 15 }),
		"a long payload":             with2(text4("hub"), func(m *Message) { m.Size = MaxPayload + 1 }),
		"a read with a payload":      with2(keeps("hub", OpRead, "x"), func(m *Message) { m.Size = 16 }),
		"the master's data":          keeps("master", OpCreate, "x"),
		"no object":                  keeps("hub", OpCreate, ""),
		"an object's name":           keeps("hub", OpCreate, "../x"),
		"an object's name, too long": keeps("hub", OpCreate, strings.Repeat("x", 65)),
		"an object in a message":     with2(text4("hub"), func(m *Message) { m.Object = "x" }),
		"encrypted to everyone":      with2(text4("*"), func(m *Message) { m.Sealed = true }),
		"to a name that cannot be":   text4("Hub"),
		"no ticket":                  &Associated{},
		"a key of low order":         &Associated{Ticket: c.signTicket(c.ticket("lamp", 3), 1), Seal: [32]byte{1}},
		"another of low order": &Associated{Ticket: c.signTicket(c.ticket("lamp", 3), 1), Seal: [32]byte{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae,
			0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00}},
		"a decision": &EpochBegun{Epoch: 1},
	} {
		r := (*RejectError)(nil)
		if _, err := c.say("lamp", 3, 1, b); !errors.As(err, &r) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []zone.MemberID{"*", "-a", "a-", "A", "a/b", zone.MemberID(strings.Repeat("a", 64))} {
		if _, err := c.say(id, 3, 1, text4("hub")); err == nil {
			t.Errorf("%q signs", id)
		}
	}
	if _, err := (&Tx{Zone: group(), Time: 1, N: 1, Body: text4("hub")}).Sign(key(1)); err == nil {
		t.Error("the master signs a member's message")
	}
}

// TestRenewal: an expired member comes back with its old key and a new ticket,
// and with its numbers where they were.
func TestRenewal(t *testing.T) {
	c := newClub(t)
	c.join("hub", 2)
	c.join("lamp", 3)
	c.must(c.say("lamp", 3, 2, text4("hub")))
	c.must(c.decide(&EpochBegun{Epoch: 1, Note: "a ticket leaked"}))
	c.height = 5000
	c.join("lamp", 3, func(k *Ticket) { k.Until, k.Role = 9000, "actuator" })
	c.join("hub", 2, func(k *Ticket) { k.Until = 9000 })
	c.must(c.say("lamp", 3, 4, text4("hub")))
	if m := c.member("lamp"); m.Serial != 2 || m.Epoch != 1 || m.Role != "actuator" || m.Joined != 1 {
		t.Errorf("%+v", m)
	}
}

func FuzzTicket(f *testing.F) {
	raw, err := newClub(f).ticket("lamp", 3).Sign(key(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		k, by, err := ParseTicket(raw)
		if err != nil {
			return
		}
		if !by.Equal(key(1).Public()) {
			return // signed by another key: the bytes cannot be made again here
		}
		if again, err := k.Sign(key(1)); err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%+v has other bytes too (%v)", k, err)
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	c := newClub(b)
	c.join("hub", 2)
	c.join("lamp", 3)
	txs := make([][]byte, 1000)
	for i := range txs {
		var err error
		if txs[i], err = c.say("lamp", 3, uint64(i+2), text4("hub")); err != nil {
			b.Fatal(err)
		}
	}
	start := maps.Clone(c.state)
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if i%len(txs) == 0 {
			maps.Copy(c.state, start)
		}
		if _, err := c.v.Apply(c.state, 1, txs[i%len(txs)]); err != nil {
			b.Fatal(err)
		}
	}
}

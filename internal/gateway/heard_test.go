package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/follower"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// heardWithin is how long a test waits for what has to happen.
const heardWithin = 5 * time.Minute

// heardZone is a gateway that watches no interface and serves members.
type heardZone struct {
	*testing.T
	config Config
	alerts chan Raised
	stop   func()
}

// begin runs the gateway until stop.
func (z *heardZone) begin() {
	z.Helper()
	ctx, cancel := context.WithCancel(z.Context())
	ended := make(chan error, 1)
	events := Events{Alert: func(r Raised) error { z.alerts <- r; return nil }}
	go func() {
		ended <- Live{Config: z.config, Events: events, Log: slog.New(slog.NewTextHandler(z.Output(), nil))}.Run(ctx)
	}()
	z.stop = func() {
		z.Helper()
		cancel()
		if err := <-ended; err != nil {
			z.Error(err)
		}
	}
	z.until("the gateway takes orders", func() bool {
		conn, err := net.Dial("unix", filepath.Join(z.config.State, socketFile))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (z *heardZone) until(what string, holds func() bool) {
	z.Helper()
	for began := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > heardWithin {
			z.Fatalf("waited in vain until %s", what)
		}
	}
}

// order has the gateway carry out an order about members.
func (z *heardZone) order(o MemberOrder) MemberAnswer {
	z.Helper()
	a, err := OrderMembers(z.Context(), z.config.State, o)
	if err != nil {
		z.Fatalf("%s: %v", o.Do, err)
	}
	return a
}

// follower makes a member, and keeps it connected until the test ends.
func (z *heardZone) follower(name zone.MemberID) *follower.Follower {
	z.Helper()
	dir := filepath.Join(z.TempDir(), string(name))
	if _, err := follower.Init(dir, name); err != nil {
		z.Fatal(err)
	}
	i, err := message.ParseInvite(z.order(MemberOrder{Do: DoInvite, Member: name}).Invite)
	if err == nil {
		err = follower.Join(dir, i, nil)
	}
	if err != nil {
		z.Fatal(err)
	}
	f, err := follower.Open(dir, follower.Options{MinWait: 5 * time.Millisecond, MaxWait: 100 * time.Millisecond})
	if err != nil {
		z.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	z.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, f.Close()); err != nil {
			z.Error(err)
		}
	})
	z.until(string(name)+" is a member", func() bool { return f.Status().Standing == message.StandingMember })
	return f
}

// says has a member say something, and gives the code of a refusal.
func (z *heardZone) says(f *follower.Follower, to zone.MemberID, op contract.Op, size int) contract.Code {
	z.Helper()
	answers := make(chan follower.Answer, 2)
	if _, err := f.Accept(follower.Order{To: to, Op: op, Content: make([]byte, size)}, answers); err != nil {
		z.Fatal(err)
	}
	select {
	case a := <-answers:
		return a.Result.Code
	case <-time.After(heardWithin):
		z.Fatalf("%s got no answer", f.Status().Name)
	}
	return ""
}

// standing is where a member stands.
func (z *heardZone) standing(name zone.MemberID) string {
	z.Helper()
	for _, m := range z.order(MemberOrder{Do: DoList}).Members {
		if m.Name == name {
			return m.Standing
		}
	}
	return ""
}

// voice is what the ledger says of a member's voice.
func (z *heardZone) voice(name zone.MemberID) contract.DeviceState {
	z.Helper()
	s, err := OpenState(z.Context(), z.config.State, StateOptions{ReadOnly: true})
	if err != nil {
		z.Fatal(err)
	}
	defer s.Close()
	mac, _ := name.Voice()
	d, _, err := contract.ReadDevice(s.Ledger.State(), mac)
	if err != nil {
		z.Fatal(err)
	}
	return d
}

// TestMembersHeard: a gateway without an interface learns what its members say.
// One that floods another is malicious by that alone, and its session ends; the
// others go on, over a restart too.
func TestMembersHeard(t *testing.T) {
	c := quickly()
	c.State, c.Members.Listen = t.TempDir(), "127.0.0.1:0"
	c.Learn.For, c.Store.SegmentAge = Duration(time.Second), Duration(time.Second)
	z := &heardZone{T: t, config: c, alerts: make(chan Raised, 16)}
	z.begin()
	i, err := message.ParseInvite(z.order(MemberOrder{Do: DoInvite, Open: true}).Invite)
	if err != nil {
		t.Fatal(err)
	}
	z.config.Members.Listen = i.Address // so that its followers find it again
	lamp, door := z.follower("lamp"), z.follower("door")
	said := uint64(0)
	calmly := func(n int, pause time.Duration) {
		t.Helper()
		for i := range n {
			said++
			time.Sleep(pause)
			if code := z.says(lamp, "door", contract.OpSend, 100+i%16); code != "" {
				t.Fatalf("lamp's message is refused: %s", code)
			}
			if i%4 == 0 {
				z.says(door, "lamp", contract.OpSend, 40+i%8)
			}
		}
	}
	z.until("what lamp says is learned", func() bool { calmly(20, 0); return z.voice("lamp").State == zone.StateWatching })
	const slower = 50 * time.Millisecond // than while it was learned, however busy the machine is; and fewer than vote
	calmly(25, slower)
	z.until("all that lamp said is on the ledger though nobody speaks", func() bool { return z.voice("lamp").Rows == said })
	z.stop()
	z.begin()
	calmly(25, slower)
	if len(z.alerts) > 0 || z.voice("lamp").State != zone.StateWatching {
		t.Fatalf("%d alerts before anything happened, lamp is %s", len(z.alerts), z.voice("lamp").State)
	}

	for began := time.Now(); z.standing("lamp") == string(message.StandingMember) && time.Since(began) < heardWithin; {
		for range 20 {
			if _, err := lamp.Accept(follower.Order{To: "door", Op: contract.OpRequest, Content: make([]byte, 12_000)}, nil); err != nil && !errors.Is(err, follower.ErrFull) {
				t.Fatal(err)
			}
		}
	}
	if d := z.voice("lamp"); d.State != zone.StateMalicious || d.Name != "lamp (messages)" {
		t.Errorf("%q is %s", d.Name, d.State)
	}
	if a := <-z.alerts; a.Alert.Name != "lamp (messages)" {
		t.Errorf("alert about %q", a.Alert.Name)
	}
	if lamp, door := z.standing("lamp"), z.standing("door"); lamp != string(contract.CodeBehaviour) || door != string(message.StandingMember) {
		t.Errorf("after a flood lamp is %s, door %s", lamp, door)
	}
	z.until("lamp's session ended", func() bool { return !lamp.Status().Connected })
	if code := z.says(door, zone.Master, contract.OpSend, 44); code != "" {
		t.Errorf("door's message is refused: %s", code)
	}
	z.order(MemberOrder{Do: DoRelease, Member: "lamp"})
	z.until("lamp is back", func() bool { return lamp.Status().Standing == message.StandingMember && lamp.Status().Connected })
	z.stop()
	verifies(t, z.config.State)
}

package gateway

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"bellwether/internal/bus"
	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// TestMembersAlone: a gateway that only serves members takes every order about
// them while it runs, and the state directory without it.
func TestMembersAlone(t *testing.T) {
	dir := t.TempDir()
	c := Config{State: dir, Members: MembersConfig{Listen: "127.0.0.1:0"}}
	if err := c.ValidateLive(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Live{Config: c, Log: slog.New(slog.DiscardHandler)}.Run(ctx) }()
	var answer MemberAnswer
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if answer, err = OrderMembers(t.Context(), dir, MemberOrder{Do: DoList}); err == nil && answer.Hub != nil {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("no answer of a running gateway: %+v, %v", answer, err)
		}
	}
	key := make([]byte, 32)
	key[0] = 1
	id := message.Identity{Member: "lamp", Key: key}.String()
	orders := func() {
		t.Helper()
		order := func(o MemberOrder) MemberAnswer {
			t.Helper()
			a, err := OrderMembers(t.Context(), dir, o)
			if err != nil {
				t.Fatalf("%s: %v", o.Do, err)
			}
			return a
		}
		order(MemberOrder{Do: DoTakeBack})
		before := order(MemberOrder{Do: DoRequests})
		invite, err := message.ParseInvite(order(MemberOrder{Do: DoInvite, Grant: bus.Grant{Role: "light"}}).Invite)
		if err != nil || invite.Code == "" || !strings.HasPrefix(invite.Address, "127.0.0.1:") {
			t.Errorf("invite %+v, %v", invite, err)
		}
		if open, err := message.ParseInvite(order(MemberOrder{Do: DoInvite, Open: true}).Invite); err != nil || open.Code != "" || open.Pin != invite.Pin {
			t.Errorf("open invite %+v, %v", open, err)
		}
		if a := order(MemberOrder{Do: DoRequests}); a.Invites != before.Invites+1 {
			t.Errorf("%d open invites, then %d", before.Invites, a.Invites)
		}
		order(MemberOrder{Do: DoAdmit, Identity: id})
		if a := order(MemberOrder{Do: DoEpoch, Note: "test"}); a.Epoch != before.Epoch+1 || a.Invites != 0 {
			t.Errorf("epoch %d, then %d, with %d open invites", before.Epoch, a.Epoch, a.Invites)
		}
		day := zone.TimeOf(time.Now().Add(bus.InviteFor))
		if a := order(MemberOrder{Do: DoInvite}); a.Until < day || a.Until > day+zone.Time(time.Hour) {
			t.Errorf("an invite holds until %s", a.Until)
		}
		if a := order(MemberOrder{Do: DoInvite, For: -1}); a.Until != 0 || a.Invites != 2 {
			t.Errorf("an invite without an end holds until %s; %d are open", a.Until, a.Invites)
		}
		if a := order(MemberOrder{Do: DoTakeBack}); a.Invites != 0 {
			t.Errorf("%d invites are open", a.Invites)
		}
		order(MemberOrder{Do: DoRevoke, Member: "lamp"})
		if _, err := OrderMembers(t.Context(), dir, MemberOrder{Do: DoAdmit, Identity: id}); err == nil || !strings.Contains(err.Error(), "release") {
			t.Errorf("a revoked name was admitted: %v", err)
		}
		if a := order(MemberOrder{Do: DoList}); len(a.Members) != 1 || a.Members[0].Standing != string(contract.CodeRevoked) {
			t.Errorf("members %+v", a.Members)
		}
		order(MemberOrder{Do: DoRelease, Member: "lamp"})
		text := "permit (principal, action, resource); // " + strings.Repeat("x", 30_000)
		set := order(MemberOrder{Do: DoPolicy, Policy: text})
		if a := order(MemberOrder{Do: DoShow}); a.Policy.Text != text || a.Policy.ID != set.ID {
			t.Errorf("policy %.80s… of %s", a.Policy.Text, a.Policy.ID.Short())
		}
		for _, bad := range []MemberOrder{{Do: "dance"}, {Do: DoPolicy, Policy: "permit"}, {Do: DoAdmit, Identity: "x"}, {Do: DoInvite, Address: "nowhere"}, {Do: DoRelease, Member: "stranger"}, {Do: DoDrop, Identity: id}, {Do: DoInvite, For: bus.MaxInvite + 1}} {
			if _, err := OrderMembers(t.Context(), dir, bad); err == nil {
				t.Errorf("%+v was carried out", bad)
			}
		}
	}
	orders()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	orders()
	a, err := VerifyState(t.Context(), dir, nil, nil)
	if err != nil || len(a.Findings) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
	s, err := OpenState(t.Context(), dir, StateOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for e, err := range s.Entries(t.Context(), 0) {
		if err != nil || e.Says == "" {
			t.Errorf("%s says %q (%v)", e.Kind, e.Says, err)
		}
	}
}

func TestMembersConfig(t *testing.T) {
	for text, want := range map[string]string{
		"members: {renew: ask}":                           "members.listen is missing",
		"members: {listen: x}":                            "members.listen is",
		"members: {listen: ':1', renew: x}":               "members.renew is",
		"members: {listen: ':1', address: x}":             "members.address is",
		"members: {listen: ':1', max: -1}":                "members.max is",
		"members: {listen: ':1', rate: 1KiB}":             "members.rate is",
		"members: {listen: ':1', messages: -1}":           "members.messages is",
		"members: {listen: ':1', messages: 2000000}":      "members.messages is",
		"members: {listen: ':1', ticket_blocks: -5}":      "members.ticket_blocks is",
		"members: {listen: ':1', secret: yes}":            "secret",
		"members: {listen: ':1', keep: 24h, renew: auto}": "",
	} {
		_, err := ParseConfig([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestRestoredMembers: of what a backup held open, nothing is used a second time.
func TestRestoredMembers(t *testing.T) {
	dir, _ := finished(t)
	invites := func(dir string) int {
		t.Helper()
		a, err := OrderMembers(t.Context(), dir, MemberOrder{Do: DoRequests})
		if err != nil {
			t.Fatal(err)
		}
		return a.Invites
	}
	if _, err := OrderMembers(t.Context(), dir, MemberOrder{Do: DoInvite, Address: "zone.example:1"}); err != nil {
		t.Fatal(err)
	}
	again, r := restored(t, backedUp(t, dir, false))
	if n := invites(dir); n != 1 || !r.Members {
		t.Errorf("%d invites are open, report %+v", n, r)
	}
	if n := invites(again); n != 0 {
		t.Errorf("%d invites are open that may have been used", n)
	}
	verifies(t, again)
}

package bus

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// newDesk opens a desk that belongs to no hub.
func newDesk(t *testing.T, dir string) *Desk {
	t.Helper()
	d, err := OpenDesk(dir, zone.Hash{1}, ledgertest.Master(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// asker is a request of a follower with a key of its own.
func asker(n int, from string) Request {
	return Request{Identity: fmt.Sprintf("f%d.%043d", n, n), From: from, Time: zone.Time(1000 - n)} // and the clock runs backwards
}

// TestRequestShares: of too many requests, those of the address with most of them give
// way, its oldest first; and members' take no place of strangers'.
func TestRequestShares(t *testing.T) {
	dir := t.TempDir()
	d := newDesk(t, dir)
	ask := func(r Request, want string) {
		t.Helper()
		if gone, err := d.ask(r); err != nil || gone != want {
			t.Fatalf("%s gave way to %s, %v, want %q", gone, r.Identity, err, want)
		}
	}
	honest := []Request{asker(1, "192.0.2.1"), asker(2, "2001:db8::1"), asker(3, "fe80::1%eth0")}
	for _, r := range honest {
		ask(r, "")
	}
	for n := range 2 * maxRequests {
		renewal := asker(10_000+n, "192.0.2.9")
		renewal.Renewal = true
		ask(renewal, "")
	}
	free := maxRequests - len(honest)
	for n := range 300 {
		want := ""
		if n >= free {
			want = asker(100+n-free, "").Identity
		}
		if d.renew() != nil || n == 150 {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = newDesk(t, dir)
		}
		ask(asker(100+n, fmt.Sprintf("2001:db8:0:1::%x", n)), want) // one network
	}
	all := d.Requests()
	if len(all) != 3*maxRequests {
		t.Errorf("%d requests", len(all))
	}
	for i, r := range honest {
		if all[i].Identity != r.Identity || all[i].From != r.From {
			t.Errorf("request %d is %+v, want %+v", i, all[i], r)
		}
	}
}

// TestAsks: no address uses up what all may, and what is remembered has a bound.
func TestAsks(t *testing.T) {
	address := func(n int) netip.Prefix {
		p, _ := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}).Prefix(32)
		return p
	}
	var a asks
	for n := range 1000 {
		if got := a.may(address(1), 0); got != (n < askBurst/askShare) {
			t.Fatalf("request %d of one address: %t", n, got)
		}
	}
	if !a.may(address(2), 0) || a.may(address(1), askEvery) || !a.may(address(1), askShare*askEvery) {
		t.Error("one address has used up another's, or has nothing more ever")
	}
	taken := 0
	for n := range 1_000_000 {
		now := time.Hour + time.Duration(n)*time.Millisecond
		if a.may(address(n), now) {
			taken++
		}
		if len(a.from) > maxAskers {
			t.Fatalf("%d addresses are remembered", len(a.from))
		}
	}
	if want := askBurst + 1000*int(time.Second/askEvery); taken < want-1 || taken > want+1 {
		t.Errorf("%d requests of all addresses, want %d", taken, want)
	}
}

// TestStrangers: those of other addresses push nobody out that waits.
func TestStrangers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs 127.0.0.2 to be this machine's")
	}
	p := newPlace(t, Options{})
	honest := p.peer("honest")
	honest.open()
	refused := 0
	for i := range 6 * 20 {
		f := p.peer(fmt.Sprintf("f%d", i))
		f.from = fmt.Sprintf("127.0.0.%d", 2+i%6)
		switch err := f.attempt(t.Context(), nil); {
		case errors.Is(err, errRefused):
			refused++
		case err != nil:
			t.Fatal(err)
		}
		defer f.close()
	}
	// They took little more than their burst, each.
	if most := 6*20 - 6*askBurst/askShare; refused == 0 || refused > most || p.hub.Status().Refusals[refusedBusy] != int64(refused) {
		t.Errorf("%d were refused, want 1 to %d: %v", refused, most, p.hub.Status().Refusals)
	}
	for began := time.Now(); p.hub.Status().Sessions > maxRequests; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patienceOf {
			t.Fatalf("%d sessions", p.hub.Status().Sessions)
		}
	}
	requests := p.desk.Requests()
	if len(requests) != maxRequests || requests[0].Identity != honest.identity().String() {
		t.Errorf("%d requests, the first %+v", len(requests), requests[0])
	}
	if err := p.hub.Admit(honest.identity(), Grant{}); err != nil {
		t.Fatal(err)
	}
	if w := want[*message.Welcome](honest); w.Standing != message.StandingAssociate {
		t.Errorf("welcome %+v", w)
	}
}

// TestDrop: who was turned away is told, and waits no more until it is admitted.
func TestDrop(t *testing.T) {
	p := newPlace(t, Options{Ask: true})
	a, b := p.peer("a"), p.peer("b")
	b.join(Grant{})
	a.open()
	if err := p.hub.Drop(p.peer("c").identity().String()); err == nil {
		t.Error("who does not wait was turned away")
	}
	if err := p.hub.Drop(a.identity().String()); err != nil {
		t.Fatal(err)
	}
	a.wantBye(byeDropped)
	for range 2 {
		a.refuses(refusedDropped, nil)
		if r := p.desk.Requests(); len(r) != 0 {
			t.Errorf("requests %+v", r)
		}
		p.desk.mu.Lock()
		err := p.desk.renew()
		p.desk.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		p.restart()
	}
	if err := p.hub.Admit(a.identity(), Grant{}); err != nil {
		t.Fatal(err)
	}
	if w := a.open(); w.Standing != message.StandingAssociate {
		t.Errorf("welcome %+v", w)
	}
	for n := range maxDropped + 10 {
		r := asker(n, "192.0.2.1")
		if _, err := p.desk.ask(r); err != nil {
			t.Fatal(err)
		}
		if err := p.desk.Drop(r.Identity); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.desk.dropped); n != maxDropped {
		t.Errorf("%d are remembered", n)
	}
}

// TestInviteExpires: a code holds for as long as was said, by a clock that was set.
func TestInviteExpires(t *testing.T) {
	p := newPlace(t, Options{})
	const hour = zone.Time(time.Hour)
	made := clockSet + 24*hour
	for name, c := range map[string]struct {
		made  zone.Time
		hold  time.Duration
		until zone.Time
	}{
		"default":               {made, 0, made + 24*hour},
		"an hour":               {made, time.Hour, made + hour},
		"without an end":        {made, -1, 0},
		"by a clock in 1970":    {5, time.Hour, 0},
		"by a clock before now": {clockSet - 1, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			code, until, err := p.desk.Invite("", Grant{}, c.made, c.hold)
			if err != nil || until != c.until {
				t.Fatalf("until %s, %v, want %s", until, err, c.until)
			}
			f := p.peer("f")
			redeem := func(now zone.Time) error {
				_, err := p.desk.redeem(p.ledger.State(), p.ledger.Height(), f.identity(), code, now)
				return err
			}
			if open := p.desk.Invites(made + 1000*hour); open != map[bool]int{true: 1}[until == 0] {
				t.Errorf("%d are open", open)
			}
			if until != 0 {
				var refused *refusal
				if err := redeem(until + 1); !errors.As(err, &refused) || refused.name != refusedCode || !strings.Contains(refused.reason, "expired") {
					t.Errorf("after its end: %v", err)
				}
				made = 0 // a clock that was set back, or never set, ends nothing
			}
			if err := redeem(max(made, 7)); err != nil {
				t.Error(err)
			}
			made = clockSet + 24*hour
		})
	}
	if _, _, err := p.desk.Invite("", Grant{}, made, MaxInvite+1); err == nil {
		t.Error("a code for more than the longest")
	}
	// At the door, by this machine's clock, and over a restart.
	code, _, err := p.desk.Invite("", Grant{}, zone.TimeOf(time.Now().Add(-2*time.Hour)), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	p.restart()
	a := p.peer("a")
	a.code = code
	a.refuses(refusedCode, nil)
	if !strings.Contains(p.log.String(), "the invite has expired") {
		t.Error("the log does not say that it has expired")
	}
	// Those that have expired take no place of others.
	for n := range maxInvites + 10 {
		if _, _, err := p.desk.Invite("", Grant{}, made+zone.Time(2*n), 1); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.desk.invites); n > maxInvites {
		t.Errorf("%d invites", n)
	}
}

// TestRenewFault: when it is not known whether the journal was replaced, nothing is
// acknowledged any more that a power cut could take, and nothing that was is lost.
func TestRenewFault(t *testing.T) {
	dir := t.TempDir()
	d := newDesk(t, dir)
	fault := errors.New("fault")
	d.syncDir = func(string) error { return fault }
	var asked []string
	n := 0
	for ; ; n++ {
		r := asker(n, "192.0.2.1")
		_, err := d.ask(r)
		if err != nil {
			if !errors.Is(err, fault) {
				t.Fatal(err)
			}
			break
		}
		asked = append(asked, r.Identity)
		if n > 10_000 {
			t.Fatal("it was never written anew")
		}
	}
	asked = asked[len(asked)-maxRequests:]
	d.syncDir = func(string) error { return nil } // the next one may succeed, and tell nothing of this one
	if err := d.SetAddress("x:1"); !errors.Is(err, fault) || !strings.Contains(err.Error(), "start the gateway anew") {
		t.Errorf("kept after the fault: %v", err)
	}
	waits := func(about string, d *Desk) {
		t.Helper()
		var got []string
		for _, r := range d.Requests() {
			got = append(got, r.Identity)
		}
		if !slices.Equal(got, asked) {
			t.Errorf("%s: %q wait, want %q", about, got, asked)
		}
	}
	waits("in memory", d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = newDesk(t, dir)
	waits("opened again", d)
	if _, err := d.ask(asker(n, "192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	asked = append(asked[1:], asker(n, "").Identity)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	waits("and again", newDesk(t, dir))
	if left, err := filepath.Glob(filepath.Join(dir, ".new-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestRenewFails: a journal that cannot be written anew is kept as it is.
func TestRenewFails(t *testing.T) {
	dir := t.TempDir()
	d := newDesk(t, dir)
	if _, err := d.ask(asker(1, "192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(dir, ".new-"+DeskFile)
	path := d.path
	d.path = filepath.Join(dir, "none", DeskFile)
	if err := d.renew(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("written anew to nowhere: %v", err)
	}
	d.path = path
	if err := os.WriteFile(tmp, []byte("of a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ask(asker(2, "192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.renew(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if n := len(newDesk(t, dir).Requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

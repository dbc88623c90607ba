package contract

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"bellwether/internal/zone"
)

// walker goes at random through the life of a zone with four names and five keys,
// right and wrong, and keeps a plain account of what was taken.
type walker struct {
	*club
	r       *rand.Rand
	numbers map[zone.MemberID]uint64
	keys    map[zone.MemberID][32]byte
	revoked map[zone.MemberID]bool
	aside   map[zone.MemberID][2]Verdict
	asked   []asked // oldest first
}

// asked is a request that was taken.
type asked struct {
	from, to zone.MemberID
	id       zone.HID
	closed   bool
}

func walkers() []zone.MemberID { return []zone.MemberID{"a", "b", "c", "d"} }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// step makes one step.
func (w *walker) step() ([]byte, error) {
	r := w.r
	id, to := pick(r, walkers()), pick(r, walkers())
	if r.IntN(8) == 0 {
		to = zone.Master
	}
	n := byte(1 + r.IntN(6))
	if m, ok, _ := ReadMember(w.state, id); ok && r.IntN(20) > 0 {
		for k := byte(2); k < 7; k++ {
			if publicKey(k) == m.Key {
				n = k
			}
		}
	}
	if r.IntN(8) == 0 {
		id, n = zone.Master, byte(1+r.IntN(10)/9)
	}
	number := w.next(id) + uint64(max(0, r.IntN(10)-8))
	switch r.IntN(20) {
	case 0, 1, 2:
		return w.associates(id, n, number)
	case 3:
		return w.decide(&MemberAction{Action: pick(r, []string{ActionRevoke, ActionRelease, ActionRelease, ActionRelease, ActionRelease}), Member: pick(r, walkers())})
	case 4:
		return w.epochOrPolicy(id, n, number)
	case 5, 6, 7:
		owner := id
		if r.IntN(3) == 0 {
			owner = pick(r, walkers())
		}
		if owner != zone.Master {
			return w.say(id, n, number, keeps(owner, pick(r, []Op{OpCreate, OpRead, OpUpdate, OpDelete}), pick(r, []string{"x", "y"})))
		}
	case 8, 9, 10:
		return w.say(id, n, number, with2(text4(to), func(m *Message) { m.Op = OpRequest }))
	case 11, 12, 13, 14:
		if len(w.asked) > 0 {
			return w.answers(id, n, number)
		}
	case 15:
		return w.verdict()
	}
	return w.say(id, n, number, text4(to))
}

func publicKey(n byte) [32]byte { return [32]byte(key(n).Public().(ed25519.PublicKey)) }

func (w *walker) associates(id zone.MemberID, n byte, number uint64) ([]byte, error) {
	if id == zone.Master {
		id = "a"
	}
	k := w.ticket(id, n)
	k.Serial = max(1, k.Serial-uint64(w.r.IntN(2)))
	k.Until = w.height - uint64(w.r.IntN(8)/7) + uint64(w.r.IntN(300))
	k.MAC = pick(w.r, []zone.MAC{{}, lamp, {2, 0, 0, 0, 0, 9}})
	return w.say(id, n, number, &Associated{Ticket: w.signTicket(k, byte(1+w.r.IntN(20)/19))})
}

func (w *walker) epochOrPolicy(id zone.MemberID, n byte, number uint64) ([]byte, error) {
	ro, err := ReadRoll(w.state)
	switch r := w.r.IntN(8); {
	case err != nil || r > 2:
		return w.say(id, n, number, text4("*"))
	case r > 1:
		return w.decide(&PolicySet{Text: pick(w.r, []string{"permit (principal, action, resource);", "permit (principal, action, resource) unless { context.size > 18 };"})})
	}
	return w.decide(&EpochBegun{Epoch: ro.Epoch + uint64(w.r.IntN(2))})
}

// answers replies to a request, most often by who was asked.
func (w *walker) answers(id zone.MemberID, n byte, number uint64) ([]byte, error) {
	q := w.asked[max(0, len(w.asked)-1-w.r.IntN(8))]
	to := q.from
	if w.r.IntN(8) > 0 && q.to != id {
		id, number = q.to, w.next(q.to)
		for k := byte(1); k < 7; k++ {
			if publicKey(k) == w.keys[id] || id == zone.Master {
				n = k
				break
			}
		}
	}
	if w.r.IntN(8) == 0 {
		to = pick(w.r, walkers())
	}
	return w.say(id, n, number, with2(text4(to), func(m *Message) { m.Op, m.Ref = OpReply, q.id }))
}

// verdict turns a device or a voice, one way or the other.
func (w *walker) verdict() ([]byte, error) {
	mac := pick(w.r, []zone.MAC{lamp, {2, 0, 0, 0, 0, 9}, voiceOf("a"), voiceOf("b")})
	d, seen, err := ReadDevice(w.state, mac)
	if err != nil {
		return nil, err
	}
	tx := Tx{Zone: group(), Time: created + zone.Time(w.r.IntN(4)), Device: mac, N: d.N + 1, Body: &DeviceSeen{}}
	switch {
	case d.State == zone.StateMalicious:
		tx.Body = quiet()
	case d.State == zone.StateWatching:
		tx.Body = turned()
	case seen && d.LastSeq == 0:
		tx.Body = segment(1, 1000)
	case seen:
		tx.Body = model()
	}
	return tx.Sign(key(1))
}

// took enters what was taken into the account, and says what should not have been.
func (w *walker) took(tx *Signed) error {
	switch b := tx.Body.(type) {
	case *MemberAction:
		w.revoked[b.Member] = b.Action == ActionRevoke
		if b.Action == ActionRelease {
			w.aside[b.Member] = w.inForce(b.Member)
			return nil
		}
		for i := range w.asked {
			w.asked[i].closed = w.asked[i].closed || w.asked[i].from == b.Member
		}
	case *Associated:
		return w.spoke(tx)
	case *Message:
		if err := w.spoke(tx); err != nil {
			return err
		}
		if w.revoked[b.To] {
			return fmt.Errorf("%s was reached, or its data, while it was revoked", b.To)
		}
		switch b.Op {
		case OpRequest:
			w.asked = append(w.asked, asked{from: tx.Member, to: b.To, id: tx.ID})
		case OpReply:
			return w.replied(tx, b)
		}
	}
	return nil
}

// inForce gives the verdicts about a member's device and its voice, zeros for none.
func (w *walker) inForce(id zone.MemberID) (v [2]Verdict) {
	for i, mac := range []zone.MAC{w.member(id).MAC, voiceOf(id)} {
		if d, seen, _ := ReadDevice(w.state, mac); seen && d.State == zone.StateMalicious {
			v[i] = Verdict{MAC: mac, Since: d.Since}
		}
	}
	return v
}

// spoke holds who signed against the account.
func (w *walker) spoke(tx *Signed) error {
	id := tx.Member
	if tx.N != w.numbers[id]+1 {
		return fmt.Errorf("%s said number %d after %d", id, tx.N, w.numbers[id])
	}
	w.numbers[id] = tx.N
	if had, ok := w.keys[id]; ok && had != [32]byte(tx.Key) {
		return fmt.Errorf("%s has another key", id)
	}
	w.keys[id] = [32]byte(tx.Key)
	if id == zone.Master {
		return nil
	}
	if w.revoked[id] {
		return fmt.Errorf("%s spoke while it was revoked", id)
	}
	for i, v := range w.inForce(id) {
		if v != (Verdict{}) && v != w.aside[id][i] {
			return fmt.Errorf("%s spoke in spite of %+v, put aside is %+v", id, v, w.aside[id])
		}
	}
	return nil
}

// replied closes the request, which has to be open and among the newest.
func (w *walker) replied(tx *Signed, b *Message) error {
	newer := 0
	for i := len(w.asked) - 1; i >= 0; i-- {
		q := &w.asked[i]
		if q.id == b.Ref && q.from == b.To && q.to == tx.Member && !q.closed && newer < MaxOpen {
			q.closed = true
			return nil
		}
		if q.from == b.To && !q.closed {
			newer++
		}
	}
	return fmt.Errorf("%s replied to %s, which nobody asked it", tx.Member, b.Ref.Short())
}

// invariants holds what must always be so.
func (w *walker) invariants() error {
	members, err := Members(w.state)
	if err != nil {
		return err
	}
	owners := map[[32]byte]zone.MemberID{publicKey(1): zone.Master}
	for _, m := range members {
		if m.N != w.numbers[m.Member] || m.Revoked != w.revoked[m.Member] {
			return fmt.Errorf("%s said %d, revoked %v; it said %d", m.Member, m.N, m.Revoked, w.numbers[m.Member])
		}
		objects, err := Objects(w.state, m.Member)
		if err != nil || uint64(len(objects)) != m.Objects || m.Objects > MaxObjects {
			return fmt.Errorf("%s keeps %q, it says %d (%v)", m.Member, objects, m.Objects, err)
		}
		if m.Key == [32]byte{} {
			continue
		}
		if o, twice := owners[m.Key]; twice {
			return fmt.Errorf("%s and %s have one key", o, m.Member)
		}
		owners[m.Key] = m.Member
		if id, err := ReadKey(w.state, m.Key); id != m.Member || err != nil {
			return fmt.Errorf("the key of %s is that of %q (%v)", m.Member, id, err)
		}
	}
	keys, err := w.state.Keys(keyPrefix)
	if err != nil || len(keys) != len(owners)-1 {
		return fmt.Errorf("%d keys of %d members (%v)", len(keys), len(owners)-1, err)
	}
	return w.open()
}

// open holds the open requests against the account.
func (w *walker) open() error {
	want := map[zone.MemberID][]asked{}
	for _, q := range w.asked {
		if !q.closed {
			want[q.from] = append(want[q.from], q)
		}
	}
	keys := 0
	for _, id := range append(walkers(), zone.Master) {
		open, err := ReadOpen(w.state, id)
		if err != nil {
			return err
		}
		newest := want[id][max(0, len(want[id])-MaxOpen):]
		for i, n := range slices.Sorted(maps.Keys(open)) {
			if i >= len(newest) || (open[n] != OpenRequest{ID: newest[i].id, To: newest[i].to}) || n > w.numbers[id] {
				return fmt.Errorf("%s has request %d open, %+v; the account says %+v", id, n, open[n], newest)
			}
		}
		if len(open) != len(newest) {
			return fmt.Errorf("%s has %d requests open, the account says %d", id, len(open), len(newest))
		}
		keys += min(1, len(open))
	}
	if all, err := w.state.Keys(askPrefix); err != nil || len(all) != keys {
		return fmt.Errorf("%q are in the state, %d members have open requests (%v)", all, keys, err)
	}
	return nil
}

// TestRandomMembers: whatever is tried in whatever order, a member has one key for
// ever, a key one member, numbers never go back, nobody speaks or is reached who
// may not, and nobody replies who was not asked; and Replay gives the state that
// Apply gave, as does a validator that remembers nothing.
func TestRandomMembers(t *testing.T) {
	var taken, replied int
	for seed := range uint64(8) {
		w := walkMembers(t, rand.New(rand.NewPCG(seed, 1)), 500)
		for _, n := range w.numbers {
			taken += int(n)
		}
		for _, q := range w.asked {
			if q.closed {
				replied++
			}
		}
	}
	if taken < 400 || replied < 40 {
		t.Errorf("only %d of 4000 steps were taken, %d requests closed: the walk shows little", taken, replied)
	}
}

func walkMembers(t *testing.T, r *rand.Rand, steps int) *walker {
	w := &walker{club: newClub(t), r: r, numbers: map[zone.MemberID]uint64{}, keys: map[zone.MemberID][32]byte{},
		revoked: map[zone.MemberID]bool{}, aside: map[zone.MemberID][2]Verdict{}}
	again, replay := Memory{}, Validator{}
	plain, forgetful := Memory{}, Validator{}
	mustApply(t, again, genesis())
	mustApply(t, plain, genesis())
	for step := range steps {
		raw, err := w.step()
		if err != nil {
			t.Fatal(err)
		}
		err = w.apply(raw)
		forgetful.known = nil
		if _, other := forgetful.Apply(plain, w.height, raw); fmt.Sprint(other) != fmt.Sprint(err) {
			t.Fatalf("step %d: %v, and without what was remembered %v", step, err, other)
		}
		if err == nil {
			tx, err := replay.Replay(again, w.height, raw)
			if err != nil {
				t.Fatalf("step %d: taken, and refused when replayed: %v", step, err)
			}
			if err := w.took(tx); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
		} else if rej := (*RejectError)(nil); !errors.As(err, &rej) {
			t.Fatalf("step %d: %v", step, err)
		}
		w.height += uint64(r.IntN(2))
		if err := w.invariants(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	if !maps.EqualFunc(again, w.state, bytes.Equal) {
		t.Error("Replay gives another state")
	}
	if !maps.EqualFunc(plain, w.state, bytes.Equal) {
		t.Error("a validator that remembers nothing gives another state")
	}
	if z, err := CheckState(w.state); err != nil || z.ID != group() {
		t.Errorf("%s, %v", z.ID, err)
	}
	return w
}

func FuzzMembers(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed, seed*7)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) { walkMembers(t, rand.New(rand.NewPCG(a, b)), 100) })
}

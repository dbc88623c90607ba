package bus

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/durable"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// deskKind is the kind of the journal of what is not on the ledger yet: requests,
// invites, and tickets whose member has not associated.
const deskKind = "desk"

// DeskFile is the name of the desk's journal.
const DeskFile = "desk.log"

// The bounds of a desk.
const (
	maxRequests = 64 // of who is no member; members' are as many as there are members
	maxDropped  = 256
	maxInvites  = 1024
	maxIssued   = 8192
)

// InviteFor is how long a one-time code holds if nothing else is said, and MaxInvite
// the longest, but for ever.
const (
	InviteFor = 24 * time.Hour
	MaxInvite = 10 * 365 * 24 * time.Hour
)

// clockSet is before any moment that a clock can say which was set: 2026.
const clockSet = zone.Time(1767225600 * time.Second)

// Role is that of a member for which none was given, and Lifetime how many blocks a
// ticket holds for.
const (
	Role     = "device"
	Lifetime = 100_000_000
)

// Grant is what the operator says of a follower in its ticket.
type Grant struct {
	Role     string    `json:"role"`
	Maker    string    `json:"maker,omitempty"`
	Firmware zone.Hash `json:"firmware,omitzero"`
	MAC      zone.MAC  `json:"mac,omitzero"`
}

// Request is a follower that waits to be admitted.
type Request struct {
	Identity string    `json:"identity"` // NAME.KEY
	From     string    `json:"from"`     // its address
	Time     zone.Time `json:"time"`
	Renewal  bool      `json:"renewal"` // it is a member whose ticket does not hold any more

	n uint64 // the higher, the newer, whatever the clock said
}

// note is one record of the desk's journal; what it is about decides which fields
// it has.
type note struct {
	Request *Request  `json:"request,omitempty"`
	Invite  *invite   `json:"invite,omitempty"`
	Spent   zone.Hash `json:"spent,omitzero"` // an invite that was used, or taken back
	Ticket  []byte    `json:"ticket,omitempty"`
	Done    string    `json:"done,omitempty"`    // a request that was answered
	Dropped string    `json:"dropped,omitempty"` // one that was turned away
	Address string    `json:"address,omitempty"` // HOST:PORT, for invites

	Lifetime uint64 `json:"lifetime,omitempty"` // of tickets, in blocks
	Restored uint64 `json:"restored,omitempty"` // how often the zone was restored from a backup
}

// invite is a one-time code that admits by itself.
type invite struct {
	Hash   zone.Hash     `json:"hash"` // SHA-256 of the code
	Member zone.MemberID `json:"member,omitempty"`
	Grant  Grant         `json:"grant"`
	Time   zone.Time     `json:"time"`
	Until  zone.Time     `json:"until,omitempty"` // 0: without an end
}

// expired reports that the code does not hold any more. A clock that was not set, or
// was set back, does not end it.
func (i invite) expired(now zone.Time) bool { return i.Until != 0 && now > i.Until }

// issued is a ticket that is out.
type issued struct {
	*contract.Ticket
	raw []byte
}

// Desk is where followers ask to be admitted, and are. It may be used by many
// goroutines, and by a program that does nothing else while no hub runs.
type Desk struct {
	path    string
	zone    zone.Hash
	master  crypto.Signer
	syncDir func(string) error

	mu       sync.Mutex // guards what follows
	journal  *journal.Journal
	failed   error // why nothing is kept any more
	requests map[string]Request
	asked    uint64   // requests there have been
	dropped  []string // identities that were turned away, newest last
	invites  map[zone.Hash]invite
	issued   map[zone.MemberID]issued
	address  string
	lifetime uint64
	restored uint64
}

// OpenDesk opens the desk in dir, and makes it if it is missing. Tickets hold for
// lifetime blocks; 0: as many as was said the last time, at first Lifetime.
func OpenDesk(dir string, z zone.Hash, master crypto.Signer, lifetime uint64) (*Desk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("desk: %w", err)
	}
	d := &Desk{path: filepath.Join(dir, DeskFile), zone: z, master: master, syncDir: durable.SyncDir, lifetime: Lifetime,
		requests: map[string]Request{}, invites: map[zone.Hash]invite{}, issued: map[zone.MemberID]issued{}}
	var err error
	d.journal, err = journal.Open(d.path, deskKind, func(_ int, raw []byte) error {
		n, err := parseNote(raw)
		if err != nil {
			return err
		}
		return d.apply(n)
	})
	if err != nil {
		return nil, fmt.Errorf("desk: %w", err)
	}
	if err := d.syncDir(dir); err != nil { // renew may not have come so far
		return nil, errors.Join(fmt.Errorf("desk: %w", err), d.journal.Close())
	}
	if lifetime != 0 && lifetime != d.lifetime {
		if err := d.keep(note{Lifetime: lifetime}); err != nil {
			return nil, errors.Join(err, d.journal.Close())
		}
	}
	return d, nil
}

func parseNote(raw []byte) (n note, err error) {
	err = json.Unmarshal(raw, &n)
	return n, err
}

// apply takes a note into memory.
func (d *Desk) apply(n note) error {
	if n.Request != nil {
		d.asked++
		n.Request.n = d.asked
		d.requests[n.Request.Identity] = *n.Request
	}
	if n.Invite != nil {
		d.invites[n.Invite.Hash] = *n.Invite
	}
	delete(d.invites, n.Spent)
	if n.Ticket != nil {
		t, _, err := contract.ParseTicket(n.Ticket)
		if err != nil {
			return err
		}
		d.issued[t.Member] = issued{t, n.Ticket}
		d.forgive(message.Identity{Member: t.Member, Key: t.Key[:]}.String())
	}
	delete(d.requests, n.Done)
	if n.Dropped != "" {
		delete(d.requests, n.Dropped)
		d.forgive(n.Dropped)
		d.dropped = append(d.dropped[max(0, len(d.dropped)-maxDropped+1):], n.Dropped)
	}
	d.address = cmp.Or(n.Address, d.address)
	d.lifetime = cmp.Or(n.Lifetime, d.lifetime)
	d.restored = max(n.Restored, d.restored)
	return nil
}

// keep makes notes durable and takes them. The journal is written anew when most
// of it does not count any more.
func (d *Desk) keep(notes ...note) error {
	if d.failed != nil {
		return d.failed
	}
	live := len(d.requests) + len(d.dropped) + len(d.invites) + len(d.issued)
	if d.journal.Len() > 256+4*live {
		if err := d.renew(); err != nil {
			return err
		}
	}
	var raws [][]byte
	for _, n := range notes {
		raw, err := json.Marshal(n)
		if err != nil {
			return err
		}
		raws = append(raws, raw)
	}
	if err := d.journal.Append(raws...); err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	for _, n := range notes {
		if err := d.apply(n); err != nil {
			return err
		}
	}
	return nil
}

func (d *Desk) renew() error {
	j, err := renew(d.path, deskKind, d.syncDir, func(j *journal.Journal) error {
		var raws [][]byte
		add := func(n note) error {
			raw, err := json.Marshal(n)
			raws = append(raws, raw)
			return err
		}
		errs := []error{add(note{Address: d.address, Lifetime: d.lifetime, Restored: d.restored})}
		for _, r := range d.inOrder() {
			errs = append(errs, add(note{Request: &r}))
		}
		for _, identity := range d.dropped {
			errs = append(errs, add(note{Dropped: identity}))
		}
		for _, i := range d.invites {
			errs = append(errs, add(note{Invite: &i}))
		}
		for _, t := range d.issued {
			errs = append(errs, add(note{Ticket: t.raw}))
		}
		return errors.Join(append(errs, j.Append(raws...))...)
	})
	if j == nil {
		return err
	}
	if err != nil {
		err = fmt.Errorf("desk: it is not known whether %s was replaced: start the gateway anew: %w", d.path, err)
		d.failed = err
	}
	old := d.journal
	d.journal = j
	return errors.Join(err, old.Close())
}

// Requests gives who waits to be admitted, oldest first.
func (d *Desk) Requests() []Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inOrder()
}

func (d *Desk) inOrder() []Request {
	return slices.SortedFunc(maps.Values(d.requests), Request.compareAge)
}

func (r Request) compareAge(other Request) int { return cmp.Compare(r.n, other.n) }

// network is what counts as the address that the request came from.
func (r Request) network() netip.Prefix {
	ip, _ := netip.ParseAddr(r.From)
	return networkOf(ip)
}

// knows reports an identity that waits to be admitted, or was turned away.
func (d *Desk) knows(identity string) (waits, dropped bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, waits = d.requests[identity]
	return waits, slices.Contains(d.dropped, identity)
}

// ask notes a request. When there are too many of who is no member, the oldest of the
// address with most of them goes; it is given.
func (d *Desk) ask(r Request) (gone string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, there := d.requests[r.Identity]; there {
		return "", nil
	}
	r.n = d.asked + 1
	n := note{Request: &r}
	var strangers []Request
	for _, other := range d.requests {
		if !other.Renewal {
			strangers = append(strangers, other)
		}
	}
	if !r.Renewal && len(strangers) >= maxRequests {
		n.Done = givesWay(append(strangers, r)).Identity
	}
	return n.Done, d.keep(n)
}

// Drop turns a request away. Its identity is not noted again until it is admitted.
func (d *Desk) Drop(identity string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, there := d.requests[identity]; !there {
		return fmt.Errorf("%s does not wait to be admitted: `bellwether zone requests` lists who does", identity)
	}
	return d.keep(note{Dropped: identity})
}

// forgive takes an identity from those that were turned away.
func (d *Desk) forgive(identity string) {
	d.dropped = slices.DeleteFunc(d.dropped, func(other string) bool { return other == identity })
}

// Invite makes a one-time code that admits who comes with it; with a name, only a
// follower of that name. It holds for so long: 0 InviteFor, below 0 without an end, as
// it does too if the clock was never set. Until is that end, 0 for none.
func (d *Desk) Invite(name zone.MemberID, g Grant, now zone.Time, hold time.Duration) (code string, until zone.Time, err error) {
	if name != "" && !name.Valid() {
		return "", 0, fmt.Errorf("no follower can be called %q", string(name))
	}
	if hold > MaxInvite {
		return "", 0, fmt.Errorf("an invite for %s: the longest is %s, or without an end", hold, MaxInvite)
	}
	if hold = cmp.Or(hold, InviteFor); hold > 0 && now >= clockSet {
		until = now + zone.Time(hold)
	}
	random := make([]byte, 15)
	if _, err := rand.Read(random); err != nil {
		return "", 0, err
	}
	code = strings.ToLower(base32.StdEncoding.EncodeToString(random))
	d.mu.Lock()
	defer d.mu.Unlock()
	var notes []note
	for hash, i := range d.invites {
		if len(d.invites) >= maxInvites && i.expired(now) { // until then, who comes with one is told apart
			notes = append(notes, note{Spent: hash})
		}
	}
	if open := len(d.invites) - len(notes); open >= maxInvites {
		return "", 0, fmt.Errorf("%d invites are open, which is the most: take them back first", open)
	}
	trial := d.ticket(cmp.Or(name, "name"), [32]byte{1}, g, contract.MemberState{}, 0, 0)
	if _, err := trial.Sign(d.master); err != nil { // what it would say has to be possible
		return "", 0, err
	}
	i := invite{Hash: sha256.Sum256([]byte(code)), Member: name, Grant: g, Time: now, Until: until}
	return code, until, d.keep(append(notes, note{Invite: &i})...)
}

// SetAddress keeps how followers reach the hub, for invites.
func (d *Desk) SetAddress(address string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.address == address {
		return nil
	}
	return d.keep(note{Address: address})
}

// Address is what SetAddress kept, empty for nothing.
func (d *Desk) Address() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.address
}

// Invites is how many one-time codes are open.
func (d *Desk) Invites(now zone.Time) (open int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.invites {
		if !i.expired(now) {
			open++
		}
	}
	return open
}

// TakeBack makes every open invite worthless.
func (d *Desk) TakeBack() (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var notes []note
	for hash := range d.invites {
		notes = append(notes, note{Spent: hash})
	}
	return len(notes), d.keep(notes...)
}

// Restored notes that what is here was restored from a backup. What happened since is
// not known: codes that were used meanwhile would be good again, so all are taken
// back; and followers have seen tickets and positions that are not on this ledger, so
// those to come are above them.
func (d *Desk) Restored() error {
	if _, err := d.TakeBack(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keep(note{Restored: d.restored + 1})
}

// lowest is the lowest position on the wire. Before the zone was restored the last
// time, nobody has seen one as high.
func (d *Desk) lowest() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.restored << 48
}

// Admit signs a ticket for a follower and keeps it until the follower has fetched
// it and associated. What the grant leaves out is, for a member, what its last
// ticket said.
func (d *Desk) Admit(state ledger.Reader, height uint64, id message.Identity, g Grant) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.admit(state, height, id, g, note{})
}

// admit is Admit, with what else is to be noted in the same moment.
func (d *Desk) admit(state ledger.Reader, height uint64, id message.Identity, g Grant, also note) ([]byte, error) {
	m, _, err := contract.ReadMember(state, id.Member)
	if err != nil {
		return nil, err
	}
	if err := claim(state, m, id); err != nil {
		return nil, err
	}
	if m.Revoked {
		return nil, fmt.Errorf("%s was revoked: `bellwether zone release %s` first", id.Member, id.Member)
	}
	roll, err := contract.ReadRoll(state)
	if err != nil {
		return nil, err
	}
	d.forget(state)
	if _, again := d.issued[id.Member]; !again && len(d.issued) >= maxIssued {
		return nil, fmt.Errorf("%d tickets wait to be fetched, which is the most", len(d.issued))
	}
	t := d.ticket(id.Member, [32]byte(id.Key), g, m, height, roll.Epoch)
	raw, err := t.Sign(d.master)
	if err != nil {
		return nil, err
	}
	also.Ticket, also.Done = raw, id.String()
	return raw, d.keep(also)
}

// claim reports whether a name or a key belongs to somebody else.
func claim(state ledger.Reader, m contract.MemberState, id message.Identity) error {
	if m.Key != [32]byte{} && m.Key != [32]byte(id.Key) {
		return fmt.Errorf("%s is a member with another key: give the follower another name", id.Member)
	}
	owner, err := contract.ReadKey(state, [32]byte(id.Key))
	if err == nil && owner != "" && owner != id.Member {
		err = fmt.Errorf("the key of %s is that of %s", id.Member, owner)
	}
	return err
}

// ticket makes the next ticket of a member.
func (d *Desk) ticket(name zone.MemberID, key [32]byte, g Grant, m contract.MemberState, height, epoch uint64) *contract.Ticket {
	t := &contract.Ticket{Zone: d.zone, Member: name, Key: key, Role: cmp.Or(g.Role, m.Role, Role), Maker: cmp.Or(g.Maker, m.Maker),
		Firmware: cmp.Or(g.Firmware, m.Firmware), MAC: cmp.Or(g.MAC, m.MAC), Until: height + d.lifetime, Epoch: epoch, Serial: max(m.Serial, d.restored<<32) + 1}
	if out, ok := d.issued[name]; ok {
		t.Serial = max(t.Serial, out.Serial+1)
	}
	return t
}

// forget drops the tickets that the ledger has by now.
func (d *Desk) forget(state ledger.Reader) {
	for name, t := range d.issued {
		if m, known, err := contract.ReadMember(state, name); err == nil && known && m.Serial >= t.Serial {
			delete(d.issued, name)
		}
	}
}

// fetch gives the ticket that is out for a follower and holds; nil for none. One of
// an epoch that is past is signed anew if again says so.
func (d *Desk) fetch(state ledger.Reader, height uint64, id message.Identity, again bool) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.issued[id.Member]
	if !ok || t.Key != [32]byte(id.Key) {
		return nil, nil
	}
	m, _, err := contract.ReadMember(state, id.Member)
	if err != nil || m.Serial >= t.Serial {
		return nil, err
	}
	roll, err := contract.ReadRoll(state)
	switch {
	case err != nil:
		return nil, err
	case t.Epoch == roll.Epoch && height <= t.Until:
		return t.raw, nil
	case again:
		return d.admit(state, height, id, Grant{t.Role, t.Maker, t.Firmware, t.MAC}, note{})
	}
	return nil, nil
}

// newest gives the serial of the ticket that is out for a name and was not fetched
// for the ledger yet; 0: none. Whoever has it is not asking: it has another key.
func (d *Desk) newest(name zone.MemberID) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t, ok := d.issued[name]; ok {
		return t.Serial
	}
	return 0
}

// redeem gives a ticket for a one-time code. The error is a *refusal for a code that
// is not open, or not for that name.
func (d *Desk) redeem(state ledger.Reader, height uint64, id message.Identity, code string, now zone.Time) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	hash := zone.Hash(sha256.Sum256([]byte(code)))
	i, ok := d.invites[hash]
	switch {
	case !ok:
		return nil, &refusal{refusedCode, "the invite was used before, or taken back"}
	case i.Member != "" && i.Member != id.Member:
		return nil, &refusal{refusedCode, "the invite is for " + string(i.Member)}
	case i.expired(now):
		return nil, &refusal{refusedCode, "the invite has expired: it was good until " + i.Until.String()}
	}
	return d.admit(state, height, id, i.Grant, note{Spent: hash})
}

// Close closes the journal.
func (d *Desk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.journal.Close()
}

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
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"bellwether/internal/contract"
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
	maxRequests = 64
	maxInvites  = 1024
	maxIssued   = 8192
)

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
}

// note is one record of the desk's journal; what it is about decides which fields
// it has.
type note struct {
	Request *Request  `json:"request,omitempty"`
	Invite  *invite   `json:"invite,omitempty"`
	Spent   zone.Hash `json:"spent,omitzero"` // an invite that was used, or taken back
	Ticket  []byte    `json:"ticket,omitempty"`
	Done    string    `json:"done,omitempty"`    // a request that was answered
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
}

// issued is a ticket that is out.
type issued struct {
	*contract.Ticket
	raw []byte
}

// Desk is where followers ask to be admitted, and are. It may be used by many
// goroutines, and by a program that does nothing else while no hub runs.
type Desk struct {
	path   string
	zone   zone.Hash
	master crypto.Signer

	mu       sync.Mutex // guards what follows
	journal  *journal.Journal
	requests map[string]Request
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
	d := &Desk{path: filepath.Join(dir, DeskFile), zone: z, master: master, lifetime: Lifetime,
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
	}
	delete(d.requests, n.Done)
	d.address = cmp.Or(n.Address, d.address)
	d.lifetime = cmp.Or(n.Lifetime, d.lifetime)
	d.restored = max(n.Restored, d.restored)
	return nil
}

// keep makes notes durable and takes them. The journal is written anew when most
// of it does not count any more.
func (d *Desk) keep(notes ...note) error {
	live := len(d.requests) + len(d.invites) + len(d.issued)
	if d.journal.Len() > 256+4*live {
		if err := d.renew(); err != nil {
			return fmt.Errorf("desk: %w", err)
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
	j, err := renew(d.path, deskKind, func(j *journal.Journal) error {
		var raws [][]byte
		add := func(n note) error {
			raw, err := json.Marshal(n)
			raws = append(raws, raw)
			return err
		}
		errs := []error{add(note{Address: d.address, Lifetime: d.lifetime, Restored: d.restored})}
		for _, r := range d.requests {
			errs = append(errs, add(note{Request: &r}))
		}
		for _, i := range d.invites {
			errs = append(errs, add(note{Invite: &i}))
		}
		for _, t := range d.issued {
			errs = append(errs, add(note{Ticket: t.raw}))
		}
		return errors.Join(append(errs, j.Append(raws...))...)
	})
	if err != nil {
		return err
	}
	old := d.journal
	d.journal = j
	return old.Close()
}

// Requests gives who waits to be admitted, oldest first.
func (d *Desk) Requests() []Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Values(d.requests), func(a, b Request) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.Identity, b.Identity))
	})
}

// waits reports an identity that waits to be admitted.
func (d *Desk) waits(identity string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, there := d.requests[identity]
	return there
}

// ask notes a request. When there are too many, the oldest goes.
func (d *Desk) ask(r Request) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, there := d.requests[r.Identity]; there {
		return nil
	}
	notes := []note{{Request: &r}}
	if len(d.requests) >= maxRequests {
		oldest := slices.MinFunc(slices.Collect(maps.Values(d.requests)), func(a, b Request) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.Identity, b.Identity))
		})
		notes[0].Done = oldest.Identity
	}
	return d.keep(notes...)
}

// Invite makes a one-time code that admits who comes with it; with a name, only a
// follower of that name.
func (d *Desk) Invite(name zone.MemberID, g Grant, now zone.Time) (code string, err error) {
	if name != "" && !name.Valid() {
		return "", fmt.Errorf("no follower can be called %q", string(name))
	}
	random := make([]byte, 15)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	code = strings.ToLower(base32.StdEncoding.EncodeToString(random))
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.invites) >= maxInvites {
		return "", fmt.Errorf("%d invites are open, which is the most: take them back first", len(d.invites))
	}
	trial := d.ticket(cmp.Or(name, "name"), [32]byte{1}, g, contract.MemberState{}, 0, 0)
	if _, err := trial.Sign(d.master); err != nil { // what it would say has to be possible
		return "", err
	}
	return code, d.keep(note{Invite: &invite{Hash: sha256.Sum256([]byte(code)), Member: name, Grant: g, Time: now}})
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
func (d *Desk) Invites() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.invites)
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

// redeem gives a ticket for a one-time code; nil for a code that is not open, or
// not for that name.
func (d *Desk) redeem(state ledger.Reader, height uint64, id message.Identity, code string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	hash := zone.Hash(sha256.Sum256([]byte(code)))
	i, ok := d.invites[hash]
	if !ok || i.Member != "" && i.Member != id.Member {
		return nil, nil
	}
	return d.admit(state, height, id, i.Grant, note{Spent: hash})
}

// Close closes the journal.
func (d *Desk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.journal.Close()
}

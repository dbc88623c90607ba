// Package bus is the hub of a zone: it connects the members with the master and,
// through the ledger, with each other. docs/format/member.md describes what goes
// over the wire.
//
// # What it promises
//
// A receipt goes out only when the transaction stands on the ledger, durably, and
// its payload in the store. What the contract refuses is on no ledger, and of who was
// refused something before not in the store either. What stands there is delivered to
// whom it is for, in the order of the ledger, again and again until it is
// acknowledged, over reconnects and restarts of both sides; a position tells a
// repetition. Only what the store has dropped by age or size, or damage took, is not
// delivered any more, and is counted.
//
// Delivery goes by the ledger alone: the hub follows its blocks, whoever made
// them. A block that ends somebody's standing ends the session.
//
// Who comes is asked for proof before a WebSocket is opened: a signature over a
// nonce that is good once, over zone, names and keys, and over the TLS connection
// itself. Why somebody is turned away, the operator's log says and the stranger is
// not told. Connections without proof have a place among a bounded number, and
// those of the address with most of them give way first; likewise requests to be
// admitted.
//
// # Bounds
//
// What one member hands in, over all its sessions, is bounded by bytes and by
// number, and who hands in more waits. Each session has at most message.Credit
// transactions, few reads among them, and as many deliveries under way. When the
// store is full, who has most in it loses its oldest. Nothing waits for a slow
// reader: who does not take a frame in time is disconnected. Of what waits for a
// member, a bounded number of positions is in memory, and the rest is read from the
// ledger when its turn comes.
package bus

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// Options says how a hub works. The zero value means the defaults.
type Options struct {
	Max     int           // members with a session at a time: 4096
	Keep    time.Duration // how long payloads are kept: 168h; below 0 for ever
	KeepMax int64         // and how many bytes of them: 1 GiB, at least two segments
	Ask     bool          // an operator has to admit again whose ticket does not hold any more
	Rate    int           // bytes that one member may hand in each second: 4 MiB, and as many at once
	// Messages is how many transactions and lookups one member may hand in each second:
	// 100, and ten times as many at once. One to everyone is one more for every
	// perDelivery members.
	Messages int
	// OnMessage hears of each message that stands on the ledger. It must not block.
	OnMessage func(Heard)
	Log       *slog.Logger // nil: nothing is logged

	patience time.Duration // with who takes no frame: writeFor
}

// messagesBurst is for how long a member may have been silent to its advantage.
const messagesBurst = 10 * time.Second

// Heard is a message that stands on the ledger.
type Heard struct {
	From, To zone.MemberID
	Op       contract.Op
	Size     uint32 // of the payload in bytes
	Received zone.Time
	ID       zone.HID
	Block    uint64
}

func (o *Options) fill() {
	if o.Max == 0 {
		o.Max = 4096
	}
	if o.Keep == 0 {
		o.Keep = 7 * 24 * time.Hour
	}
	if o.KeepMax == 0 {
		o.KeepMax = 1 << 30
	}
	if o.Rate == 0 {
		o.Rate = 4 << 20
	}
	if o.Messages == 0 {
		o.Messages = 100
	}
	if o.patience == 0 {
		o.patience = writeFor
	}
	if o.OnMessage == nil {
		o.OnMessage = func(Heard) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Ledger is what a hub asks of a driver beside the contract of all: to take what
// was checked before, since signatures are most of the work, and sessions check
// theirs at the same time.
type Ledger interface {
	ledger.Ledger
	SubmitChecked(ctx context.Context, c *contract.Checked) error
}

// Hub serves a zone's members. Make one with Prepare.
type Hub struct {
	o        Options
	dir      string
	zone     zone.Hash
	master   crypto.Signer
	ledger   Ledger
	desk     *Desk
	lowest   uint64 // position on the wire, see Desk.Restored
	tls      *Certificate
	payloads *payloads
	objects  *objects
	cursors  *cursors
	frames   frames
	queue    chan *item    // to the committer
	own      chan *saying  // of the master, likewise
	look     chan struct{} // there may be new blocks; has room for one
	born     time.Time
	reach    reach
	refusals refusals
	counts   counts

	followed atomic.Uint64 // blocks
	expires  atomic.Uint64 // the block at which the first session's ticket does not hold any more
	opened   bool          // the ledger's past was followed

	validator contract.Validator // the committer's, to judge before it stores

	mu       sync.Mutex // guards what follows
	members  map[zone.MemberID]*member
	sessions map[*session]bool
	closed   bool // no session begins any more
	asks     asks

	talks sync.WaitGroup // one for each session
}

// counts are what a hub has counted since it was opened.
type counts struct {
	sessions, received, refused, delivered, expired atomic.Int64
}

// Prepare gives the hub of the zone whose state directory has the members' part in
// dir, and makes that if it is missing. It is not open yet, so that it takes up the
// ledger's past while that is opened; see [Hub.Past].
func Prepare(dir string, o Options) (*Hub, error) {
	o.fill()
	h := &Hub{o: o, dir: dir, born: time.Now(), queue: make(chan *item, maxBatch), own: make(chan *saying), look: make(chan struct{}, 1),
		members: map[zone.MemberID]*member{}, sessions: map[*session]bool{}}
	h.expires.Store(never)
	h.refusals.log = o.Log
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		h.cursors, err = openCursors(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	for name, at := range h.cursors.at {
		h.member(name).cursor = at
	}
	return h, nil
}

// Past takes the next block of the ledger's past, from block 0 on. What it was
// given, Open does not read again.
func (h *Hub) Past(block uint64, txs []*contract.Signed) error {
	if block != h.followed.Load() {
		return fmt.Errorf("hub: block %d of the past comes after %d", block, h.followed.Load())
	}
	h.followed.Store(block + 1)
	for i, tx := range txs {
		if _, err := h.take(&item{tx: tx}, positionOf(block, i)); err != nil {
			return err
		}
	}
	return nil
}

// Open opens the hub: it follows what the ledger has more than Past was given.
// After an error it is only to be closed.
func (h *Hub) Open(ctx context.Context, z zone.Hash, master crypto.Signer, l Ledger, desk *Desk) error {
	if _, ok := master.Public().(ed25519.PublicKey); !ok {
		return fmt.Errorf("hub: the key is a %T, not Ed25519", master.Public())
	}
	h.zone, h.master, h.ledger, h.desk, h.lowest = z, master, l, desk, desk.lowest()
	if err := h.open(ctx); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	h.opened = true
	return nil
}

func (h *Hub) open(ctx context.Context) (err error) {
	if h.tls, err = LoadCertificate(h.dir); err != nil {
		return err
	}
	if h.payloads, err = openPayloads(h.dir, h.o.Keep, h.o.KeepMax, h.o.Log); err != nil {
		return err
	}
	if h.objects, err = openObjects(h.dir, h.ledger.State(), h.o.Log); err != nil {
		return err
	}
	if err := h.follow(ctx, nil); err != nil {
		return err
	}
	end := positionOf(h.followed.Load(), 0)
	for name := range h.cursors.at { // a backup's may be of later than its ledger
		m := h.member(name)
		m.cursor = min(m.cursor, max(end, 1)-1)
	}
	return nil
}

// Close releases the files. Run has to have returned.
func (h *Hub) Close() error {
	var errs []error
	if h.payloads != nil {
		errs = append(errs, h.payloads.close())
	}
	if h.objects != nil {
		errs = append(errs, h.objects.close())
	}
	if h.cursors != nil {
		errs = append(errs, h.cursors.close())
	}
	return errors.Join(errs...)
}

// Run serves the connections of a listener until ctx ends, or the ledger fails.
// It closes the listener.
func (h *Hub) Run(ctx context.Context, l net.Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var work sync.WaitGroup
	work.Go(func() { stop(h.commit(ctx)) })
	work.Go(func() { stop(h.keepCursors(ctx)) })
	err := h.serve(ctx, l)
	stop(err)
	work.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// Look tells the hub that the ledger may have new blocks. It looks by itself
// several times a second.
func (h *Hub) Look() {
	select {
	case h.look <- struct{}{}:
	default:
	}
}

// Status is what a hub has counted since it was opened.
type Status struct {
	Sessions  int              `json:"sessions"` // now, those that wait among them
	Begun     int64            `json:"begun"`    // sessions
	Received  int64            `json:"received"` // messages that stand on the ledger
	Refused   int64            `json:"refused"`  // transactions
	Delivered int64            `json:"delivered"`
	Expired   int64            `json:"expired"`  // deliveries whose payload was dropped before
	Dropped   int64            `json:"dropped"`  // payloads, by age or size
	Refusals  map[string]int64 `json:"refusals"` // by name, transactions' among them
}

// Status gives the counts.
func (h *Hub) Status() Status {
	h.mu.Lock()
	n := len(h.sessions)
	h.mu.Unlock()
	return Status{Sessions: n, Begun: h.counts.sessions.Load(), Received: h.counts.received.Load(), Refused: h.counts.refused.Load(),
		Delivered: h.counts.delivered.Load(), Expired: h.counts.expired.Load(), Dropped: h.payloads.droppedSoFar(), Refusals: h.refusals.all()}
}

// Member says whether a member is connected, and how many deliveries wait for it,
// and whether there are more than that.
func (h *Hub) Member(name zone.MemberID) (connected bool, waiting int, more bool) {
	h.mu.Lock()
	m := h.members[name]
	h.mu.Unlock()
	if m == nil {
		return false, 0, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session != nil, len(m.wait), m.more
}

// Pin is the SHA-256 of the public key of the hub's TLS certificate.
func (h *Hub) Pin() zone.Hash { return h.tls.Pin }

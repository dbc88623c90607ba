// Package follower is a member of a zone: it keeps a connection to the zone's
// master, says what its application wants said, as transactions that it signs, and
// keeps what others say to it. docs/format/member.md describes the protocol.
//
// # Guarantees
//
// An order that [Follower.Accept] took is durable. It comes to the ledger once, or
// is refused with a code: its signed form is durable before it is sent, and sent
// again in the same bytes until it is answered, over lost connections and kill -9
// of both sides. Orders come to the ledger in the order in which they were taken.
//
// A message is acknowledged to the master when it is durable here, and kept until
// the application says that it is done with it. It has a position, and comes once:
// an application that stores the position together with what it did gets nothing
// twice.
//
// A master that is silent for 30 seconds is given up. Connecting again waits
// longer each time, up to a minute, by a random part of it.
//
// # Memory
//
// Orders and messages lie in files, not in memory: at most 64 of each are held at
// once. [MaxWaiting], [MaxWaitingBytes] and [MaxInbox] bound the files.
package follower

import (
	"context"
	"crypto/ecdh"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/durable"
	"bellwether/internal/identity"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// Options change how a follower waits. Zero values mean the defaults.
type Options struct {
	Log     *slog.Logger  // nil: nothing is logged
	Silence time.Duration // how long the master may be silent; 30 s
	MinWait time.Duration // before the first attempt to connect again; 1 s
	MaxWait time.Duration // before any later one; 1 min
	Inbox   int64         // bytes that the inbox may hold; MaxInbox
}

func (o Options) filled() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, f := range []struct {
		to  *time.Duration
		def time.Duration
	}{{&o.Silence, 30 * time.Second}, {&o.MinWait, time.Second}, {&o.MaxWait, time.Minute}} {
		if *f.to == 0 {
			*f.to = f.def
		}
	}
	if o.Inbox == 0 {
		o.Inbox = MaxInbox
	}
	return o
}

// Follower is a member of a zone, or wants to be one. Its methods may be called
// concurrently; Run once.
type Follower struct {
	dir     string
	me      message.Identity
	invite  message.Invite // the zero value: it has joined no zone
	key     *identity.Key
	seal    *ecdh.PrivateKey
	options Options
	lock    io.Closer
	out     *outbox
	in      *inbox

	mu      sync.Mutex
	profile profile
	ticket  []byte // the newest
	serial  uint64 // its serial
	status  Status
}

// Status is how a follower is.
type Status struct {
	Name      zone.MemberID    `json:"name"`
	Identity  string           `json:"identity"`
	Zone      string           `json:"zone,omitempty"`
	Master    string           `json:"master,omitempty"` // its address
	Connected bool             `json:"connected"`
	Standing  message.Standing `json:"standing,omitempty"` // as the master said last
	Height    uint64           `json:"height,omitempty"`
	Epoch     uint64           `json:"epoch,omitempty"`
	N         uint64           `json:"n"`        // of its newest transaction with a receipt
	Waiting   int              `json:"waiting"`  // orders without an answer
	Signed    int              `json:"signed"`   // of these
	Position  uint64           `json:"position"` // of the newest message
	Problem   string           `json:"problem,omitempty"`
}

// Open opens a follower's state directory, which nobody else may open meanwhile.
func Open(dir string, o Options) (*Follower, error) {
	p, err := readProfile(dir)
	if err != nil {
		return nil, err
	}
	f := &Follower{dir: dir, options: o.filled(), profile: p}
	if f.lock, err = lockDir(dir); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := f.load(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (f *Follower) load() (err error) {
	if f.key, err = identity.Load(filepath.Join(f.dir, keyFile)); err != nil {
		return err
	}
	f.me = message.Identity{Member: f.profile.Member, Key: f.key.Ed25519()}
	f.status = Status{Name: f.me.Member, Identity: f.me.String()}
	if f.seal, err = loadSeal(f.dir, false); err != nil {
		return err
	}
	if f.profile.Invite != "" {
		if f.invite, err = message.ParseInvite(f.profile.Invite); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(f.dir, profileFile), err)
		}
		f.status.Zone, f.status.Master = f.invite.Zone.String(), f.invite.Address
	}
	raw, err := os.ReadFile(filepath.Join(f.dir, ticketFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	default:
		t, err := checkTicket(raw, f.invite, f.me)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(f.dir, ticketFile), err)
		}
		f.ticket, f.serial = raw, t.Serial
	}
	if f.out, err = openOutbox(filepath.Join(f.dir, outboxFile)); err != nil {
		return err
	}
	f.in, err = openInbox(f.dir, f.options.Inbox)
	return err
}

// Close lets go of the state directory. Everything is durable already.
func (f *Follower) Close() error {
	var errs []error
	if f.out != nil {
		errs = append(errs, f.out.log.Close())
	}
	if f.in != nil {
		errs = append(errs, f.in.Close())
	}
	return errors.Join(append(errs, f.lock.Close())...)
}

// Identity gives name and key.
func (f *Follower) Identity() message.Identity { return f.me }

// Accept takes an order. When it returns, the order is durable, and its number
// says which it is. Its answers come over the channel, which needs room for two;
// nil: nobody waits for them. Give up waiting by [Follower.Forget].
func (f *Follower) Accept(o Order, answers chan<- Answer) (number uint64, err error) {
	if err := o.check(); err != nil {
		return 0, err
	}
	var payload []byte
	if carries(o.Op) {
		payload = make([]byte, contract.PayloadSalt+len(o.Content))
	}
	if _, err := o.transaction(zone.Hash{1}, f.me.Member, 1, 0, payload).SignMember(f.key); err != nil {
		return 0, err
	}
	o.Ticket = nil
	return f.out.accept(o, answers)
}

// Forget ends waiting for answers.
func (f *Follower) Forget(number uint64, answers chan<- Answer) { f.out.forget(number, answers) }

// Read gives every message from a position on to use, as far as there are any, in
// their order. It gives the position to go on from, and a channel that is closed
// when there are more.
func (f *Follower) Read(from uint64, use func(*Message) error) (next uint64, more <-chan struct{}, err error) {
	return f.in.read(from, func(d *delivered) error {
		m, err := f.open(d.Object, d.Payload, d.Received)
		if err != nil {
			return fmt.Errorf("message %d: %w", d.Position, err)
		}
		m.Position = d.Position
		return use(m)
	})
}

// Done says that the application needs no message up to a position any more.
func (f *Follower) Done(position uint64) error { return f.in.done(position) }

// Status says how the follower is.
func (f *Follower) Status() Status {
	f.mu.Lock()
	s := f.status
	f.mu.Unlock()
	s.Waiting, s.Signed = f.out.counts()
	s.N, _ = f.out.newest()
	s.Position = f.in.newest()
	return s
}

func (f *Follower) setStatus(change func(*Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}

// errFatal marks what no later attempt mends: the follower's own files.
var errFatal = errors.New("the state directory")

// Run keeps the connection to the master until the context ends, which is no
// error. Its errors are those of the follower's own files.
func (f *Follower) Run(ctx context.Context) error {
	if f.invite == (message.Invite{}) {
		return fmt.Errorf("%s has joined no zone: bellwether-follower join INVITE --state %s", f.dir, f.dir)
	}
	var seed [16]byte
	crand.Read(seed[:]) // never fails
	random := rand.New(rand.NewPCG(binary.NativeEndian.Uint64(seed[:8]), binary.NativeEndian.Uint64(seed[8:])))
	wait := f.options.MinWait
	for {
		progress, err := f.session(ctx)
		f.setStatus(func(s *Status) { s.Connected, s.Problem = false, fmt.Sprint(err) })
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errFatal) {
			return err
		}
		if progress {
			wait = f.options.MinWait
		}
		pause := wait/2 + time.Duration(random.Int64N(int64(wait/2)+1))
		f.options.Log.Warn("no connection to the master", "problem", err, "again_in", pause.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		wait = min(2*wait, f.options.MaxWait)
	}
}

// admitted keeps that the invite's code has done its work.
func (f *Follower) admitted() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.profile.Admitted || f.invite.Code == "" {
		return nil
	}
	f.profile.Admitted = true
	if err := f.profile.write(f.dir); err != nil {
		return fmt.Errorf("%w: %w", errFatal, err)
	}
	return nil
}

// take keeps a ticket, if it is newer than the one it has.
func (f *Follower) take(raw []byte) error {
	t, err := checkTicket(raw, f.invite, f.me)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.Serial <= f.serial {
		return nil
	}
	if err := durable.WriteFile(filepath.Join(f.dir, ticketFile), raw, 0o600); err != nil {
		return fmt.Errorf("%w: %w", errFatal, err)
	}
	f.ticket, f.serial = raw, t.Serial
	return nil
}

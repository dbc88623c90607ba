// Package fabric is a ledger on a channel of Hyperledger Fabric: the zone's
// blocks are made here, by the same rules and with the same bytes as on one
// machine, and stand once the channel's peers endorsed and its orderers ordered
// them.
//
// # How a block gets there
//
//  1. Package producer validates transactions and seals a block under the
//     master's signature.
//  2. The channel's peers endorse it (package chaincode): one transaction of
//     Fabric for one block of the zone.
//  3. The signed transaction of Fabric and its ID go to the file "outbox",
//     durable.
//  4. It is submitted to the orderers. Their answer proves nothing: what an
//     orderer took and had not replicated may be gone with it.
//  5. The peer says that it is committed and valid.
//  6. The block goes to the local copy, durable, and counts.
//
// When 4 or 5 fails, the same bytes are submitted again and again until it is
// known what became of them: Fabric takes a transaction of one ID once, whatever
// comes later. After three times [Options].Patience the error is [ledger.ErrUnknown]; the
// bytes stay in the outbox, and the next call that writes, or the next Open, goes
// on with them first. Nothing is endorsed anew before that is settled, but for the
// same block when the identity's certificate was replaced meanwhile.
//
// # The local copy
//
// The directory holds every block that counts, in the form of the embedded
// ledger (blocks.log), and where it stands on the channel (fabric.log). Reading
// and proving need no network. Open reads the channel on from the last block of
// Fabric noted there, and so builds a lost copy anew.
//
// # A zone that comes from an embedded ledger
//
// [Migrate] hands it over: its newest block's header, its checkpoint and its state
// are the first thing of the zone on the channel, and the blocks go on from there
// as if nothing had happened. The blocks before are in the local copy only: lost,
// they come back from a copy of blocks.log, never from the channel.
//
// # Who writes
//
// One process at a time has a directory open for writing. Two directories with
// one zone on one channel find out: of two blocks with one number the channel
// keeps one, and the ledger that lost takes over the other's blocks.
//
// # Limits
//
// A block has at most 4 MiB of transactions, so that it passes orderers with the
// default limit of 10 MB. Proofs lead to the zone master's checkpoint, as with
// the embedded ledger; they do not show the orderers' signatures.
//
// Fabric checks that clocks are at most 15 minutes apart, so this room has a
// clock; no transaction and no block depends on it.
package fabric

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"bellwether/internal/contract"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/producer"
	"bellwether/internal/zone"
)

// The files in a directory.
const (
	blocksFile = "blocks.log" // record n: block n
	placesFile = "fabric.log" // record 0: the channel; then where each block stands on it
	outboxFile = "outbox"     // the newest transaction of Fabric
)

// The kinds of the journals.
const (
	blocksKind = "blocks"
	placesKind = "fabric"
)

// Files are what a directory of this ledger holds.
func Files() []string { return []string{blocksFile, placesFile, outboxFile} }

// Here reports whether the directory holds a ledger of this driver.
func Here(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, placesFile))
	return err == nil
}

// maxBytes of transactions in a block.
const maxBytes = 4 << 20

// Options say how the ledger works. The zero value means the defaults.
type Options struct {
	Connection Connection
	BlockTxs   int           // transactions that close a block: 100
	BlockAge   time.Duration // see producer.Options: 10 s
	// Patience is how long Commit and Open try to reach the channel, and wait for each
	// block that they read from it: 60 s. To learn
	// what became of a block that was submitted they take up to three times as long:
	// orderers that lost their leader may need more than one try to agree on another.
	Patience time.Duration
	// Warn is how long before a certificate expires warnings begin: 30 days.
	Warn time.Duration
	Log  *slog.Logger // nil: nothing is logged
	// Past is given every block that the local copy has when the ledger is opened. Nil:
	// nobody wants them.
	Past func(block uint64, txs []*contract.Signed) error

	dial []grpc.DialOption // for tests
}

func (o *Options) fill() {
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Warn == 0 {
		o.Warn = 30 * 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Ledger is an open ledger. Make one with Open.
type Ledger struct {
	signer crypto.Signer
	o      Options
	dir    string
	client *client
	blocks *journal.Journal
	places *journal.Journal
	first  uint64 // number of the first block that has a place; guarded by turn

	// turn is held by whoever writes, one after another in the order in which
	// they came: while one block is on its way, the next fills.
	turn   chan struct{}
	stale  error // guarded by turn; not nil: memory is built anew before the next write
	closed bool  // guarded by turn

	mu        sync.RWMutex // guards what follows; never held while the network is waited for
	producer  *producer.Producer
	confirmed *ledger.Chain // the blocks that count
	head      []byte        // checkpoint of the newest of them
}

var _ ledger.Ledger = (*Ledger)(nil)

var errClosed = errors.New("the ledger is closed")

// Open opens the ledger in dir with the zone's master key (Ed25519), and makes
// an empty one if there is none. It connects, takes over what the channel has
// more than the directory, and settles what the last process left in doubt.
func Open(ctx context.Context, dir string, signer crypto.Signer, o Options) (*Ledger, error) {
	o.fill()
	l, err := open(ctx, dir, signer, o)
	if err != nil {
		return nil, fmt.Errorf("open ledger on Fabric: %w", err)
	}
	return l, nil
}

func open(ctx context.Context, dir string, signer crypto.Signer, o Options) (*Ledger, error) {
	if _, ok := signer.Public().(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("the key is a %T, not Ed25519", signer.Public())
	}
	if err := foreign(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l := &Ledger{signer: signer, o: o, dir: dir, turn: make(chan struct{}, 1), confirmed: &ledger.Chain{}}
	err := l.openFiles()
	if err == nil {
		l.client, err = connect(o)
	}
	if err == nil {
		err = l.load(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, l.release())
	}
	l.o.Past = nil
	return l, nil
}

// foreign refuses a directory with the ledger of another driver.
func foreign(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, blocksFile)); err == nil && !Here(dir) {
		return fmt.Errorf("%s holds an embedded ledger, whose blocks are not on the channel; carry it over with `bellwether ledger migrate`, give another state directory, or go on with ledger.driver: embedded", dir)
	}
	return nil
}

// openFiles opens places first: a directory that has it is of this driver.
func (l *Ledger) openFiles() (err error) {
	if l.places, err = journal.Open(filepath.Join(l.dir, placesFile), placesKind, l.readPlace); err != nil {
		return err
	}
	l.blocks, err = journal.Open(filepath.Join(l.dir, blocksFile), blocksKind, nil)
	return err
}

func (l *Ledger) release() error {
	var errs []error
	if l.client != nil {
		errs = append(errs, l.client.close())
	}
	for _, j := range []*journal.Journal{l.blocks, l.places} {
		if j != nil {
			errs = append(errs, j.Close())
		}
	}
	return errors.Join(errs...)
}

// Close ends the use of the ledger. It waits for a block that is on its way.
func (l *Ledger) Close() error {
	l.turn <- struct{}{}
	defer l.end()
	if l.closed {
		return nil
	}
	l.closed = true
	return l.release()
}

// begin waits for the turn to write.
func (l *Ledger) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case l.turn <- struct{}{}:
	}
	switch {
	case l.closed:
		l.end()
		return errClosed
	case l.stale == nil:
		return nil
	}
	l.o.Log.Info("going on after a failure of the ledger", "failure", l.stale)
	if err := l.load(ctx); err != nil {
		l.end()
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

func (l *Ledger) end() { <-l.turn }

// fresh reads the local copy from its beginning.
func (l *Ledger) fresh() error {
	p, err := producer.New(producer.Options{Txs: l.o.BlockTxs, Age: l.o.BlockAge, Bytes: maxBytes})
	if err != nil {
		return err
	}
	chain := &ledger.Chain{}
	for n := range l.stored() {
		b, err := l.block(n)
		if err != nil {
			return err
		}
		txs, err := p.Follow(b)
		if err == nil {
			err = chain.Follow(b)
		}
		if err == nil && l.o.Past != nil {
			err = l.o.Past(n, txs)
		}
		if err != nil {
			return fmt.Errorf("block %d of the local copy: %w", n, err)
		}
	}
	if err := p.Check(l.pub()); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producer, l.confirmed, l.head = p, chain, p.Head()
	return nil
}

func (l *Ledger) pub() ed25519.PublicKey { return l.signer.Public().(ed25519.PublicKey) }

// load brings memory and the local copy to where the channel is, and settles
// what was in doubt. The caller has the turn, or nobody else has the ledger.
func (l *Ledger) load(ctx context.Context) error {
	l.stale = errors.New("the ledger was not read to its end")
	if err := l.fresh(); err != nil {
		return err
	}
	if err := l.follow(ctx); err != nil {
		return err
	}
	if err := l.resettle(ctx); err != nil {
		return err
	}
	if l.placed() < l.stored() {
		return fmt.Errorf("the channel does not have blocks %d to %d of %s: the peer lost blocks, or is behind; wait for it, or connect to another", l.placed(), l.stored()-1, filepath.Join(l.dir, blocksFile))
	}
	l.stale = nil
	return nil
}

// follow makes sure that the connection leads to the right channel, and takes
// over what it has more.
func (l *Ledger) follow(ctx context.Context) error {
	height, err := l.reach(ctx)
	if err != nil {
		return err
	}
	return l.catchUp(ctx, height)
}

// reach makes sure that the connection leads to the right channel. It gives how many
// blocks of Fabric that has.
func (l *Ledger) reach(ctx context.Context) (height uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Patience)
	defer cancel()
	if err := l.client.check(ctx, l.o); err != nil {
		return 0, err
	}
	if err := l.sameChannel(ctx); err != nil {
		return 0, err
	}
	return l.client.height(ctx)
}

// resettle finds out what became of the transaction in the outbox.
func (l *Ledger) resettle(ctx context.Context) error {
	out, err := readOutbox(filepath.Join(l.dir, outboxFile))
	if err != nil || out == nil || out.Block != l.stored() {
		return err
	}
	l.o.Log.Info("a block was in doubt; submitting the same bytes again", "block", out.Block, "transaction", zone.Hash(out.ID).Short())
	if out, err = l.renewed(ctx, out); err != nil {
		return err
	}
	if _, err := l.settle(ctx, out); err != nil {
		if invalid := (*InvalidError)(nil); !errors.As(err, &invalid) {
			return err
		}
		l.o.Log.Warn("that block came to nothing, or is there by another transaction", "block", out.Block, "reason", err)
		if err := os.Remove(filepath.Join(l.dir, outboxFile)); err != nil {
			return err
		}
	}
	return l.follow(ctx)
}

// renewed gives a transaction with the same block by the identity of now, if the
// outbox's is by another: orderers may not take that one any more. Whichever comes
// first, the channel keeps one of both, and the block is the same.
func (l *Ledger) renewed(ctx context.Context, out *outbox) (*outbox, error) {
	by, f, err := out.read(l.client.connection.Chaincode)
	if err != nil || l.client.signer.is(by) {
		return out, err
	}
	l.o.Log.Info("it was submitted by another identity; the same block is endorsed again", "block", out.Block)
	if out, err = l.endorse(ctx, chaincode.FunctionAppend, out.Block, f.arg); err != nil {
		return nil, fmt.Errorf("block %d, in doubt from an identity before, was not endorsed again: %w", l.stored(), err)
	}
	return out, out.write(filepath.Join(l.dir, outboxFile))
}

// Package embedded is a ledger in a directory of one machine: a chain of blocks
// in an append-only journal, each block signed by the zone's master, with the
// contract's state folded from it in memory.
//
// # Why a journal and not a key-value store
//
// In a journal every byte of the file is covered by a checksum and, through the
// headers, by a signature: there are no free pages, no stale copies and no index
// in which a change could go unnoticed, so "verified" can mean every byte. After
// a crash there is one thing to repair, an unfinished last block. A commit is
// one write and one fdatasync, which no store can undercut. Nothing is looked up
// by a random hash: each stored row keeps the block and index of its
// transaction. What a store would give, the state by key, is as small as the
// zone has devices, and is kept in memory.
//
// The price is that opening reads the chain from block 0. Signatures are not
// checked again then, but links, Merkle roots, the contract's rules and the
// digest of the state are; [Verify] checks all.
//
// # When a block closes
//
// As package producer says, at Commit, and at [Ledger.Tick]. The same
// transactions and commits, signed with the same key, give the same file, byte
// for byte.
//
// # Limits
//
// One process uses a directory at a time; keeping others out is the caller's.
// A file cut exactly behind a block is a shorter ledger and looks like one: only
// a checkpoint that somebody else holds shows that there was more.
//
// # Format
//
// The file blocks.log is a journal of kind "blocks": record n holds the
// canonical bytes of block n. See packages journal, ledger and contract.
package embedded

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/producer"
)

const (
	fileName = "blocks.log"
	kind     = "blocks"
)

// Options says when a block closes. The zero value means the defaults.
type Options struct {
	// BlockTxs is how many transactions close a block. 0 means 100; at most
	// ledger.MaxBlockTxs.
	BlockTxs int
	// BlockAge closes a block before a transaction this much newer than its
	// first. 0 means 10 s; less than 0 means that age never closes one.
	BlockAge time.Duration
	// ReadOnly opens a ledger that is there, as beside the process that writes
	// it, and changes nothing: Submit and Commit fail.
	ReadOnly bool
	// Past is given every block that is there when the ledger is opened, so that
	// nobody has to read them again. Nil: nobody wants them.
	Past func(block uint64, txs []*contract.Signed) error
}

// Ledger is an open ledger. Make one with Open.
type Ledger struct {
	signer  crypto.Signer
	journal *journal.Journal

	mu       sync.RWMutex // guards what follows
	producer *producer.Producer
	head     []byte // the newest block's checkpoint
	failed   error  // why nothing can be written any more
}

var _ ledger.Ledger = (*Ledger)(nil)

// Open opens the ledger in dir, and makes an empty one if there is none. The
// signer is the zone's master key (Ed25519); it signs the blocks.
//
// A block that a crash left unfinished is cut off: it was never committed.
// Damage is an error that wraps [*journal.DamageError], and changes nothing.
func Open(dir string, signer crypto.Signer, o Options) (*Ledger, error) {
	p, err := producer.New(producer.Options{Txs: o.BlockTxs, Age: o.BlockAge})
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if _, ok := signer.Public().(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("open ledger: the key is a %T, not Ed25519", signer.Public())
	}
	l := &Ledger{signer: signer, producer: p}
	open := journal.Open
	if o.ReadOnly {
		open, l.failed = journal.View, journal.ErrReadOnly
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	j, err := open(filepath.Join(dir, fileName), kind, func(_ int, payload []byte) error { return l.add(payload, o.Past) })
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := p.Check(signer.Public().(ed25519.PublicKey)); err != nil {
		j.Close()
		return nil, fmt.Errorf("open ledger in %s: %w", dir, err)
	}
	l.journal, l.head = j, p.Head()
	return l, nil
}

// add takes a block from the file.
func (l *Ledger) add(payload []byte, past func(uint64, []*contract.Signed) error) error {
	b, err := ledger.ParseBlock(payload)
	if err != nil {
		return err
	}
	txs, err := l.producer.Follow(b)
	if err != nil || past == nil {
		return err
	}
	return past(b.Header.Number, txs)
}

// Torn is how many bytes of an unfinished block Open cut off.
func (l *Ledger) Torn() int64 { return l.journal.Torn() }

// Close closes the file. What was not committed is not on the ledger.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = errClosed
	return l.journal.Close()
}

var errClosed = errors.New("the ledger is closed")

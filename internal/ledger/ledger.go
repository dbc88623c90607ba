// Package ledger is what Bellwether asks of a distributed ledger: transactions
// go in, get an order, and come out in blocks whose place in the chain can be
// proven to a stranger. It carries bytes and knows no verdicts; what a
// transaction may say is the contract's matter.
//
// # Blocks and proofs
//
// A block's header commits to its transactions by the root of an RFC 6962 tree
// over their signed bytes, to the block before by that header's hash, and to the
// state after it. The headers are themselves the leaves of an RFC 6962 tree,
// and each block carries its head as a signed C2SP checkpoint
// (c2sp.org/tlog-checkpoint) of all headers up to it. An [Inclusion] leads from
// one transaction's bytes to such a checkpoint, so that the anchor, the zone's
// public key, is all that a stranger needs.
//
// Canonical bytes are CBOR (RFC 8949) in core deterministic encoding; parsing
// takes exactly the bytes that encoding gives.
package ledger

import (
	"context"
	"errors"

	"bellwether/internal/zone"
)

// ErrUnknown is matched by errors of Submit and Commit after which it is not
// known whether the ledger has the transactions or will have them.
var ErrUnknown = errors.New("it is not known whether the ledger committed")

// Receipt is where a transaction stands on the ledger.
type Receipt struct {
	ID    zone.HID
	Block uint64
	Index uint32 // within the block, from 0
}

// Reader reads the contract's state: the value of a key, nil if it is not
// there, and the keys with a prefix, sorted by their bytes. A value is not to be
// changed.
type Reader interface {
	Get(key string) ([]byte, error)
	Keys(prefix string) ([]string, error)
}

// Ledger is the contract between Bellwether and a driver.
//
// Durability: a nil from Submit promises an order and nothing more. A nil from
// Commit promises that everything submitted before it stands in a block and
// survives the loss of power. A block that Height counts is durable and never
// changes.
//
// Doubt: when Submit or Commit fails with anything but a rejection, each
// transaction since the last nil from Commit may be on the ledger, now or
// later, or not. The caller keeps the very bytes and submits them again, in the
// same order, on this ledger or on one opened anew: a transaction that is there
// already, by its H-ID, is acknowledged as the one it is and stands there once.
// The driver does not retry on its own beyond what its transport needs, and a
// driver that cannot go on answers every call that writes with the same error
// until it is opened anew.
//
// Concurrency: all methods may be called at any time from any goroutine.
// Transactions of one subject are submitted one after another; between subjects
// there is no order to keep, and no key that they share.
//
// Retention: a driver keeps no byte slice it is given beyond the call, and what
// it gives belongs to the caller.
type Ledger interface {
	// Submit has the contract validate a transaction against all that was
	// submitted before and puts it in order. What the contract refuses is its
	// RejectError, with no trace on the ledger. A different transaction in the
	// place of one that is there already is such a refusal ("order").
	Submit(ctx context.Context, tx []byte) error

	// Commit returns when everything submitted before is durable in a block.
	// With nothing submitted it does nothing, and makes no block.
	Commit(ctx context.Context) error

	// Height is how many blocks are committed.
	Height() uint64

	// Block gives block n, below Height.
	Block(ctx context.Context, n uint64) (*Block, error)

	// State reads the state after all that was submitted, committed or not.
	State() Reader

	// Prove shows that a committed transaction is in the chain that ends with
	// the newest block.
	Prove(ctx context.Context, block uint64, index uint32) (*Inclusion, error)

	// Close ends the use of the ledger. It commits nothing.
	Close() error
}

// Package producer makes the blocks of a zone: it validates transactions by the
// contract, keeps the block that is still open, says when it closes, and seals it
// under the master's signature. It is what the drivers of a ledger share; where
// blocks are kept, and who has to agree to them, is the driver's matter.
//
// # When a block closes
//
// When it holds [Options].Txs transactions; before a transaction that is Age or
// more newer than the block's first, or with which it would exceed Bytes; and
// when the driver says so. Age is measured in the transactions' own time, so the
// same transactions and commits, signed with the same key, give the same blocks,
// byte for byte, on every driver.
//
// It does no input or output and is not safe for concurrent use.
package producer

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// Options says when a block closes. The zero value means the defaults.
type Options struct {
	Txs   int           // transactions that close a block: 100, at most ledger.MaxBlockTxs
	Age   time.Duration // closes a block before a transaction this much newer than its first: 10 s; below 0, age closes none
	Bytes int           // of all its transactions: ledger.MaxBlockBytes
}

func (o *Options) fill() error {
	if o.Txs == 0 {
		o.Txs = 100
	}
	if o.Txs < 0 || o.Txs > ledger.MaxBlockTxs {
		return fmt.Errorf("blocks of %d transactions: want 1 to %d", o.Txs, ledger.MaxBlockTxs)
	}
	if o.Age == 0 {
		o.Age = 10 * time.Second
	}
	if o.Bytes == 0 {
		o.Bytes = ledger.MaxBlockBytes
	}
	if o.Bytes < contract.MaxTx || o.Bytes > ledger.MaxBlockBytes {
		return fmt.Errorf("blocks of %d bytes: want %d to %d", o.Bytes, contract.MaxTx, ledger.MaxBlockBytes)
	}
	return nil
}

// Producer is the end of a zone's chain with the block that is still open. Make
// one with New.
type Producer struct {
	o         Options
	validator contract.Validator
	state     contract.World
	chain     ledger.Chain
	newest    *ledger.Block
	open      open
}

// open is the block that is still open.
type open struct {
	txs    [][]byte
	bytes  int
	first  zone.Time // of its first transaction
	newest zone.Time // of all of them
}

// New gives the producer of a chain without blocks.
func New(o Options) (*Producer, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	return &Producer{o: o}, nil
}

// State is the state after every transaction taken. It may be read, as long as
// nothing is taken meanwhile.
func (p *Producer) State() contract.Reader { return &p.state }

// Chain is the chain with the newest block that was sealed or followed. It is
// not to be changed.
func (p *Producer) Chain() *ledger.Chain { return &p.chain }

// Open is how many transactions wait in the open block.
func (p *Producer) Open() int { return len(p.open.txs) }

// Head is the newest block's checkpoint, nil without one.
func (p *Producer) Head() []byte {
	if p.newest == nil {
		return nil
	}
	return bytes.Clone(p.newest.Checkpoint)
}

// Follow takes a block that was made before, with the checks that need no
// signature: place, transactions, and the contract's order and transitions. It
// gives its transactions. After an error the producer is not to be used any more.
func (p *Producer) Follow(b *ledger.Block) ([]*contract.Signed, error) {
	return p.follow(b, p.validator.Replay)
}

// Join takes a block that comes from elsewhere, with every check.
func (p *Producer) Join(b *ledger.Block, pub ed25519.PublicKey) error {
	if _, err := p.follow(b, p.validator.Apply); err != nil {
		return err
	}
	return p.Check(pub)
}

func (p *Producer) follow(b *ledger.Block, apply func(contract.State, uint64, []byte) (*contract.Signed, error)) ([]*contract.Signed, error) {
	if len(p.open.txs) > 0 {
		return nil, errors.New("a block is open")
	}
	if err := p.chain.Follow(b); err != nil {
		return nil, err
	}
	txs := make([]*contract.Signed, len(b.Txs))
	for i, raw := range b.Txs {
		var err error
		if txs[i], err = apply(&p.state, b.Header.Number, raw); err != nil {
			return nil, fmt.Errorf("transaction %d: %w", i, err)
		}
	}
	p.newest = b
	return txs, nil
}

// Check holds the outcome of Follow against the newest block: its state, its
// signature and its checkpoint, which together stand for the whole chain.
func (p *Producer) Check(pub ed25519.PublicKey) error {
	if p.newest == nil {
		return nil
	}
	h := &p.newest.Header
	if err := h.Verify(pub, p.newest.Signature); err != nil {
		return fmt.Errorf("block %d: %w; is this the key of another zone?", h.Number, err)
	}
	digest, err := contract.Digest(&p.state)
	if err != nil {
		return err
	}
	if digest != h.State {
		return fmt.Errorf("block %d: its state is %s, applying the transactions gives %s", h.Number, h.State.Short(), digest.Short())
	}
	head, err := ledger.ParseCheckpoint(p.newest.Checkpoint, h.Zone, pub)
	if err != nil {
		return fmt.Errorf("block %d: %w", h.Number, err)
	}
	if root := p.chain.Root(); head.Size != h.Number+1 || head.Root != root {
		return fmt.Errorf("block %d: its checkpoint is of %d headers with root %s; they have %s", h.Number, head.Size, head.Root.Short(), root.Short())
	}
	return nil
}

// Seal closes the open block, which must not be empty. The same content, signed
// with the same key, gives the same bytes. After an error the producer is not to
// be used any more.
func (p *Producer) Seal(s crypto.Signer) (*ledger.Block, error) {
	z, _, err := contract.ReadZone(&p.state)
	if err != nil {
		return nil, err
	}
	digest, err := contract.Digest(&p.state)
	if err != nil {
		return nil, err
	}
	b, err := p.chain.Seal(s, ledger.Content{Zone: z.ID, Txs: p.open.txs, State: digest, Time: p.open.newest})
	if err != nil {
		return nil, err
	}
	pub, ok := s.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, not Ed25519", s.Public())
	}
	if err := b.Header.Verify(pub, b.Signature); err != nil {
		return nil, err
	}
	p.newest, p.open = b, open{}
	return b, nil
}

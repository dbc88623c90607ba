package ledger

import (
	"crypto"
	"fmt"

	"bellwether/internal/zone"
)

// Chain is the end of a chain of blocks: all that the next block is built on.
// The zero value is a chain without blocks. It is not safe for concurrent use.
type Chain struct {
	tree   Tree
	newest *Header
}

// Content is what a block is made of beside its place in the chain.
type Content struct {
	Zone  zone.Hash
	Txs   [][]byte  // at least one
	State zone.Hash // digest of the state after them
	Time  zone.Time // newest of theirs
}

// Height is the number of blocks.
func (c *Chain) Height() uint64 { return c.tree.Size() }

// Newest is the newest block's header, nil without one. It is not to be changed.
func (c *Chain) Newest() *Header { return c.newest }

// Root is the root of the tree of headers.
func (c *Chain) Root() zone.Hash { return c.tree.Root() }

// Seal makes the next block. The same content, signed with the same key, gives
// the same bytes. The chain ends with that block from then on; after an error
// it is not to be used any more.
func (c *Chain) Seal(s crypto.Signer, content Content) (*Block, error) {
	h := Header{Zone: content.Zone, Number: c.Height(), TxRoot: RootOf(content.Txs), Txs: uint32(len(content.Txs)),
		State: content.State, Time: content.Time}
	if c.newest != nil {
		h.Previous = c.newest.Hash()
	}
	sig, err := h.Sign(s)
	if err != nil {
		return nil, err
	}
	c.add(&h)
	head := Checkpoint{Zone: h.Zone, Size: c.Height(), Root: c.Root()}
	signed, err := head.Sign(s)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", h.Number, err)
	}
	return &Block{Header: h, Signature: sig, Txs: content.Txs, Checkpoint: signed}, nil
}

// Follow takes a block that was made before, if it is the next one and its
// transactions are those of its header. It checks no signature.
func (c *Chain) Follow(b *Block) error {
	if err := b.Follows(c.newest); err != nil {
		return err
	}
	if err := b.Check(); err != nil {
		return err
	}
	h := b.Header
	c.add(&h)
	return nil
}

func (c *Chain) add(h *Header) {
	c.tree.Append(h.Hash())
	c.newest = h
}

// Prove shows that transaction index of block n is under head, the checkpoint of
// the newest block. It asks for at most 512 blocks.
func (c *Chain) Prove(n uint64, index uint32, head []byte, block func(n uint64) (*Block, error)) (*Inclusion, error) {
	b, err := block(n)
	if err != nil {
		return nil, err
	}
	in, err := b.Prove(index)
	if err != nil {
		return nil, err
	}
	in.Checkpoint = head
	in.HeaderPath, err = c.tree.Path(n, hashes(block))
	return in, err
}

// hashes gives the hashes of blocks' headers.
func hashes(block func(n uint64) (*Block, error)) func(n uint64) (zone.Hash, error) {
	return func(n uint64) (zone.Hash, error) {
		b, err := block(n)
		if err != nil {
			return zone.Hash{}, err
		}
		return b.Header.Hash(), nil
	}
}

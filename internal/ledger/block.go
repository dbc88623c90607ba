package ledger

import (
	"errors"
	"fmt"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

// The bounds of a block.
const (
	MaxBlockTxs   = 1 << 16
	MaxBlockBytes = 32 << 20 // of all its transactions
)

// Block is a header with what it commits to. Its canonical bytes are the CBOR
// array [header bstr, signature bstr (64), checkpoint bstr, [transaction bstr …]].
type Block struct {
	Header     Header
	Signature  []byte   // the master's, over the header
	Txs        [][]byte // signed transactions, in order
	Checkpoint []byte   // of the tree of all headers up to this one
}

type wireBlock struct {
	_          struct{} `cbor:",toarray"`
	Header     []byte
	Signature  []byte
	Checkpoint []byte
	Txs        [][]byte
}

// Bytes gives the canonical bytes.
func (b *Block) Bytes() []byte {
	return canonical.MustMarshal(wireBlock{Header: b.Header.Bytes(), Signature: b.Signature, Checkpoint: b.Checkpoint, Txs: b.Txs})
}

// ReadBlock reads block n of a ledger of that height from where its bytes are kept.
func ReadBlock(n, height uint64, read func(n int) ([]byte, error)) (*Block, error) {
	if n >= height {
		return nil, fmt.Errorf("the ledger has no block %d: its height is %d", n, height)
	}
	raw, err := read(int(n))
	if err != nil {
		return nil, err
	}
	b, err := ParseBlock(raw)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", n, err)
	}
	return b, nil
}

// ParseBlock reads canonical bytes and nothing else. It holds the transactions
// against nothing; see [Block.Check].
func ParseBlock(raw []byte) (*Block, error) {
	if len(raw) > 2*MaxBlockBytes {
		return nil, fmt.Errorf("block of %d bytes", len(raw))
	}
	var w wireBlock
	if err := decoding.Parse(raw, &w); err != nil {
		return nil, fmt.Errorf("block: %w", err)
	}
	h, err := ParseHeader(w.Header)
	if err != nil {
		return nil, err
	}
	return &Block{Header: *h, Signature: w.Signature, Txs: w.Txs, Checkpoint: w.Checkpoint}, nil
}

// Check holds the transactions against the header.
func (b *Block) Check() error {
	if uint64(len(b.Txs)) != uint64(b.Header.Txs) {
		return fmt.Errorf("%d transactions, the header says %d", len(b.Txs), b.Header.Txs)
	}
	if RootOf(b.Txs) != b.Header.TxRoot {
		return errors.New("the transactions do not have the root that the header says")
	}
	return nil
}

// Follows holds the block's place against the header before it, nil for none.
func (b *Block) Follows(previous *Header) error {
	var want Header
	if previous != nil {
		want = Header{Number: previous.Number + 1, Previous: previous.Hash(), Zone: previous.Zone}
	} else {
		want.Zone = b.Header.Zone
	}
	switch h := &b.Header; {
	case h.Number != want.Number:
		return fmt.Errorf("it says it is block %d, not %d", h.Number, want.Number)
	case h.Previous != want.Previous:
		return fmt.Errorf("it follows a block %s, not %s", h.Previous.Short(), want.Previous.Short())
	case h.Zone != want.Zone:
		return fmt.Errorf("it is of zone %s, not %s", h.Zone.Short(), want.Zone.Short())
	}
	return nil
}

// Prove shows that transaction index is in this block; the path of the header
// is for the caller to add.
func (b *Block) Prove(index uint32) (*Inclusion, error) {
	if uint64(index) >= uint64(len(b.Txs)) {
		return nil, fmt.Errorf("block %d has no transaction %d: it has %d", b.Header.Number, index, len(b.Txs))
	}
	leaves := make([]zone.Hash, len(b.Txs))
	for i, tx := range b.Txs {
		leaves[i] = LeafHash(tx)
	}
	return &Inclusion{Header: b.Header, Signature: b.Signature, Index: index,
		TxPath: InclusionPath(leaves, uint64(index)), Checkpoint: b.Checkpoint}, nil
}

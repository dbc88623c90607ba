package ledger

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"bellwether/internal/canonical"
)

// MaxHandover bounds a handover's canonical bytes: some 14,000 devices. A
// transaction of Fabric carries the state twice and has to stay below 10 MB.
const MaxHandover = 4 << 20

// Handover is the end of a chain that goes on on another ledger: its newest
// block without the transactions, and the state that the next block rests on. The
// blocks up to it stay where they are, and its checkpoint stands for them. Its
// path is, from behind, the compact range of the headers before, so that
// the tree of headers can go on from a handover alone.
//
// Its canonical bytes are the CBOR array [header bstr, signature bstr,
// header path [bstr (32) …], checkpoint bstr, [[key tstr, value bstr] …]].
type Handover struct {
	Header     Header   // of the newest block
	Signature  []byte   // the master's, over it
	HeaderPath [][]byte // RFC 6962 inclusion proof of it under the checkpoint
	Checkpoint []byte   // of all headers up to it
	State      []Pair   // the contract's, after that block; by key
}

// Pair is one key of the contract's state.
type Pair struct {
	_     struct{} `cbor:",toarray"`
	Key   string
	Value []byte
}

type wireHandover struct {
	_          struct{} `cbor:",toarray"`
	Header     []byte
	Signature  []byte
	HeaderPath [][]byte
	Checkpoint []byte
	State      []Pair
}

// HandOver hands over the chain, which is not empty, and the state after it. It
// asks for at most 512 blocks.
func (c *Chain) HandOver(state Reader, block func(n uint64) (*Block, error)) (*Handover, error) {
	b, err := block(c.Height() - 1)
	if err != nil {
		return nil, err
	}
	h := &Handover{Header: b.Header, Signature: b.Signature, Checkpoint: b.Checkpoint}
	if h.HeaderPath, err = c.tree.Path(b.Header.Number, hashes(block)); err != nil {
		return nil, err
	}
	keys, err := state.Keys("")
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		value, err := state.Get(key)
		if err != nil {
			return nil, err
		}
		h.State = append(h.State, Pair{Key: key, Value: value})
	}
	if n := len(h.Bytes()); n > MaxHandover {
		return nil, fmt.Errorf("the zone's state, %d keys, makes a handover of %d bytes: at most %d can be handed over", len(keys), n, MaxHandover)
	}
	return h, nil
}

// Bytes gives the canonical bytes.
func (h *Handover) Bytes() []byte {
	return canonical.MustMarshal(wireHandover{Header: h.Header.Bytes(), Signature: h.Signature, HeaderPath: h.HeaderPath, Checkpoint: h.Checkpoint, State: h.State})
}

// ParseHandover reads canonical bytes and nothing else. It verifies nothing.
func ParseHandover(raw []byte) (*Handover, error) {
	if len(raw) > MaxHandover {
		return nil, fmt.Errorf("handover of %d bytes: at most %d", len(raw), MaxHandover)
	}
	var w wireHandover
	if err := decoding.Parse(raw, &w); err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	head, err := ParseHeader(w.Header)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	for i := range w.State {
		if i > 0 && w.State[i-1].Key >= w.State[i].Key {
			return nil, errors.New("handover: the keys of its state are not in order")
		}
	}
	return &Handover{*head, w.Signature, w.HeaderPath, w.Checkpoint, w.State}, nil
}

// Verify checks what the zone's master signed: the header, and a checkpoint of
// it and all before. It gives the checkpoint. That the state is the one that the
// header commits to is for the contract to say.
func (h *Handover) Verify(pub ed25519.PublicKey) (*Checkpoint, error) {
	if h.Header.Number == 0 {
		return nil, errors.New("a chain of one block is not handed over: its block is appended")
	}
	if err := h.Header.Verify(pub, h.Signature); err != nil {
		return nil, err
	}
	head, err := ParseCheckpoint(h.Checkpoint, h.Header.Zone, pub)
	if err != nil {
		return nil, err
	}
	if head.Size != h.Header.Number+1 {
		return nil, fmt.Errorf("its checkpoint is of %d headers", head.Size)
	}
	if err := VerifyInclusion(head.Root, h.Header.Number, head.Size, h.Header.Hash(), h.HeaderPath); err != nil {
		return nil, fmt.Errorf("its header is not under its checkpoint: %w", err)
	}
	return head, nil
}

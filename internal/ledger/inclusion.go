package ledger

import (
	"crypto/ed25519"
	"fmt"

	"bellwether/internal/canonical"
)

// The steps of a proof, in the order in which Verify takes them.
const (
	StepCheckpoint = "checkpoint signature" // the anchor signed the checkpoint
	StepHeaderPath = "header path"          // the header is under the checkpoint
	StepHeader     = "header signature"     // the anchor signed the header
	StepTxPath     = "transaction path"     // the transaction is under the header
)

// StepError says which step of a proof fails.
type StepError struct {
	Step   string
	Reason string
}

func (e *StepError) Error() string { return fmt.Sprintf("proof fails at the %s: %s", e.Step, e.Reason) }

// Inclusion proves that a transaction is on the ledger. Its canonical bytes are
// the CBOR array [header bstr, signature bstr, index uint, transaction path [bstr
// (32) …], header path [bstr (32) …], checkpoint bstr].
type Inclusion struct {
	Header     Header
	Signature  []byte   // of the header
	Index      uint32   // of the transaction in its block
	TxPath     [][]byte // RFC 6962 inclusion proof under Header.TxRoot
	HeaderPath [][]byte // and of the header under the checkpoint
	Checkpoint []byte
}

type wireInclusion struct {
	_          struct{} `cbor:",toarray"`
	Header     []byte
	Signature  []byte
	Index      uint32
	TxPath     [][]byte
	HeaderPath [][]byte
	Checkpoint []byte
}

// maxInclusion is more than the largest proof has bytes: two paths of 64 hashes.
const maxInclusion = 8 << 10

// Bytes gives the canonical bytes.
func (in *Inclusion) Bytes() []byte {
	return canonical.MustMarshal(wireInclusion{Header: in.Header.Bytes(), Signature: in.Signature, Index: in.Index,
		TxPath: in.TxPath, HeaderPath: in.HeaderPath, Checkpoint: in.Checkpoint})
}

// ParseInclusion reads canonical bytes and nothing else. It verifies nothing.
func ParseInclusion(raw []byte) (*Inclusion, error) {
	if len(raw) > maxInclusion {
		return nil, fmt.Errorf("inclusion proof of %d bytes", len(raw))
	}
	var w wireInclusion
	if err := decoding.Parse(raw, &w); err != nil {
		return nil, fmt.Errorf("inclusion proof: %w", err)
	}
	h, err := ParseHeader(w.Header)
	if err != nil {
		return nil, fmt.Errorf("inclusion proof: %w", err)
	}
	return &Inclusion{*h, w.Signature, w.Index, w.TxPath, w.HeaderPath, w.Checkpoint}, nil
}

// Verify checks that tx, a signed transaction's bytes, is on the ledger of the
// zone whose master key is anchor. The error is a [*StepError]. That the zone is
// the one that the caller means, by Header.Zone, and what the transaction says,
// is for the caller to check.
func (in *Inclusion) Verify(tx []byte, anchor ed25519.PublicKey) error {
	head, err := ParseCheckpoint(in.Checkpoint, in.Header.Zone, anchor)
	if err != nil {
		return &StepError{StepCheckpoint, err.Error()}
	}
	if err := VerifyInclusion(head.Root, in.Header.Number, head.Size, in.Header.Hash(), in.HeaderPath); err != nil {
		return &StepError{StepHeaderPath, err.Error()}
	}
	if err := in.Header.Verify(anchor, in.Signature); err != nil {
		return &StepError{StepHeader, err.Error()}
	}
	if err := VerifyInclusion(in.Header.TxRoot, uint64(in.Index), uint64(in.Header.Txs), LeafHash(tx), in.TxPath); err != nil {
		return &StepError{StepTxPath, err.Error()}
	}
	return nil
}

package proof

import (
	"crypto/ed25519"
	"errors"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// entry checks that a transaction is on the ledger and is what it is taken for.
func (c *checker) entry(field string, e *Entry) (*contract.Signed, error) {
	s, err := contract.Parse(e.Tx)
	if err != nil {
		return nil, failf(field+".tx", "%v", err)
	}
	if err := s.Verify(); err != nil {
		return nil, failf(field+".tx", "%v", err)
	}
	if !c.anchor.Equal(ed25519.PublicKey(s.Key[:])) {
		return nil, failf(field+".tx", "it is signed by another key than the zone's")
	}
	if s.Tx.Zone != c.b.Alert.Zone {
		return nil, failf(field+".tx", "it belongs to zone %s, alert.zone says %s", s.Tx.Zone.Short(), c.b.Alert.Zone.Short())
	}
	in, err := e.inclusion()
	if err != nil {
		return nil, failf(field+".header", "%v", err)
	}
	if in.Header.Zone != c.b.Alert.Zone {
		return nil, failf(field+".header", "it belongs to another zone than alert.zone")
	}
	return s, c.included(field, in, e.Tx)
}

// included checks the proof that a transaction is on the ledger. Where it
// fails, all that is signed holds by itself, so the fault can be told apart.
func (c *checker) included(field string, in *ledger.Inclusion, tx []byte) error {
	err := in.Verify(tx, c.anchor)
	var step *ledger.StepError
	if !errors.As(err, &step) {
		return err
	}
	name := "checkpoint"
	switch step.Step {
	case ledger.StepHeaderPath:
		if name = "header_path"; in.Header.Verify(c.anchor, in.Signature) != nil {
			name = "header"
		}
	case ledger.StepHeader:
		name = "header_signature"
	case ledger.StepTxPath:
		name = "tx_path"
		if misplaced(in.Header.TxRoot, uint64(in.Header.Txs), ledger.LeafHash(tx), in.TxPath) {
			name = "index"
		}
	}
	return failf(field+"."+name, "%v", err)
}

// misplaced reports that a leaf that is not at its index is in the tree, with
// the same path, at another one.
func misplaced(root zone.Hash, size uint64, leaf zone.Hash, path [][]byte) bool {
	for i := range min(size, ledger.MaxBlockTxs) {
		if ledger.VerifyInclusion(root, i, size, leaf, path) == nil {
			return true
		}
	}
	return false
}

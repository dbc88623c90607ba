// Package evidence shows to a stranger without a Fabric identity, offline, that a
// block of a zone, or the handover that stands for the blocks from before the zone
// came there, stands on a channel of Hyperledger Fabric: that the channel's
// orderers signed the block of Fabric it is in, that peers of a majority of its
// organisations endorsed it, and that a peer says it is valid.
//
// The anchor is the channel's configuration block (the genesis block, or a later
// one after a change of configuration), from which the orderers and organisations
// follow. Who checks has to have it from somebody it trusts; [Channel].Digest is
// what to compare.
//
// # What is checked
//
//   - The orderers' signatures over the block's header: with raft one by a member
//     of an orderer organisation, which is Fabric's own rule; with SmartBFT those
//     of a quorum of the consenters that the configuration names. Every signature
//     that is there has to hold.
//   - The configuration that the orderers say the block is under is the anchor.
//   - The header's hash of the data, over all transactions of the block: keep
//     blocks of Fabric small.
//   - The signature of the transaction's creator, a member of the channel.
//   - Endorsements over the very result, by peers of more than half of the
//     organisations, which is a channel's default policy. A definition with
//     another policy is held against this one all the same.
//   - The chaincode's answer in that result, the hash of the block's header, which an
//     unrelated chaincode with a function of the same name does not give.
//   - A peer's signed answer with that transaction and the code VALID.
//
// # What it does not show
//
// Certificates are held against the authorities of the configuration and not
// against a clock: one that has expired since was good then. Revocation lists
// are not read. Neither raft's signature nor a peer's answer is more than the
// word of one organisation.
package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/canonical"
	"bellwether/internal/ledger"
)

// The steps of a check, in their order.
const (
	StepOrderers     = "orderer signatures"
	StepTransaction  = "transaction"
	StepCreator      = "creator"
	StepEndorsements = "endorsements"
	StepValidation   = "validation code"
	StepZone         = "block of the zone"
)

// StepError says at which step evidence fails.
type StepError struct {
	Step   string
	Reason string
}

func (e *StepError) Error() string {
	return fmt.Sprintf("evidence fails at the %s: %s", e.Step, e.Reason)
}

func fail(step, format string, args ...any) error {
	return &StepError{Step: step, Reason: fmt.Sprintf(format, args...)}
}

// Evidence is a block of Fabric with a peer's answer about one transaction of it.
// Its bytes are the CBOR array [number uint, previous bstr (32), [envelope bstr …],
// signatures bstr, transaction tstr, answer bstr, peer bstr, signature bstr]:
// header and data of the block, the protobuf message common.Metadata with the
// orderers' signatures, the transaction's ID, and the peer's answer (the protobuf
// message protos.ProposalResponsePayload), its identity and its signature.
type Evidence struct {
	_           struct{} `cbor:",toarray"`
	Number      uint64
	Previous    []byte
	Data        [][]byte
	Signatures  []byte
	Transaction string
	Answer      []byte
	Peer        []byte
	Signature   []byte
}

// Bytes gives the canonical bytes.
func (e *Evidence) Bytes() []byte { return canonical.MustMarshal(e) }

var decoding = canonical.Bounds{}.Decoder()

// Parse reads canonical bytes and nothing else. It verifies nothing.
func Parse(raw []byte) (*Evidence, error) {
	e := new(Evidence)
	if err := decoding.Parse(raw, e); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return e, nil
}

// Collect makes evidence of a block of Fabric and a peer's answer.
func Collect(b *common.Block, transaction string, answer *peer.ProposalResponse) (*Evidence, error) {
	m := b.GetMetadata().GetMetadata()
	if len(m) <= int(common.BlockMetadataIndex_SIGNATURES) {
		return nil, errors.New("evidence: the block of Fabric has no signatures")
	}
	return &Evidence{Number: b.GetHeader().GetNumber(), Previous: b.GetHeader().GetPreviousHash(), Data: b.GetData().GetData(),
		Signatures: m[common.BlockMetadataIndex_SIGNATURES], Transaction: transaction,
		Answer: answer.GetPayload(), Peer: answer.GetEndorsement().GetEndorser(), Signature: answer.GetEndorsement().GetSignature()}, nil
}

// Statement is what evidence shows.
type Statement struct {
	Channel     string
	Number      uint64 // of Fabric's block
	Transaction string
	Chaincode   string
	Orderers    []string // who signed the block
	Creator     string   // organisation that submitted it
	Endorsers   []string // organisations
	Answered    string   // organisation of the peer that says it is valid
	// What stands there: a block of the zone, or the handover that the zone came
	// with, which stands for the blocks before.
	Block    *ledger.Block
	Handover *ledger.Handover
}

// Verify checks evidence against the channel. The error is a [*StepError]. That
// the statement's block or handover is the one that the caller means, and what
// the zone's master signed, is for the caller to check.
func (e *Evidence) Verify(c *Channel) (*Statement, error) {
	s := &Statement{Channel: c.Name, Number: e.Number, Transaction: e.Transaction}
	hash := sha256.Sum256(bytes.Join(e.Data, nil))
	header, err := headerBytes(e.Number, e.Previous, hash[:])
	if err != nil {
		return nil, fail(StepOrderers, "%v", err)
	}
	if s.Orderers, err = c.orderers(e.Signatures, header); err != nil {
		return nil, err
	}
	t, err := e.find(c)
	if err != nil {
		return nil, err
	}
	s.Chaincode = t.chaincode
	if s.Creator, err = t.creator(c); err != nil {
		return nil, err
	}
	if s.Endorsers, err = t.endorsements(c); err != nil {
		return nil, err
	}
	if s.Answered, err = e.answered(c, t); err != nil {
		return nil, err
	}
	if s.Block, s.Handover, err = t.content(); err != nil {
		return nil, err
	}
	return s, nil
}

// headerBytes is what Fabric hashes and signs of a header: ASN.1 DER of number,
// hash of the header before, and hash of the data.
func headerBytes(number uint64, previous, data []byte) ([]byte, error) {
	return asn1.Marshal(struct {
		Number         *big.Int
		Previous, Data []byte
	}{new(big.Int).SetUint64(number), previous, data})
}

// find reads the transaction in the block's data.
func (e *Evidence) find(c *Channel) (*transaction, error) {
	for _, raw := range e.Data {
		t, err := readTransaction(raw)
		if err != nil || t.id != e.Transaction {
			continue // of others, or of another kind
		}
		if t.channel != c.Name {
			return nil, fail(StepTransaction, "it is of channel %q, the configuration is of %q", t.channel, c.Name)
		}
		return t, t.check()
	}
	return nil, fail(StepTransaction, "the block of Fabric has no transaction %s that could be read", e.Transaction)
}

// answered checks what a peer says of the transaction.
func (e *Evidence) answered(c *Channel, t *transaction) (string, error) {
	var payload peer.ProposalResponsePayload
	var action peer.ChaincodeAction
	var processed peer.ProcessedTransaction
	if err := errors.Join(proto.Unmarshal(e.Answer, &payload), proto.Unmarshal(payload.GetExtension(), &action),
		proto.Unmarshal(action.GetResponse().GetPayload(), &processed)); err != nil {
		return "", fail(StepValidation, "the peer's answer: %v", err)
	}
	member, err := c.endorsed(e.Answer, &peer.Endorsement{Endorser: e.Peer, Signature: e.Signature})
	if err != nil {
		return "", fail(StepValidation, "the peer's answer: %v", err)
	}
	if name := action.GetChaincodeId().GetName(); name != "qscc" {
		return "", fail(StepValidation, "the peer's answer is by chaincode %q, not qscc", name)
	}
	if !proto.Equal(processed.GetTransactionEnvelope(), t.envelope) {
		return "", fail(StepValidation, "the peer's answer is of another transaction")
	}
	if code := peer.TxValidationCode(processed.GetValidationCode()); code != peer.TxValidationCode_VALID {
		return "", fail(StepValidation, "the peer says that it is %s", code)
	}
	return member, nil
}

// txID is how Fabric names a transaction: SHA-256 of its nonce and its creator.
func txID(nonce, creator []byte) string {
	sum := sha256.Sum256(append(bytes.Clone(nonce), creator...))
	return hex.EncodeToString(sum[:])
}

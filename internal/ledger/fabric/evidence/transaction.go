package evidence

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/chaincode"
)

// transaction is one of Fabric that gives a block of the zone, or its handover, to the chaincode.
type transaction struct {
	envelope  *common.Envelope
	channel   string
	id        string
	signer    []byte // serialized identity of the creator
	nonce     []byte
	chaincode string // that was run
	function  string
	arg       []byte // a block of the zone, or its handover
	header    *common.Header
	proposal  []byte // payload of the proposal
	response  []byte // what the endorsers signed
	answer    []byte // the chaincode's, in it
	signed    []*peer.Endorsement
}

// readTransaction takes a transaction of Fabric apart.
func readTransaction(raw []byte) (*transaction, error) {
	t := &transaction{envelope: new(common.Envelope)}
	var payload common.Payload
	var header common.ChannelHeader
	var by common.SignatureHeader
	var tx peer.Transaction
	if err := errors.Join(proto.Unmarshal(raw, t.envelope), proto.Unmarshal(t.envelope.GetPayload(), &payload),
		proto.Unmarshal(payload.GetHeader().GetChannelHeader(), &header), proto.Unmarshal(payload.GetHeader().GetSignatureHeader(), &by),
		proto.Unmarshal(payload.GetData(), &tx)); err != nil {
		return nil, err
	}
	if header.GetType() != int32(common.HeaderType_ENDORSER_TRANSACTION) || len(tx.GetActions()) != 1 {
		return nil, errors.New("not a transaction with one action")
	}
	t.channel, t.id, t.signer, t.nonce, t.header = header.GetChannelId(), header.GetTxId(), by.GetCreator(), by.GetNonce(), payload.GetHeader()
	return t, t.readAction(tx.GetActions()[0].GetPayload())
}

func (t *transaction) readAction(raw []byte) error {
	var payload peer.ChaincodeActionPayload
	var proposal peer.ChaincodeProposalPayload
	var call peer.ChaincodeInvocationSpec
	if err := errors.Join(proto.Unmarshal(raw, &payload), proto.Unmarshal(payload.GetChaincodeProposalPayload(), &proposal),
		proto.Unmarshal(proposal.GetInput(), &call)); err != nil {
		return err
	}
	args := call.GetChaincodeSpec().GetInput().GetArgs()
	if len(args) != 2 || string(args[0]) != chaincode.FunctionAppend && string(args[0]) != chaincode.FunctionAdopt {
		return errors.New("not a call that appends a block of a zone or adopts one")
	}
	t.function, t.arg = string(args[0]), args[1]
	t.proposal = payload.GetChaincodeProposalPayload()
	t.response, t.signed = payload.GetAction().GetProposalResponsePayload(), payload.GetAction().GetEndorsements()
	return nil
}

// check holds the parts of the transaction against each other: what was endorsed
// is the call that it carries. The chaincode is the one that was run: no peer looks at
// the name in the call.
func (t *transaction) check() error {
	if txID(t.nonce, t.signer) != t.id {
		return fail(StepTransaction, "its ID does not follow from its creator")
	}
	var payload peer.ProposalResponsePayload
	var action peer.ChaincodeAction
	if err := errors.Join(proto.Unmarshal(t.response, &payload), proto.Unmarshal(payload.GetExtension(), &action)); err != nil {
		return fail(StepTransaction, "what was endorsed: %v", err)
	}
	h := sha256.New()
	for _, part := range [][]byte{t.header.GetChannelHeader(), t.header.GetSignatureHeader(), t.proposal} {
		h.Write(part)
	}
	if string(h.Sum(nil)) != string(payload.GetProposalHash()) {
		return fail(StepTransaction, "another call was endorsed than the one that it carries")
	}
	t.chaincode, t.answer = action.GetChaincodeId().GetName(), action.GetResponse().GetPayload()
	if status := action.GetResponse().GetStatus(); status != 200 {
		return fail(StepTransaction, "the chaincode answered with status %d", status)
	}
	return nil
}

// content reads what the transaction gave to the chaincode. Another chaincode than
// ours may have a function of that name too, but does not answer with the header's hash.
func (t *transaction) content() (b *ledger.Block, h *ledger.Handover, err error) {
	var header *ledger.Header
	if t.function == chaincode.FunctionAdopt {
		if h, err = ledger.ParseHandover(t.arg); err == nil {
			header = &h.Header
		}
	} else if b, err = ledger.ParseBlock(t.arg); err == nil {
		header = &b.Header
	}
	if err != nil {
		return nil, nil, fail(StepZone, "%v", err)
	}
	if hash := header.Hash(); string(hash[:]) != string(t.answer) {
		return nil, nil, fail(StepZone, "the chaincode %q did not take it for block %d of a zone: is it Bellwether's?", t.chaincode, header.Number)
	}
	return b, h, nil
}

// creator checks who submitted the transaction.
func (t *transaction) creator(c *Channel) (string, error) {
	m, err := c.members.verify(t.signer, t.envelope.GetPayload(), t.envelope.GetSignature())
	if err != nil {
		return "", fail(StepCreator, "%v", err)
	}
	return m.msp, nil
}

// endorsements checks that peers of more than half of the organisations endorsed it.
func (t *transaction) endorsements(c *Channel) ([]string, error) {
	var by []string
	for i, e := range t.signed {
		msp, err := c.endorsed(t.response, e)
		if err != nil {
			return nil, fail(StepEndorsements, "endorsement %d: %v", i, err)
		}
		if !slices.Contains(by, msp) {
			by = append(by, msp)
		}
	}
	if 2*len(by) <= len(c.members) {
		return nil, fail(StepEndorsements, "%d of %d organisations endorsed it: %v", len(by), len(c.members), by)
	}
	slices.Sort(by)
	return by, nil
}

// endorsed checks one endorsement of a response. It gives the peer's organisation.
func (c *Channel) endorsed(response []byte, e *peer.Endorsement) (string, error) {
	m, err := c.members.verify(e.GetEndorser(), append(slices.Clone(response), e.GetEndorser()...), e.GetSignature())
	if err != nil {
		return "", err
	}
	if !m.isPeer() {
		return "", fmt.Errorf("%s of %s is not a peer", m.cert.Subject.CommonName, m.msp)
	}
	return m.msp, nil
}

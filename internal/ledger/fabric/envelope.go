package fabric

import (
	"encoding/hex"
	"errors"
	"fmt"
	"iter"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/chaincode"
)

// found is a call of our chaincode in a block of Fabric.
type found struct {
	at       place
	code     peer.TxValidationCode
	function string
	arg      []byte // a block of the zone, or the handover that it begins with
}

// err is nil for a valid one.
func (f found) err() error {
	if f.code == peer.TxValidationCode_VALID {
		return nil
	}
	return &InvalidError{Code: f.code.String()}
}

// header gives the header of the block, or of the one that is handed over.
func (f found) header() (*ledger.Header, error) {
	if f.function == chaincode.FunctionAdopt {
		h, err := ledger.ParseHandover(f.arg)
		if err != nil {
			return nil, err
		}
		return &h.Header, nil
	}
	b, err := ledger.ParseBlock(f.arg)
	if err != nil {
		return nil, err
	}
	return &b.Header, nil
}

// calls gives the calls in a block of Fabric by which blocks of the zone, or its
// handover, were given to the chaincode of that name, valid or not.
func calls(b *common.Block, name string) iter.Seq2[found, error] {
	return func(yield func(found, error) bool) {
		var flags []byte
		if m := b.GetMetadata().GetMetadata(); len(m) > int(common.BlockMetadataIndex_TRANSACTIONS_FILTER) {
			flags = m[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
		}
		for i, raw := range b.GetData().GetData() {
			if i >= len(flags) {
				yield(found{}, fmt.Errorf("transaction %d: the block does not say whether it is valid", i))
				return
			}
			f, ours, err := parseEnvelope(raw, name)
			f.code, f.at.At = peer.TxValidationCode(flags[i]), b.GetHeader().GetNumber()
			if !ours || err != nil && f.code != peer.TxValidationCode_VALID {
				continue // what anybody may have sent to the orderers
			}
			if err != nil {
				err = fmt.Errorf("transaction %d: %w", i, err)
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

// parseEnvelope finds in a transaction of Fabric what it gives to the chaincode of
// that name. ours is false for anything else, and true
// with an error for what could not be read.
func parseEnvelope(raw []byte, name string) (f found, ours bool, err error) {
	var envelope common.Envelope
	var payload common.Payload
	var header common.ChannelHeader
	var tx peer.Transaction
	if err := errors.Join(proto.Unmarshal(raw, &envelope), proto.Unmarshal(envelope.GetPayload(), &payload),
		proto.Unmarshal(payload.GetHeader().GetChannelHeader(), &header)); err != nil {
		return f, true, err
	}
	if header.GetType() != int32(common.HeaderType_ENDORSER_TRANSACTION) {
		return f, false, nil
	}
	if err := proto.Unmarshal(payload.GetData(), &tx); err != nil {
		return f, true, err
	}
	if len(tx.GetActions()) != 1 {
		return f, true, fmt.Errorf("%d actions in one transaction", len(tx.GetActions()))
	}
	var action peer.ChaincodeActionPayload
	if err := proto.Unmarshal(tx.GetActions()[0].GetPayload(), &action); err != nil {
		return f, true, err
	}
	if ran, err := chaincodeOf(&action); err != nil || ran != name {
		return f, err != nil, err
	}
	args, err := argsOf(&action)
	if err != nil {
		return f, true, err
	}
	if len(args) != 2 || string(args[0]) != chaincode.FunctionAppend && string(args[0]) != chaincode.FunctionAdopt {
		return f, false, nil
	}
	id, err := parseID(header.GetTxId())
	return found{at: place{ID: id}, function: string(args[0]), arg: args[1]}, true, err
}

// chaincodeOf gives the name of the chaincode that the endorsers ran. The name in
// the call says nothing: no peer looks at it.
func chaincodeOf(a *peer.ChaincodeActionPayload) (string, error) {
	var response peer.ProposalResponsePayload
	var ran peer.ChaincodeAction
	err := errors.Join(proto.Unmarshal(a.GetAction().GetProposalResponsePayload(), &response), proto.Unmarshal(response.GetExtension(), &ran))
	return ran.GetChaincodeId().GetName(), err
}

// argsOf gives what it was called with.
func argsOf(a *peer.ChaincodeActionPayload) ([][]byte, error) {
	var proposal peer.ChaincodeProposalPayload
	var call peer.ChaincodeInvocationSpec
	err := errors.Join(proto.Unmarshal(a.GetChaincodeProposalPayload(), &proposal), proto.Unmarshal(proposal.GetInput(), &call))
	return call.GetChaincodeSpec().GetInput().GetArgs(), err
}

// parseID reads a transaction's ID, 64 hexadecimal digits.
func parseID(text string) (id [32]byte, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("transaction ID %q: want %d hexadecimal digits", text, 2*len(id))
	}
	return [32]byte(raw), nil
}

package fabric

import (
	"testing"

	gateway "github.com/hyperledger/fabric-gateway/pkg/client"
	proposed "github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// TestFalseName: a member of the channel may have one chaincode run and say in the
// call that it is another one. The peers take that for valid; it is none of ours, and
// keeps nobody from going on.
func TestFalseName(t *testing.T) {
	t.Parallel()
	n, dir := up(t, network.Options{}), t.TempDir()
	o := Options{Connection: connection(n, 0), Patience: calmPatience}
	l := opened(t, dir, ledgertest.Master(), o)
	txs := history(t, 3)
	submit(t, l, txs[:2]...)
	commit(t, l)
	first, err := l.blocks.Read(0)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	falsely(t, defined(t, n, "other"), o.Connection.Chaincode, first)
	l = opened(t, dir, ledgertest.Master(), o)
	submit(t, l, txs[2])
	commit(t, l)
	want(t, l, txs...)
	want(t, opened(t, t.TempDir(), ledgertest.Master(), o), txs...)
}

// falsely appends a block to one chaincode in the name of another.
func falsely(t *testing.T, c Connection, name string, block []byte) {
	t.Helper()
	cl, err := connect(Options{Connection: c})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := cl.contract.NewProposal(chaincode.FunctionAppend, gateway.WithBytesArguments(block))
	must(err)
	raw, err := p.Bytes()
	must(err)
	var all proposed.ProposedTransaction
	var proposal peer.Proposal
	var payload peer.ChaincodeProposalPayload
	var call peer.ChaincodeInvocationSpec
	must(proto.Unmarshal(raw, &all))
	must(proto.Unmarshal(all.GetProposal().GetProposalBytes(), &proposal))
	must(proto.Unmarshal(proposal.GetPayload(), &payload))
	must(proto.Unmarshal(payload.GetInput(), &call))
	call.ChaincodeSpec.ChaincodeId.Name = name
	payload.Input = encoded(t, &call)
	proposal.Payload = encoded(t, &payload)
	all.Proposal.ProposalBytes = encoded(t, &proposal)
	p, err = cl.gateway.NewProposal(encoded(t, &all))
	must(err)
	tx, err := p.EndorseWithContext(t.Context())
	must(err)
	commit, err := tx.SubmitWithContext(t.Context())
	must(err)
	status, err := commit.StatusWithContext(t.Context())
	must(err)
	if !status.Successful {
		t.Fatalf("the peer says %s", status.Code)
	}
}

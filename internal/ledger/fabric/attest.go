package fabric

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/fxamacker/cbor/v2"
	gateway "github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	proposed "github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/journal"
	"bellwether/internal/ledger/fabric/evidence"
	"bellwether/internal/zone"
)

// Evidence gets from the channel what shows a stranger that block n of the zone
// stands there; see package evidence. It reads the directory and changes nothing,
// also beside the process that writes there.
func Evidence(ctx context.Context, dir string, o Options, n uint64) (*evidence.Evidence, error) {
	o.fill()
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	at, err := placeIn(dir, n)
	if err != nil {
		return nil, err
	}
	c, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.check(ctx, o); err != nil {
		return nil, err
	}
	var b common.Block
	if err := c.query(ctx, &b, "GetBlockByNumber", fmt.Sprint(at.Block)); err != nil {
		return nil, err
	}
	id := zone.Hash(at.ID).String()
	answer, err := c.signedAnswer(ctx, "GetTransactionByID", id)
	if err != nil {
		return nil, err
	}
	return evidence.Collect(&b, id, answer)
}

// placeIn reads where a block stands from a directory that others may write to.
func placeIn(dir string, n uint64) (at place, err error) {
	found := false
	j, err := journal.View(filepath.Join(dir, placesFile), placesKind, func(rec int, raw []byte) error {
		if rec == 0 || uint64(rec)-1 != n {
			return nil
		}
		found = true
		return cbor.Unmarshal(raw, &at)
	})
	if err != nil {
		return at, err
	}
	if err := j.Close(); err != nil {
		return at, err
	}
	if !found {
		return at, fmt.Errorf("the ledger in %s has no block %d", dir, n)
	}
	return at, nil
}

// signedAnswer asks the peer's system chaincode, and gives its answer with its
// signature, which the gateway's own calls leave out.
func (c *client) signedAnswer(ctx context.Context, function string, args ...string) (*peer.ProposalResponse, error) {
	p, err := c.network.GetContract("qscc").NewProposal(function, gateway.WithArguments(append([]string{c.connection.Channel}, args...)...))
	if err != nil {
		return nil, err
	}
	raw, err := p.Bytes()
	if err != nil {
		return nil, err
	}
	var prepared proposed.ProposedTransaction
	if err := proto.Unmarshal(raw, &prepared); err != nil {
		return nil, err
	}
	if prepared.Proposal.Signature, err = c.signer.sign(p.Digest()); err != nil {
		return nil, err
	}
	answer, err := peer.NewEndorserClient(c.conn).ProcessProposal(ctx, prepared.GetProposal())
	if err != nil {
		return nil, c.explain(err)
	}
	if answer.GetEndorsement() == nil {
		return nil, errors.Join(errors.New("the peer does not sign its answer"), errors.New(answer.GetResponse().GetMessage()))
	}
	return answer, nil
}

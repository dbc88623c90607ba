package fabric

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	gateway "github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	proposed "github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/canonical"
	"bellwether/internal/journal"
	"bellwether/internal/ledger/fabric/evidence"
	"bellwether/internal/zone"
)

// Evidence gets from the channel what shows a stranger that the zone's blocks of
// these numbers, in their order, stand there; see package evidence. For all from
// before a migration that is the handover, once and first; carried is how many
// there are of these. It reads the directory and changes nothing, also beside the
// process that writes there.
func Evidence(ctx context.Context, dir string, o Options, blocks []uint64) (all []*evidence.Evidence, carried uint64, err error) {
	o.fill()
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	places, carried, err := placesIn(dir, blocks)
	if err != nil {
		return nil, 0, err
	}
	c, err := connect(o)
	if err != nil {
		return nil, 0, err
	}
	defer c.close()
	if err := c.check(ctx, o); err != nil {
		return nil, 0, err
	}
	for _, at := range places {
		e, err := c.evidence(ctx, at)
		if err != nil {
			return nil, 0, fmt.Errorf("block %d: %w", at.Block, err)
		}
		all = append(all, e)
	}
	return all, carried, nil
}

func (c *client) evidence(ctx context.Context, at place) (*evidence.Evidence, error) {
	var b common.Block
	if err := c.query(ctx, &b, "GetBlockByNumber", fmt.Sprint(at.At)); err != nil {
		return nil, err
	}
	id := zone.Hash(at.ID).String()
	answer, err := c.signedAnswer(ctx, "GetTransactionByID", id)
	if err != nil {
		return nil, err
	}
	return evidence.Collect(&b, id, answer)
}

// placesIn reads where blocks stand from a directory that others may write to, and
// how many blocks the first place stands for.
func placesIn(dir string, blocks []uint64) (places []place, carried uint64, err error) {
	noted := map[uint64]place{}
	first := uint64(0)
	j, err := journal.View(filepath.Join(dir, placesFile), placesKind, func(rec int, raw []byte) error {
		var p place
		if rec == 0 {
			return nil
		}
		if err := canonical.Unmarshal(raw, &p); err != nil {
			return fmt.Errorf("%s, record %d: %w", placesFile, rec, err)
		}
		if rec == 1 {
			first = p.Block
		}
		noted[p.Block] = p
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if first > 0 {
		carried = first + 1
	}
	for _, n := range blocks {
		p, ok := noted[max(n, first)]
		if !ok {
			return nil, 0, errors.Join(fmt.Errorf("the ledger in %s has no block %d", dir, n), j.Close())
		}
		if len(places) == 0 || places[len(places)-1] != p {
			places = append(places, p)
		}
	}
	return places, carried, j.Close()
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

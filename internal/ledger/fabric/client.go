package fabric

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	gateway "github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/zone"
)

// statusWait is how long the driver waits for one submission before it submits
// the same bytes again.
const statusWait = 3 * time.Second

// client talks to one peer as one identity. It holds no state of the ledger.
type client struct {
	connection Connection
	signer     *signer
	conn       *grpc.ClientConn
	gateway    *gateway.Gateway
	network    *gateway.Network
	contract   *gateway.Contract
	warned     atomic.Int64 // day of the last warning, since 1970
}

// connect prepares a connection; nothing is sent yet. It comes back by itself
// when the peer does.
func connect(o Options) (*client, error) {
	c, err := o.Connection.resolve()
	if err != nil {
		return nil, err
	}
	creds, err := c.transport()
	if err != nil {
		return nil, err
	}
	s, err := c.signer(o.Log)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("dns:///"+c.Peer, append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 2 * time.Second,
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}),
		// A peer closes the connection of a client that asks more than once a minute.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 2 * time.Minute, Timeout: 20 * time.Second}),
	}, o.dial...)...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fabric.peer %q: %w", c.Peer, err), s.close())
	}
	g, err := gateway.Connect(s.id, gateway.WithSign(s.sign), gateway.WithHash(s.hash), gateway.WithClientConnection(conn))
	if err != nil {
		return nil, errors.Join(err, conn.Close(), s.close())
	}
	n := g.GetNetwork(c.Channel)
	return &client{connection: c, signer: s, conn: conn, gateway: g, network: n, contract: n.GetContract(c.Chaincode)}, nil
}

// maxMessage is the largest message to and from a peer, in bytes: its own limit.
const maxMessage = 100 << 20

func (c *client) close() error {
	return errors.Join(c.gateway.Close(), c.conn.Close(), c.signer.close())
}

// valid checks the identity's certificate against the clock. When it will expire
// soon that is logged, once a day.
func (c *client) valid(o Options, now time.Time) error {
	if err := c.signer.holds(c.connection, now); err != nil {
		return err
	}
	day := now.Unix() / 86400
	if left := c.signer.cert.NotAfter.Sub(now); left < o.Warn && c.warned.Swap(day) != day {
		o.Log.Warn("the certificate for Fabric expires soon; nothing can be recorded after that: have a new one issued",
			"file", c.connection.Cert, "expires", c.signer.cert.NotAfter, "days_left", int(left.Hours()/24))
	}
	return nil
}

// check makes sure that the channel's chaincode goes by the rules of this program.
func (c *client) check(ctx context.Context, o Options) error {
	if err := c.valid(o, time.Now()); err != nil {
		return err
	}
	version, err := c.evaluate(ctx, c.contract, chaincode.FunctionVersion)
	if err != nil {
		return err
	}
	if string(version) != chaincode.Version {
		return fmt.Errorf("the chaincode %q on channel %q says it is %q, this program's is %q: run the same version of Bellwether on both sides",
			c.connection.Chaincode, c.connection.Channel, version, chaincode.Version)
	}
	return nil
}

// evaluate asks the peer, again while it cannot be reached.
func (c *client) evaluate(ctx context.Context, contract *gateway.Contract, function string, args ...string) ([]byte, error) {
	for p := (pauses{}); ; {
		out, err := contract.EvaluateWithContext(ctx, function, gateway.WithArguments(args...))
		if err == nil {
			return out, nil
		}
		if !transient(err) || p.wait(ctx) != nil {
			return nil, c.explain(err)
		}
	}
}

// query asks a chaincode that every peer has.
func (c *client) query(ctx context.Context, into proto.Message, function string, args ...string) error {
	raw, err := c.evaluate(ctx, c.network.GetContract("qscc"), function, append([]string{c.connection.Channel}, args...)...)
	if err != nil {
		return err
	}
	return proto.Unmarshal(raw, into)
}

// height is how many blocks of Fabric the channel has.
func (c *client) height(ctx context.Context) (uint64, error) {
	var info common.BlockchainInfo
	err := c.query(ctx, &info, "GetChainInfo")
	return info.GetHeight(), err
}

// firstBlock gives the SHA-256 of the data of the channel's first block, its
// configuration: no other channel has the same.
func (c *client) firstBlock(ctx context.Context) (zone.Hash, error) {
	var b common.Block
	if err := c.query(ctx, &b, "GetBlockByNumber", "0"); err != nil {
		return zone.Hash{}, err
	}
	if len(b.GetHeader().GetDataHash()) != len(zone.Hash{}) {
		return zone.Hash{}, errors.New("the channel's first block has no hash of its data")
	}
	return zone.Hash(b.GetHeader().GetDataHash()), nil
}

// origin says which channel it is.
func (c *client) origin(ctx context.Context) (origin, error) {
	first, err := c.firstBlock(ctx)
	return origin{Channel: c.connection.Channel, Chaincode: c.connection.Chaincode, First: first}, err
}

// read gives the valid calls for the zone in blocks from to height-1 of Fabric. It
// waits so long for each block; there may be any number of them. An
// error is the last yield.
func (c *client) read(ctx context.Context, from, height uint64, patience time.Duration) iter.Seq2[found, error] {
	return func(yield func(found, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		quiet := time.AfterFunc(patience, cancel)
		defer quiet.Stop()
		events, err := c.network.BlockEvents(ctx, gateway.WithStartBlock(from))
		if err != nil {
			cancel()
			yield(found{}, c.explain(err))
			return
		}
		defer func() { // the library's goroutine ends when nobody keeps it waiting
			cancel()
			for range events {
			}
		}()
		for next := from; next < height; next++ {
			quiet.Reset(patience)
			b, ok := <-events
			if !ok || b.GetHeader().GetNumber() != next {
				yield(found{}, fmt.Errorf("the peer %s stopped giving blocks of Fabric at %d of %d", c.connection.Peer, next, height))
				return
			}
			for f, err := range calls(b, c.connection.Chaincode) {
				if err == nil && f.err() != nil {
					continue
				}
				if !yield(f, err) || err != nil {
					return
				}
			}
		}
	}
}

// endorse has the peers run the chaincode for block n, and signs what they answer.
func (c *client) endorse(ctx context.Context, function string, n uint64, arg []byte) (*outbox, error) {
	proposal, err := c.contract.NewProposal(function, gateway.WithBytesArguments(arg))
	if err != nil {
		return nil, err
	}
	tx, err := proposal.EndorseWithContext(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	id, err := parseID(tx.TransactionID())
	if err != nil {
		return nil, err
	}
	unsigned, err := tx.Bytes()
	if err != nil {
		return nil, err
	}
	signature, err := c.signer.sign(tx.Digest())
	if err != nil {
		return nil, err
	}
	if tx, err = c.gateway.NewSignedTransaction(unsigned, signature); err != nil {
		return nil, err
	}
	prepared, err := tx.Bytes()
	return &outbox{Block: n, ID: id, Prepared: prepared}, err
}

// submit hands in the outbox's bytes and waits a while for what becomes of them.
// known says that it did: then the error is an *InvalidError or nil.
func (c *client) submit(ctx context.Context, o *outbox) (at place, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	tx, err := c.gateway.NewTransaction(o.Prepared)
	if err != nil {
		return place{}, false, err
	}
	commit, err := tx.SubmitWithContext(ctx)
	if err != nil {
		return place{}, false, c.explain(err)
	}
	status, err := commit.StatusWithContext(ctx)
	if err != nil {
		return place{}, false, c.explain(err)
	}
	f := found{at: place{At: status.BlockNumber, ID: o.ID}, code: status.Code}
	return f.at, true, f.err()
}

// lookUp asks whether the channel has the transaction already.
func (c *client) lookUp(ctx context.Context, o *outbox) (found, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	var b common.Block
	raw, err := c.network.GetContract("qscc").EvaluateWithContext(ctx, "GetBlockByTxID",
		gateway.WithArguments(c.connection.Channel, zone.Hash(o.ID).String()))
	if err != nil {
		return found{}, false, err
	}
	if err := proto.Unmarshal(raw, &b); err != nil {
		return found{}, false, err
	}
	// Of several with this ID the first one counts; the others are duplicates.
	for f, err := range calls(&b, c.connection.Chaincode) {
		if err != nil {
			return found{}, false, err
		}
		if f.at.ID == o.ID && f.code != peer.TxValidationCode_DUPLICATE_TXID {
			return f, true, nil
		}
	}
	return found{}, false, nil
}

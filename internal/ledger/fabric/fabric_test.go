package fabric

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/nodes"
	"bellwether/internal/ledger/ledgertest"
)

// TestMain is the chaincode's process when it is called as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasSuffix(os.Args[1], "chaincode") {
		if err := serve(os.Args[1] != "chaincode", os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// otherRules is a chaincode of another version.
type otherRules struct{ chaincode.Contract }

func (otherRules) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	return shim.Success([]byte("bellwether/chaincode/other"))
}

func serve(other bool, args []string) error {
	f := flag.NewFlagSet("chaincode", flag.ContinueOnError)
	id, listen, cert, key := f.String("id", "", ""), f.String("listen", "", ""), f.String("cert", "", ""), f.String("key", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	if other {
		server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
		peer.RegisterChaincodeServer(server, &shim.ChaincodeServer{CCID: *id, CC: otherRules{}})
		return server.Serve(l)
	}
	return chaincode.Server{ID: *id, Certificate: &pair}.Serve(context.Background(), l)
}

// programs gives the built nodes. Where they cannot be had the test says so, and
// fails where CI=true.
func programs(t testing.TB) string {
	t.Helper()
	if testing.Short() || os.Getenv("BELLWETHER_TEST_FABRIC") == "" {
		t.Skip("a real Fabric network is tried with BELLWETHER_TEST_FABRIC=1, not with -short")
	}
	module, err := nodes.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := nodes.Cache()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := nodes.Build(t.Context(), module, cache, nil)
	if errors.Is(err, nodes.ErrUnavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// options are those of every network here, with no directory yet.
func options(t testing.TB) network.Options {
	return network.Options{Dir: ".", Programs: programs(t), Chaincode: []string{os.Args[0], "chaincode"}, Tied: true}
}

// up makes a network that ends with the test.
func up(t testing.TB, o network.Options) *network.Network {
	t.Helper()
	with := options(t)
	o.Programs, o.Chaincode, o.Tied = with.Programs, with.Chaincode, with.Tied
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	n, err := network.Up(ctx, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// connection is how organisation number i of a network is used.
func connection(n *network.Network, i int) Connection {
	g := n.Gateway(i)
	return Connection{Peer: g.Peer, TLSCA: g.TLSCA, MSP: g.MSP, Cert: g.Cert, Key: g.Key, Channel: g.Channel, Chaincode: g.Chaincode}
}

func opened(t testing.TB, dir string, master crypto.Signer, o Options) *Ledger {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	l, err := Open(t.Context(), dir, master, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestRaft(t *testing.T) {
	t.Parallel()
	conformance(t, network.Options{})
}

func TestBFT(t *testing.T) {
	t.Parallel()
	conformance(t, network.Options{Orderers: network.BFT4})
}

// conformance runs the suite on one network, with a chaincode of its own, and so
// an empty state, for each test.
func conformance(t *testing.T, o network.Options) {
	n, tests := up(t, o), 0
	ledgertest.Test(t, func(tb testing.TB) ledgertest.Place {
		tests++
		dir, f := tb.TempDir(), &fault{}
		c := defined(tb, n, fmt.Sprintf("zone%d", tests))
		return ledgertest.Place{
			Open: func(tb testing.TB, master crypto.Signer) ledger.Ledger {
				return &faulty{opened(tb, dir, master, Options{Connection: c, Patience: calmPatience, dial: f.options()}), f}
			},
			Fail: f.set,
		}
	})
}

// defined puts another chaincode on the network's channel.
func defined(t testing.TB, n *network.Network, name string) Connection {
	t.Helper()
	if err := n.Define(t.Context(), options(t), name); err != nil {
		t.Fatal(err)
	}
	c := connection(n, 0)
	c.Chaincode = name
	return c
}

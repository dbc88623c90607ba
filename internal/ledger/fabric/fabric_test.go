package fabric

import (
	"crypto"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/networktest"
	"bellwether/internal/ledger/ledgertest"
)

// withOtherRules makes this test program a chaincode of another version.
const withOtherRules = "another-chaincode"

func TestMain(m *testing.M) {
	networktest.Main()
	if len(os.Args) > 1 && os.Args[1] == withOtherRules {
		fmt.Fprintln(os.Stderr, serveOther(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// otherRules is a chaincode of another version.
type otherRules struct{ chaincode.Contract }

func (otherRules) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	return shim.Success([]byte("bellwether/chaincode/other"))
}

func serveOther(args []string) error {
	s, l, err := networktest.Listen(args)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(s.Certificate)))
	peer.RegisterChaincodeServer(server, &shim.ChaincodeServer{CCID: s.ID, CC: otherRules{}})
	return server.Serve(l)
}

func up(t testing.TB, o network.Options) *network.Network {
	t.Helper()
	return networktest.Up(t, o)
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
	if err := n.Define(t.Context(), networktest.Options(t, network.Options{}), name); err != nil {
		t.Fatal(err)
	}
	c := connection(n, 0)
	c.Chaincode = name
	return c
}

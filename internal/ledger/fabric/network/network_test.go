package network

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/fabric/nodes"
)

// TestMain is the chaincode's process when it is called as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "chaincode" {
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serve(args []string) error {
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
	return chaincode.Server{ID: *id, Certificate: &pair}.Serve(context.Background(), l)
}

// programs gives the built nodes. Where they cannot be had the test says so, and
// fails where CI=true.
func programs(t *testing.T) string {
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

func up(t *testing.T, o Options) *Network {
	t.Helper()
	o.Programs, o.Chaincode, o.Tied = programs(t), []string{os.Args[0], "chaincode"}, true
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	began := time.Now()
	n, err := Up(ctx, o, func(step string) { t.Logf("%4d ms: %s", time.Since(began).Milliseconds(), step) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%4d ms: up", time.Since(began).Milliseconds())
	return n
}

// TestUp makes one network of each kind, stops it, and starts it again.
func TestUp(t *testing.T) {
	for name, o := range map[string]Options{
		"raft": {}, "three orderers, two organisations": {Orderers: Raft3, Orgs: 2}, "BFT": {Orderers: BFT4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Dir = t.TempDir()
			n := up(t, o)
			first := running(t, n)
			if err := n.Down(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, node := range n.Status() {
				if node.PID != 0 {
					t.Errorf("%s still runs", node.Name)
				}
			}
			for _, pid := range first {
				if started(pid) != "" {
					t.Errorf("process %d still runs", pid)
				}
			}
			again := running(t, up(t, o))
			if len(again) != len(first) {
				t.Errorf("%d nodes, %d after starting again", len(first), len(again))
			}
		})
	}
}

// running gives the processes of all nodes, which must run.
func running(t *testing.T, n *Network) (pids []int) {
	t.Helper()
	nodes := n.Status()
	if len(nodes) < 3 {
		t.Fatalf("only %d nodes", len(nodes))
	}
	for _, node := range nodes {
		if node.PID == 0 || node.RSS < 1<<20 {
			t.Errorf("%s does not run: %+v", node.Name, node)
		}
		pids = append(pids, node.PID)
	}
	return pids
}

// TestInterrupted: a network whose making was cut off leaves no process, and is
// made anew by the next call.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	o := Options{Dir: t.TempDir(), Programs: programs(t), Chaincode: []string{os.Args[0], "chaincode"}, Tied: true}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Up(ctx, o, func(step string) {
		if step == "install the chaincode" {
			cancel()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "install the chaincode") {
		t.Fatalf("a cancelled Up gives %v", err)
	}
	n, err := Open(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range n.Status() {
		if node.PID != 0 {
			t.Errorf("%s still runs", node.Name)
		}
	}
	running(t, up(t, o))
}

// TestKill: a killed node is seen as not running, and started again.
func TestKill(t *testing.T) {
	t.Parallel()
	o := Options{Dir: t.TempDir()}
	n := up(t, o)
	for _, node := range n.Status() {
		if err := n.Kill(node.Name); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range n.Status() {
		if node.PID != 0 {
			t.Errorf("%s still runs", node.Name)
		}
	}
	running(t, up(t, o))
	if err := n.Kill("nobody"); err == nil {
		t.Error("a node that is not there was killed")
	}
}

// TestOptions: what cannot be is refused before anything is made.
func TestOptions(t *testing.T) {
	built := t.TempDir()
	for _, name := range []string{nodes.Peer, nodes.Orderer, nodes.Configtxgen, nodes.Osnadmin, nodes.PeerConfig, nodes.OrdererConfig} {
		if err := os.WriteFile(filepath.Join(built, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	good := Options{Dir: t.TempDir(), Programs: built, Chaincode: []string{"x"}}
	for name, change := range map[string]func(*Options){
		"directory":     func(o *Options) { o.Dir = "" },
		"in use":        func(o *Options) { o.Dir = full },
		"programs":      func(o *Options) { o.Programs = t.TempDir() },
		"chaincode":     func(o *Options) { o.Chaincode = nil },
		"orderers":      func(o *Options) { o.Orderers = "2" },
		"organisations": func(o *Options) { o.Orgs = 9 },
		"fewer":         func(o *Options) { o.Orgs = -1 },
	} {
		o := good
		change(&o)
		if _, err := Up(t.Context(), o, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("Open of an empty directory: %v", err)
	}
	if entries, err := os.ReadDir(full); err != nil || len(entries) > 2 {
		t.Errorf("a directory of others now holds %v", entries)
	}
}

// TestPID: a number that another process got meanwhile is not taken for the node.
func TestPID(t *testing.T) {
	p := &process{dir: t.TempDir()}
	mine := os.Getpid()
	for text, want := range map[string]int{
		fmt.Sprintf("%d %s\n", mine, started(mine)): mine,
		fmt.Sprintf("%d 1\n", mine):                 0,
		fmt.Sprintf("%d\n", mine):                   0,
		"":                                          0,
		"x y":                                       0,
	} {
		if err := os.WriteFile(p.file("pid"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := p.pid(); got != want {
			t.Errorf("%q gives process %d, want %d", text, got, want)
		}
	}
}

// TestPortTaken: a port that another program took after it was chosen is given
// up for others, as long as the network is new.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	o := Options{Dir: t.TempDir(), Programs: programs(t), Chaincode: []string{os.Args[0], "chaincode"}, Tied: true}
	var taken net.Listener
	n, err := Up(t.Context(), o, func(step string) {
		if step != "make certificates" || taken != nil {
			return
		}
		chosen, err := Open(o.Dir)
		if err != nil {
			t.Error(err)
			return
		}
		if taken, err = net.Listen("tcp", chosen.Gateway(0).Peer); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	t.Cleanup(func() { n.Down(context.Background()) })
	if n.Gateway(0).Peer == taken.Addr().String() {
		t.Error("the peer listens where another program does")
	}
	running(t, n)
	if got, err := ports(3, "x"); err != nil || len(got) != 3 {
		t.Errorf("ports gives %v, %v", got, err)
	}
}

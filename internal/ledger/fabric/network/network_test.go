package network_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/networktest"
	"bellwether/internal/ledger/fabric/nodes"
)

func TestMain(m *testing.M) {
	networktest.Main()
	os.Exit(m.Run())
}

// TestUp makes one network of each kind, stops it, and starts it again.
func TestUp(t *testing.T) {
	for name, o := range map[string]network.Options{
		"raft": {}, "three orderers, two organisations": {Orderers: network.Raft3, Orgs: 2}, "BFT": {Orderers: network.BFT4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Dir = t.TempDir()
			n := networktest.Up(t, o)
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
				if network.Runs(pid) {
					t.Errorf("process %d still runs", pid)
				}
			}
			again := running(t, networktest.Up(t, o))
			if len(again) != len(first) {
				t.Errorf("%d nodes, %d after starting again", len(first), len(again))
			}
		})
	}
}

// running gives the processes of all nodes, which must run.
func running(t *testing.T, n *network.Network) (pids []int) {
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
	o := networktest.Options(t, network.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := network.Up(ctx, o, func(step string) {
		if step == "install the chaincode" {
			cancel()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "install the chaincode") {
		t.Fatalf("a cancelled Up gives %v", err)
	}
	n, err := network.Open(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range n.Status() {
		if node.PID != 0 {
			t.Errorf("%s still runs", node.Name)
		}
	}
	running(t, networktest.Up(t, o))
}

// TestKill: a killed node is seen as not running, and started again.
func TestKill(t *testing.T) {
	t.Parallel()
	o := network.Options{Dir: t.TempDir()}
	n := networktest.Up(t, o)
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
	running(t, networktest.Up(t, o))
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
	good := network.Options{Dir: t.TempDir(), Programs: built, Chaincode: []string{"x"}}
	for name, change := range map[string]func(*network.Options){
		"directory":     func(o *network.Options) { o.Dir = "" },
		"in use":        func(o *network.Options) { o.Dir = full },
		"programs":      func(o *network.Options) { o.Programs = t.TempDir() },
		"chaincode":     func(o *network.Options) { o.Chaincode = nil },
		"orderers":      func(o *network.Options) { o.Orderers = "2" },
		"organisations": func(o *network.Options) { o.Orgs = 9 },
		"fewer":         func(o *network.Options) { o.Orgs = -1 },
	} {
		o := good
		change(&o)
		if _, err := network.Up(t.Context(), o, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := network.Open(t.TempDir()); !errors.Is(err, network.ErrNone) {
		t.Errorf("Open of an empty directory: %v", err)
	}
	if entries, err := os.ReadDir(full); err != nil || len(entries) > 2 {
		t.Errorf("a directory of others now holds %v", entries)
	}
}

// TestAnotherNetwork: what was made with other orderers or organisations, or by another
// version, is not taken for what is asked for.
func TestAnotherNetwork(t *testing.T) {
	programs := t.TempDir()
	for _, name := range []string{nodes.Peer, nodes.Orderer, nodes.Configtxgen, nodes.Osnadmin, nodes.PeerConfig, nodes.OrdererConfig} {
		if err := os.WriteFile(filepath.Join(programs, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		spec, says string
		o          network.Options
	}{
		{`{"format": "bellwether fabric network 1", "ready": true, "orderers": "1", "organisations": [{}]}`, "with orderers 1 and 1 organisations", network.Options{Orderers: network.BFT4}},
		{`{"format": "bellwether fabric network 1", "ready": true, "orderers": "1", "organisations": [{}]}`, "with orderers 1 and 1 organisations", network.Options{Orgs: 2}},
		{`{"format": "other"}`, `its format is "other"`, network.Options{}},
		{`{`, "unexpected end", network.Options{}},
	} {
		tt.o.Dir, tt.o.Programs, tt.o.Chaincode = t.TempDir(), programs, []string{"x"}
		if err := os.WriteFile(filepath.Join(tt.o.Dir, "network.json"), []byte(tt.spec), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := network.Up(t.Context(), tt.o, nil); err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: got %v, want %q", tt.spec, err, tt.says)
		}
	}
}

// TestPortTaken: a port that another program takes after it was chosen ends the
// making, with an error that names it; the next call chooses others.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	o := networktest.Options(t, network.Options{})
	var taken net.Listener
	_, err := network.Up(t.Context(), o, func(step string) {
		if step != "make certificates" {
			return
		}
		chosen, err := network.Open(o.Dir)
		if err != nil {
			t.Error(err)
			return
		}
		if taken, err = net.Listen("tcp", chosen.Gateway(0).Peer); err != nil {
			t.Error(err)
		}
	})
	if taken == nil {
		t.Fatalf("no port was chosen: %v", err)
	}
	defer taken.Close()
	if err == nil || !strings.Contains(err.Error(), "another program listens on "+taken.Addr().String()) {
		t.Errorf("with its port taken: %v", err)
	}
	n := networktest.Up(t, o)
	if n.Gateway(0).Peer == taken.Addr().String() {
		t.Error("the peer listens where another program does")
	}
	running(t, n)
}

// TestNodeEnds: a node that ends while the network is made ends the making, and
// its log is in the error.
func TestNodeEnds(t *testing.T) {
	t.Parallel()
	o := networktest.Options(t, network.Options{})
	_, err := network.Up(t.Context(), o, func(step string) {
		if step != "approve the chaincode" {
			return
		}
		n, err := network.Open(o.Dir)
		if err == nil {
			err = n.Kill("orderer1")
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "orderer1 ended; its log") {
		t.Errorf("with its orderer killed: %v", err)
	}
}

// Package network runs a Hyperledger Fabric network on one machine: orderers,
// peers and chaincode as plain processes, without containers, in one directory.
// It is a real network in everything but the distance between its nodes; for
// several machines see docs/fabric.md.
//
// Each network listens on a loopback address of its own, 127.x.y.z by its
// directory: the ports stand in the channel's first block, and another network
// would take them while this one is down.
//
// # What it makes
//
// One organisation of orderers, and one or more with a peer each, every one with
// a certificate authority for identities and one for TLS. All connections are
// TLS, the orderers' admin port with client certificates. The channel has the
// capability V3_0, under which Bellwether's own identity has an Ed25519 key.
// Every private key lies in the directory, readable by its owner: who can read
// the directory is the network.
//
// # Processes
//
// The nodes go on when the program that started them ends, unless asked
// otherwise. Each leaves its process ID, with the time at which the kernel says
// it started, in its directory, so that Status and Down never take another
// process for it; what it says goes to its log.
package network

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"bellwether/internal/durable"
	"bellwether/internal/ledger/fabric/nodes"
)

// The ways to order transactions.
const (
	Raft1 = "1"     // one orderer
	Raft3 = "3"     // three with raft: one may fail
	BFT4  = "4-bft" // four with SmartBFT: one may lie
)

// Options say what network to make. Zero fields take the defaults named.
type Options struct {
	Dir      string // everything is in it; needed
	Programs string // peer, orderer and their tools, see package nodes; needed
	// Chaincode is the command that runs the chaincode; flags are added as
	// `bellwether chaincode` takes them. Needed.
	Chaincode []string
	Orderers  string // Raft1, Raft3 or BFT4; empty: what is there, for a new network Raft1
	Orgs      int    // organisations with a peer, 1 to 8; 0: what is there, for a new network 1
	// BatchTimeout is how long an orderer waits for more before it closes a block
	// of a new network, if BatchTxs is above 1: 50 ms.
	BatchTimeout time.Duration
	// BatchTxs is how many transactions close a block of a new network: 1, since
	// a transaction is a whole block of the zone already.
	BatchTxs int
	// Tied ends the nodes when this process ends, however it does.
	Tied bool
}

// The names on every network made here.
const (
	Channel   = "bellwether"
	Chaincode = "bellwether"
)

const maxOrgs = 8

func (o *Options) fill() error {
	if o.Dir == "" || o.Programs == "" || len(o.Chaincode) == 0 {
		return errors.New("a network needs a directory, the programs and the command of the chaincode")
	}
	if !slices.Contains([]string{"", Raft1, Raft3, BFT4}, o.Orderers) {
		return fmt.Errorf("orderers %q: want %s, %s or %s", o.Orderers, Raft1, Raft3, BFT4)
	}
	if o.Orgs < 0 || o.Orgs > maxOrgs {
		return fmt.Errorf("%d organisations: want 1 to %d", o.Orgs, maxOrgs)
	}
	if o.BatchTimeout == 0 {
		o.BatchTimeout = 50 * time.Millisecond
	}
	if o.BatchTxs == 0 {
		o.BatchTxs = 1
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	if o.Programs, err = filepath.Abs(o.Programs); err != nil {
		return err
	}
	return nodes.Check(o.Programs)
}

// spec is the file network.json: what the network is made of.
type spec struct {
	Format       string        `json:"format"`
	Ready        bool          `json:"ready"` // it was brought up once
	Host         string        `json:"host"`  // where every node listens
	Orderers     string        `json:"orderers"`
	BatchTimeout time.Duration `json:"batch_timeout_ns"`
	BatchTxs     int           `json:"batch_transactions"`
	Nodes        []orderer     `json:"orderer_nodes"`
	Orgs         []org         `json:"organisations"`
}

type orderer struct {
	Name  string `json:"name"`
	Port  int    `json:"port"`
	Admin int    `json:"admin_port"`
}

type org struct {
	Name      string `json:"name"`
	Peer      int    `json:"peer_port"`
	Chaincode int    `json:"chaincode_port"`
}

// msp is the name of an organisation's identities on the channel.
func (o org) msp() string { return o.Name + "MSP" }

const ordererMSP = "OrdererMSP"

const (
	specFile   = "network.json"
	specFormat = "bellwether fabric network 1"
)

// Network is a network in a directory. Make one with Up or Open.
type Network struct {
	dir  string
	spec spec
}

// ErrNone is matched by the error of Open when there is no network in the directory.
var ErrNone = errors.New("there is no network")

// Open finds the network in a directory; nothing is started.
func Open(dir string) (*Network, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, specFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s; `bellwether fabric up --dir %s` makes one", ErrNone, dir, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	n := &Network{dir: dir}
	err = json.Unmarshal(raw, &n.spec)
	if err == nil && n.spec.Format != specFormat {
		err = fmt.Errorf("its format is %q", n.spec.Format)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not a description of a network of this version (%q): %w", filepath.Join(dir, specFile), specFormat, err)
	}
	n.spec.Host = cmp.Or(n.spec.Host, "127.0.0.1") // of all networks before they had addresses of their own
	return n, nil
}

func (n *Network) path(parts ...string) string {
	return filepath.Join(append([]string{n.dir}, parts...)...)
}

func (n *Network) save() error {
	raw, err := json.MarshalIndent(n.spec, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(n.path(specFile), append(raw, '\n'), 0o644)
}

// lock keeps other programs from starting and stopping nodes at the same time.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another program is starting or stopping the network in %s (%w)", dir, err)
	}
	return func() {
		// A child between fork and exec has the file open too, and would keep the lock.
		syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		f.Close()
	}, nil
}

// Down stops every node: politely, and after 5 s for good. What is on the ledger
// stays, and Up starts it again.
func (n *Network) Down(ctx context.Context) error {
	unlock, err := lock(n.dir)
	if err != nil {
		return err
	}
	defer unlock()
	return n.stop(ctx)
}

func (n *Network) stop(ctx context.Context) error {
	all := n.processes(Options{})
	slices.Reverse(all) // chaincode, peers, orderers
	for _, p := range all {
		p.signal(syscall.SIGTERM)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, p := range all {
		for p.pid() != 0 {
			if pause(ctx, 20*time.Millisecond) != nil {
				p.signal(syscall.SIGKILL)
			}
			if ctx.Err() != nil && p.pid() != 0 {
				time.Sleep(20 * time.Millisecond) // it was killed: the kernel takes it away
			}
		}
		if err := os.Remove(p.file("pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("stop %s: %w", p.name, err)
		}
	}
	return nil
}

// pause waits, or gives the context's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"bellwether/internal/ledger/fabric"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/nodes"
)

// fabricList is the list fabric: the ledger on Hyperledger Fabric.
func (b *bench) fabricList() []check {
	return []check{
		{"the conformance suite on every driver", b.conforms},
		{"the same replay on one machine and on Fabric", b.replayedOnFabric},
		{"kills", b.fabricKilled},
		{"throughput", b.throughput},
		{"an outsider's bundle", b.fabricProven},
		{"two organisations", b.twoOrganisations},
	}
}

// fabricNet is a network under test.
type fabricNet struct {
	*network.Network
	o network.Options
}

// network makes a network whose nodes end with this program.
func (b *bench) network(o network.Options) (*fabricNet, error) {
	module, err := nodes.Find(".")
	if err != nil {
		return nil, err
	}
	cache, err := nodes.Cache()
	if err != nil {
		return nil, err
	}
	if o.Programs, err = nodes.Build(context.Background(), module, cache, nil); err != nil {
		return nil, err
	}
	if o.Dir, err = b.scratch("network"); err != nil {
		return nil, err
	}
	o.Chaincode, o.Tied = []string{b.binary, "chaincode"}, true
	n, err := network.Up(context.Background(), o, nil)
	return &fabricNet{n, o}, err
}

// again starts what was killed.
func (n *fabricNet) again() error {
	_, err := network.Up(context.Background(), n.o, nil)
	return err
}

func (n *fabricNet) down() { n.Down(context.Background()) }

// connection uses the network's first organisation, with a chaincode of that
// name; a new one is defined first.
func (n *fabricNet) connection(name string) (fabric.Connection, error) {
	g := n.Gateway(0)
	if name != g.Chaincode {
		if err := n.Define(context.Background(), n.o, name); err != nil {
			return fabric.Connection{}, err
		}
	}
	return fabric.Connection{Peer: g.Peer, TLSCA: g.TLSCA, MSP: g.MSP, Cert: g.Cert, Key: g.Key, Channel: g.Channel, Chaincode: name}, nil
}

// configuration writes a configuration file that uses the network, with text before it.
func (b *bench) configuration(n *fabricNet, name, text string) (string, error) {
	g := n.Gateway(0)
	g.Chaincode = name
	dir, err := b.scratch("configuration")
	if err != nil {
		return "", err
	}
	path := dir + ".yaml"
	used := g.Config()
	if strings.Contains(text, "ledger:") {
		used = strings.TrimPrefix(used, "ledger:\n") // text ends with the ledger's keys
	}
	return path, os.WriteFile(path, []byte(text+used), 0o600)
}

// conforms runs the suite as `make test` does.
func (b *bench) conforms(o *outcome) error {
	o.goal = "green on embedded, the fake in memory, raft with one orderer and BFT with four, with both faults"
	for _, t := range []struct {
		driver, pkg, test string
		faults            bool
	}{
		{"embedded", "./internal/ledger/embedded", "TestConformance", false},
		{"fake", "./internal/ledger/ledgertest", "TestFake", true},
		{"raft", "./internal/ledger/fabric", "TestRaft", true},
		{"BFT", "./internal/ledger/fabric", "TestBFT", true},
	} {
		passed, skipped, failed, err := tested(t.pkg, t.test)
		if err != nil {
			return err
		}
		faults := 0
		for _, name := range passed {
			if strings.HasSuffix(name, "/FailLost") || strings.HasSuffix(name, "/FailKept") {
				faults++
			}
		}
		ok := len(failed) == 0 && len(passed) > 10 && (!t.faults || faults == 2)
		o.need(ok, "%s: %d passed, of them %d with a fault, %d failed %q, %d left out", t.driver, len(passed), faults, len(failed), failed, len(skipped))
	}
	o.say("a commit of the embedded ledger is one fdatasync and cannot be made to fail from outside: its own tests break disk and signer")
	return nil
}

// tested runs one test and gives the names of its parts.
func tested(pkg, name string) (passed, skipped, failed []string, err error) {
	cmd := exec.Command("go", "test", "-count=1", "-json", "-run", "^"+name+"$", pkg)
	cmd.Env = append(os.Environ(), "CI=true")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	for line := range bytes.Lines(out) {
		var e struct{ Action, Test string }
		if json.Unmarshal(line, &e) != nil || e.Test == "" {
			continue
		}
		switch e.Action {
		case "pass":
			passed = append(passed, e.Test)
		case "skip":
			skipped = append(skipped, e.Test)
		case "fail":
			failed = append(failed, e.Test)
		}
	}
	if len(passed)+len(failed) == 0 {
		return nil, nil, nil, fmt.Errorf("go test %s of %s ran nothing: %w: %s", name, pkg, err, said.Bytes())
	}
	return passed, skipped, failed, nil
}

// replayedOnFabric replays the zone once more on a network.
func (b *bench) replayedOnFabric(o *outcome) error {
	o.goal = "the same transactions, blocks, state, rows and trust, entry for entry"
	if err := b.learnZone(); err != nil {
		return err
	}
	n, err := b.network(network.Options{})
	if err != nil {
		return err
	}
	defer n.down()
	state, err := b.keyed(b.state)
	if err != nil {
		return err
	}
	config, err := b.configuration(n, network.Chaincode, "")
	if err != nil {
		return err
	}
	r, _, err := b.replay(state, append([]string{"--config", config}, b.learnAndWatch()...)...)
	if err != nil {
		return err
	}
	seconds := r.Seconds
	got, err := b.traces(state, r)
	if err != nil {
		return err
	}
	want, err := b.traces(b.state, b.report)
	if err != nil {
		return err
	}
	o.compare("on Fabric and on one machine", got, want)
	for _, name := range []string{"ledger/blocks.log", "alerts.log"} {
		x, err := os.ReadFile(filepath.Join(state, name))
		if err != nil {
			return err
		}
		y, err := os.ReadFile(filepath.Join(b.state, name))
		if err != nil {
			return err
		}
		o.need(bytes.Equal(x, y), "%s, %d bytes: %s", name, len(x), equal(bytes.Equal(x, y)))
	}
	trust := [2]string{}
	for i, dir := range []string{state, b.state} {
		shown, err := b.must("trust", "show", "--state", dir)
		if err != nil {
			return err
		}
		trust[i] = shown.out.String()
	}
	o.need(trust[0] == trust[1], "trust is %s", equal(trust[0] == trust[1]))
	o.say("%d blocks; %.1f s on Fabric, %.1f s on one machine", r.Ledger.Height, seconds, b.report.Seconds)
	return nil
}

// fabricProven proves alerts of a zone on Fabric to a stranger.
func (b *bench) fabricProven(o *outcome) error {
	o.goal = "a bundle of a zone on Fabric verifies offline, with the orderers' and endorsers' signatures in it; every changed field fails, by name"
	if err := b.learnZone(); err != nil {
		return err
	}
	n, err := b.network(network.Options{})
	if err != nil {
		return err
	}
	defer n.down()
	state, err := b.keyed(b.state)
	if err != nil {
		return err
	}
	config, err := b.configuration(n, network.Chaincode, "")
	if err != nil {
		return err
	}
	if _, _, err := b.replay(state, append([]string{"--config", config}, b.learnAndWatch()...)...); err != nil {
		return err
	}
	attack := provoking()[0]
	_, _, dir, err := b.rehearse("--attack", attack, "--keep")
	if err != nil {
		return err
	}
	r, _, err := b.replay(state, "--config", config, "--watch", filepath.Join(dir, attack+"-1.pcap"))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	if err := b.proveNew(o, state, &r, seen, filepath.Join(n.o.Dir, "genesis.block")); err != nil {
		return err
	}
	o.need(len(seen) > 0, "%d kinds of alert were proven", len(seen))
	return nil
}

// twoOrganisations runs the test of a network of two.
func (b *bench) twoOrganisations(o *outcome) error {
	o.goal = "both organisations endorse every block; one alone cannot write"
	passed, _, failed, err := tested("./internal/ledger/fabric", "TestTwoOrganisations")
	if err != nil {
		return err
	}
	o.need(len(passed) == 1 && len(failed) == 0, "endorsed by one organisation alone: found invalid by the peers; with one away: nothing is recorded; with both: recorded, and the other one's gateway reads it")
	return nil
}

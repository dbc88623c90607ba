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

// network makes a network whose nodes end with this program. Its programs lie in
// the run's own directory: nobody else takes them away while nodes are killed.
func (b *bench) network(o network.Options) (*fabricNet, error) {
	o.Programs = filepath.Join(b.dir, "programs")
	if nodes.Check(o.Programs) != nil {
		built, err := nodes.Built(context.Background(), nil)
		if err != nil {
			return nil, err
		}
		if err := os.CopyFS(o.Programs, os.DirFS(built)); err != nil {
			return nil, err
		}
	}
	var err error
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
		r, err := tested(t.pkg, t.test)
		if err != nil {
			return err
		}
		faults := 0
		for _, name := range r.passed {
			if strings.HasSuffix(name, "/FailLost") || strings.HasSuffix(name, "/FailKept") {
				faults++
			}
		}
		ok := len(r.failed) == 0 && len(r.passed) > 10 && (!t.faults || faults == 2)
		o.need(ok, "%s: %d passed, of them %d with a fault, %d failed %q, %d left out", t.driver, len(r.passed), faults, len(r.failed), r.failed, r.skipped)
	}
	o.say("a commit of the embedded ledger is one fdatasync and cannot be made to fail from outside: its own tests break disk and signer")
	return nil
}

// testRun is what a test and its parts came to, by their names.
type testRun struct {
	passed, failed []string
	skipped        int
	longest        map[string]string // what they say of the longest commit
}

// tested runs one test.
func tested(pkg, name string) (testRun, error) {
	r := testRun{longest: map[string]string{}}
	cmd := exec.Command("go", "test", "-count=1", "-json", "-run", "^"+name+"$", pkg)
	cmd.Env = append(os.Environ(), "CI=true")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	for line := range bytes.Lines(out) {
		var e struct{ Action, Test, Key, Value string }
		if json.Unmarshal(line, &e) != nil || e.Test == "" {
			continue
		}
		switch e.Action {
		case "pass":
			r.passed = append(r.passed, e.Test)
		case "skip":
			r.skipped++
		case "fail":
			r.failed = append(r.failed, e.Test)
		case "attr":
			r.longest[e.Test] = e.Value
		}
	}
	if len(r.passed)+len(r.failed) == 0 {
		return r, fmt.Errorf("go test %s of %s ran nothing: %w: %s", name, pkg, err, said.Bytes())
	}
	return r, nil
}

// fabricZone is the zone with its ledger on a network of its own.
type fabricZone struct {
	*fabricNet
	state, config string
	report        report
}

// onFabric replays the zone once more, with the same master, on a new network.
func (b *bench) onFabric() (*fabricZone, error) {
	if err := b.learnZone(); err != nil {
		return nil, err
	}
	n, err := b.network(network.Options{})
	if err != nil {
		return nil, err
	}
	z := &fabricZone{fabricNet: n}
	if z.state, err = b.keyed(b.state); err == nil {
		z.config, err = b.configuration(n, network.Chaincode, "")
	}
	if err == nil {
		z.report, _, err = b.replay(z.state, append([]string{"--config", z.config}, b.learnAndWatch()...)...)
	}
	if err != nil {
		z.down()
	}
	return z, err
}

// replayedOnFabric replays the zone once more on a network.
func (b *bench) replayedOnFabric(o *outcome) error {
	o.goal = "the same transactions, blocks, state, rows and trust, entry for entry"
	z, err := b.onFabric()
	if err != nil {
		return err
	}
	defer z.down()
	got, err := b.traces(z.state, z.report)
	if err != nil {
		return err
	}
	want, err := b.traces(b.state, b.report)
	if err != nil {
		return err
	}
	o.compare("on Fabric and on one machine", got, want)
	for _, name := range []string{"ledger/blocks.log", "alerts.log"} {
		x, err := os.ReadFile(filepath.Join(z.state, name))
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
	for i, dir := range []string{z.state, b.state} {
		shown, err := b.must("trust", "show", "--state", dir)
		if err != nil {
			return err
		}
		trust[i] = shown.out.String()
	}
	o.need(trust[0] == trust[1], "trust is %s", equal(trust[0] == trust[1]))
	o.say("%d blocks; %.1f s on Fabric, %.1f s on one machine", z.report.Ledger.Height, z.report.Seconds, b.report.Seconds)
	return nil
}

// fabricProven proves alerts of a zone on Fabric to a stranger.
func (b *bench) fabricProven(o *outcome) error {
	o.goal = "a bundle of a zone on Fabric verifies offline, with the orderers' and endorsers' signatures in it; every changed field fails, by name"
	z, err := b.onFabric()
	if err != nil {
		return err
	}
	defer z.down()
	attack := provoking()[0]
	_, _, dir, err := b.rehearse("--attack", attack, "--keep")
	if err != nil {
		return err
	}
	r, _, err := b.replay(z.state, "--config", z.config, "--watch", filepath.Join(dir, attack+"-1.pcap"))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	if err := b.proveNew(o, z.state, &r, seen, filepath.Join(z.o.Dir, "genesis.block")); err != nil {
		return err
	}
	o.need(len(seen) > 0, "%d kinds of alert were proven", len(seen))
	return nil
}

// twoOrganisations runs the test of a network of two.
func (b *bench) twoOrganisations(o *outcome) error {
	o.goal = "both organisations endorse every block; one alone cannot write"
	r, err := tested("./internal/ledger/fabric", "TestTwoOrganisations")
	if err != nil {
		return err
	}
	o.need(len(r.passed) == 1 && len(r.failed) == 0, "endorsed by one organisation alone: found invalid by the peers; with one away: nothing is recorded; with both: recorded, and the other one's gateway reads it")
	return nil
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/networktest"
	"bellwether/internal/zone"
)

// onFabric gives a configuration whose ledger is a network that ends with the test.
func onFabric(t *testing.T) (Config, *network.Network) {
	t.Helper()
	n := networktest.Up(t, network.Options{})
	// What `bellwether fabric up` prints is what a configuration takes.
	c, err := ParseConfig([]byte(n.Gateway(0).Config()))
	if err != nil {
		t.Fatal(err)
	}
	whole := quickly()
	whole.Ledger.Driver, whole.Ledger.Fabric = c.Ledger.Driver, c.Ledger.Fabric
	return whole, n
}

// TestReplayOnFabric: the same replay gives the same rows, transactions, blocks,
// state and trust on Fabric as on one machine, byte for byte; and commands that
// are given the state directory alone work on it as on another one.
func TestReplayOnFabric(t *testing.T) {
	embedded, report := finished(t)
	c, n := onFabric(t)
	r := whole(t, keyedDir(t))
	r.Config = c
	// The run is stopped in its middle, and repeated from its start.
	if _, err := r.Run(stopAfter(t.Context(), 400)); !errors.Is(err, context.Canceled) {
		t.Fatalf("the run was not stopped: %v", err)
	}
	got := mustRun(t, r)
	same(t, resultOf(t, r.StateDir, got), resultOf(t, embedded, report))
	verifies(t, r.StateDir)
	if a, b := stateOf(t, r.StateDir), stateOf(t, embedded); a != b {
		t.Errorf("state and trust are %+v, on one machine %+v", a, b)
	}
	decided(t, r.StateDir)

	if err := n.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	verifies(t, r.StateDir) // reading needs no network
	stateOf(t, r.StateDir)
	wrong := whole(t, r.StateDir)
	wrong.Config.Ledger.Driver = driverEmbedded
	if _, err := wrong.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is on Fabric") {
		t.Errorf("with the other driver: %v", err)
	}
}

// foldedState is what a ledger comes to.
type foldedState struct {
	state zone.Hash
	trust string
}

func stateOf(t *testing.T, dir string) (o foldedState) {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{ReadOnly: true})
	defer s.Close()
	var err error
	if o.state, err = contract.Digest(s.Ledger.State()); err != nil {
		t.Fatal(err)
	}
	z, err := s.Trust(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	o.trust = fmt.Sprintf("%+v", z)
	return o
}

// decided records an operator's decision with the state directory alone.
func decided(t *testing.T, dir string) {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{Existing: true})
	defer s.Close()
	height := s.Ledger.Height()
	if _, err := s.Decide(t.Context(), homeCaptures(t).webcam.MAC, Decision{Action: "rename", Name: "Front door", Now: s.Zone.Created.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if got := s.Ledger.Height(); got != height+1 {
		t.Errorf("height %d after a decision, it was %d", got, height)
	}
}

// TestLostStateOnFabric: with the key alone a zone's ledger comes back from the channel.
func TestLostStateOnFabric(t *testing.T) {
	c, _ := onFabric(t)
	o := c.stateOptions()
	first := mustOpen(t, keyedDir(t), o)
	created := first.Zone
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := mustOpen(t, keyedDir(t), o)
	defer second.Close()
	if second.Zone != created {
		t.Errorf("the zone is %+v, it was %+v", second.Zone, created)
	}
	if other, err := OpenState(t.Context(), filepath.Join(t.TempDir(), "state"), o); err == nil {
		other.Close()
		t.Error("a gateway with another key opened the zone's ledger")
	}
}

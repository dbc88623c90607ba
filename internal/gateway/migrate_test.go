package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/fabric"
	"bellwether/internal/ledger/fabric/evidence"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/networktest"
	"bellwether/internal/proof"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// migrateInstead makes this test program the migration that is to be killed.
const migrateInstead = "BELLWETHER_TEST_MIGRATE"

var migrations = flag.Int("migrations", 24, "how many migrations the kill test kills")

// moving is a migration for another process.
type moving struct {
	State string
	To    FabricConfig
}

func migrateJob(spec string) error {
	var m moving
	if err := json.Unmarshal([]byte(spec), &m); err != nil {
		return err
	}
	_, err := migration(m.State, Config{Ledger: LedgerConfig{Driver: driverFabric, Fabric: m.To}}).Run(context.Background())
	return err
}

// migration is one of a directory to the network of a configuration.
func migration(dir string, c Config) Migrate {
	return Migrate{StateDir: dir, Config: c, Progress: func(string, int64, int64) {}}
}

func mustMigrate(t testing.TB, dir string, c Config) *fabric.Migration {
	t.Helper()
	m, err := migration(dir, c).Run(t.Context())
	if err != nil || !m.Done {
		t.Fatalf("%+v, %v", m, err)
	}
	return m
}

// definedAs puts another chaincode, and so an empty zone, on the network's channel.
func definedAs(t testing.TB, n *network.Network, c Config, name string) Config {
	t.Helper()
	if err := n.Define(t.Context(), networktest.Options(t, network.Options{Dir: "."}), name); err != nil {
		t.Fatal(err)
	}
	c.Ledger.Fabric.Chaincode = name
	return c
}

// channelBlock gives the first block of the network's channel.
func channelBlock(t testing.TB, n *network.Network) []byte {
	t.Helper()
	return readFile(t, filepath.Dir(n.Gateway(0).TLSCA), "..", "..", "genesis.block")
}

func channelOf(t testing.TB, n *network.Network) *evidence.Channel {
	t.Helper()
	c, err := evidence.ParseChannel(channelBlock(t, n))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// proven proves every alert of a directory to a stranger who has the channel's
// first block. It gives the bundles' files.
func proven(t testing.TB, dir string, c *evidence.Channel) (bundles [][]byte) {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{ReadOnly: true})
	defer s.Close()
	raised, err := s.Raised(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, digest := range raised {
		b, err := s.Prove(t.Context(), zone.AlertID(digest))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Attest(t.Context(), b, time.Minute); err != nil {
			t.Fatal(err)
		}
		raw, err := b.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := proof.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.Verify(again, s.Key.Ed25519(), c); err != nil {
			t.Fatal(err)
		}
		bundles = append(bundles, raw)
	}
	return bundles
}

// spoofed is a capture in which a device sends from an address that it never had.
func spoofed(t testing.TB, mac, router zone.MAC, at zone.Time) string {
	return saveCapture(t, simulate.Overlay{MAC: mac, IP: netip.MustParseAddr("198.51.100.7"), GatewayMAC: router,
		Kind: simulate.Exfiltration, Start: at, Duration: 3 * time.Second}.Frames())
}

// TestMigratedZone: a zone that was carried over between two replays goes on as
// one that was not; what was recorded before and after is proven with the channel's
// signatures.
func TestMigratedZone(t *testing.T) {
	c, n := onFabric(t)
	home := homeCaptures(t)
	dir, report := finished(t)
	stays := copyState(t, dir)
	if _, err := migration(dir, quickly()).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "ledger.driver is not fabric") {
		t.Errorf("without a channel: %v", err)
	}
	before := stateFiles(t, dir)
	dry := migration(dir, c)
	dry.Dry = true
	if m, err := dry.Run(t.Context()); err != nil || m.Done || m.Handover == 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if after := stateFiles(t, dir); !slices.Equal(before, after) {
		t.Errorf("looking made %q of %q", after, before)
	}
	inUse, err := OpenState(t.Context(), dir, StateOptions{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 3*lockEvery)
	defer cancel()
	if _, err := migration(dir, c).Run(soon); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("beside a gateway: %v", err)
	}
	inUse.Close()
	unmoved := stateOf(t, dir)
	mustMigrate(t, dir, c)
	verifies(t, dir)
	if got := stateOf(t, dir); got != unmoved {
		t.Errorf("state and trust are %+v, they were %+v", got, unmoved)
	}

	second := spoofed(t, another(t, report, home.webcam.MAC), home.router, homeStart.Add(time.Hour))
	relearned(t, dir)
	relearned(t, stays)
	here := mustRun(t, Replay{StateDir: dir, Watch: []string{second}, Config: c})
	there := mustRun(t, Replay{StateDir: stays, Watch: []string{second}, Config: quickly()})
	same(t, resultOf(t, dir, here), resultOf(t, stays, there))
	if a, b := stateOf(t, dir), stateOf(t, stays); a != b {
		t.Errorf("state and trust are %+v, on one machine %+v", a, b)
	}
	verifies(t, dir)
	bundles := proven(t, dir, channelOf(t, n))
	if len(bundles) != 2 {
		t.Fatalf("%d alerts were proven, want one from before and one from after", len(bundles))
	}
	for _, raw := range bundles {
		altered(t, raw, channelOf(t, n))
	}
	withoutPeer(t, dir, n)
}

// another gives a device that was learned and is not that one.
func another(t testing.TB, r *Report, not zone.MAC) zone.MAC {
	t.Helper()
	for _, d := range r.Devices {
		if d.Threshold != nil && d.MAC != not {
			return d.MAC
		}
	}
	t.Fatal("only one device was learned")
	return zone.MAC{}
}

// altered changes bytes of what the channel signed, all over a bundle's file: each
// is found, and named. The rest of a bundle has its own tests.
func altered(t *testing.T, raw []byte, c *evidence.Channel) {
	t.Helper()
	from, tried := bytes.Index(raw, []byte("\n  \"channel\": {")), 0
	if from < 0 {
		t.Fatal("there is no evidence in the bundle")
	}
	for i := from; i < len(raw); i += 1 + (len(raw)-from)/400 {
		changed := bytes.Clone(raw)
		if changed[i] ^= 1; changed[i] == '"' || changed[i] == '\\' {
			continue
		}
		tried++
		b, err := proof.Parse(changed)
		if err == nil {
			_, err = proof.Verify(b, nil, c)
		}
		var field *proof.FieldError
		if !errors.As(err, &field) || !strings.HasPrefix(field.Field, "channel") && field.Field != "bundle" {
			t.Errorf("byte %d, %q to %q: %v", i, raw[i], changed[i], err)
		}
	}
	t.Logf("%d bytes of %d changed, of a bundle of %d", tried, len(raw)-from, len(raw))
}

// withoutPeer: when the channel cannot be asked there is a bundle without it, and
// whoever asks for the channel is told.
func withoutPeer(t *testing.T, dir string, n *network.Network) {
	t.Helper()
	c := channelOf(t, n)
	if err := n.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir, StateOptions{ReadOnly: true})
	defer s.Close()
	raised, err := s.Raised(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Prove(t.Context(), zone.AlertID(raised[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Attest(t.Context(), b, time.Second); err == nil || !strings.Contains(err.Error(), "is the peer running") {
		t.Errorf("without the peer: %v", err)
	}
	if _, err := proof.Verify(b, s.Key.Ed25519(), nil); err != nil {
		t.Error(err)
	}
	if _, err := proof.Verify(b, s.Key.Ed25519(), c); err == nil || !strings.Contains(err.Error(), "made without") {
		t.Errorf("held against a channel: %v", err)
	}
}

// relearned sends nothing back: it records a decision, so that both have the same.
func relearned(t testing.TB, dir string) {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{Existing: true})
	defer s.Close()
	if _, err := s.Decide(t.Context(), zone.MAC{}, Decision{Action: contract.ActionSilence, For: time.Second, Now: homeStart.Add(30 * time.Minute)}); err != nil {
		t.Fatal(err)
	}
}

// TestMigrationKilled kills migrations at random moments: each leaves an embedded
// zone that can be used, or one on Fabric, and the same command ends it.
func TestMigrationKilled(t *testing.T) {
	c, n := onFabric(t)
	finishedDir, _ := finished(t)
	channel := channelOf(t, n)
	run := func(dir string, c Config, while time.Duration) (done bool) {
		t.Helper()
		return killedAfter(t, while, migrateInstead, moving{dir, c.Ledger.Fabric}, nil)
	}
	calm, began := copyState(t, finishedDir), time.Now()
	if !run(calm, c, time.Hour) {
		t.Fatal("a migration that nobody kills does not work")
	}
	took := time.Since(began)
	noise := rand.New(rand.NewPCG(uint64(*migrations), 9))
	seen := map[string]int{}
	for i := range *migrations {
		dir, c := copyState(t, finishedDir), definedAs(t, n, c, fmt.Sprint("zone", i))
		blocks := readFile(t, dir, ledgerDir, "blocks.log")
		for range 2 {
			while := time.Duration(noise.Int64N(int64(took)))
			done := run(dir, c, while)
			seen[killedWhere(t, dir, c, done)]++
			if i%2 == 0 && !done { // the zone is used before the command is given again
				relearned(t, dir)
			}
			if t.Failed() {
				t.Fatalf("migration %d, killed after %s", i, while)
			}
		}
		mustMigrate(t, dir, c)
		relearned(t, dir)
		audit := verifies(t, dir)
		if !bytes.HasPrefix(readFile(t, dir, ledgerDir, "blocks.log"), blocks) {
			t.Error("the old blocks are not what they were")
		}
		if bundles := proven(t, dir, channel); len(bundles) == 0 {
			t.Error("nothing is proven")
		}
		onChannel(t, dir, c, audit.Blocks)
	}
	t.Logf("one migration takes %s; what the kills left: %v", took.Round(time.Millisecond), seen)
}

// killedWhere checks what a kill left, and says what it is.
func killedWhere(t testing.TB, dir string, c Config, done bool) string {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{Existing: true})
	s.Close()
	verifies(t, dir)
	if fabric.Here(filepath.Join(dir, ledgerDir)) {
		return map[bool]string{true: "on Fabric, ended", false: "on Fabric"}[done]
	}
	dry := migration(dir, c)
	dry.Dry = true
	m, err := dry.Run(t.Context())
	switch {
	case err != nil:
		t.Fatal(err)
	case m.Found > 0:
		return "embedded, handed over"
	}
	return "embedded"
}

// onChannel checks that the channel goes on from a handover with every block
// behind it, once and in order: a copy that was lost comes to all of them.
func onChannel(t testing.TB, dir string, c Config, blocks uint64) {
	t.Helper()
	lost := keyedDir(t)
	if err := os.WriteFile(filepath.Join(lost, ledgerDir, "blocks.log"), readFile(t, dir, ledgerDir, "blocks.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lost, keyFile), readFile(t, dir, keyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if m := mustMigrate(t, lost, c); m.Found != blocks || m.More != 0 {
		t.Errorf("the channel has %+v, want all %d blocks", m, blocks)
	}
}

// realHome is the folder of somebody's home: a folder "training" and one beside it.
func realHome(t *testing.T) (learn, watch []string) {
	t.Helper()
	learn, _ = filepath.Glob("../../../shared/data/pcaps/*/training/*")
	if len(learn) > 0 {
		watch, _ = filepath.Glob(filepath.Join(filepath.Dir(learn[0]), "..", "monitoring*", "*"))
	}
	if len(watch) < 2 {
		if os.Getenv("CI") == "true" {
			t.Fatal("test data missing")
		}
		t.Skip("test data missing")
	}
	return learn, watch
}

// TestMigratedHome does the same with a real home: learned and half watched on
// one machine, the other half on both.
func TestMigratedHome(t *testing.T) {
	learn, watch := realHome(t)
	c, n := onFabric(t)
	dir := keyedDir(t)
	plain := c
	plain.Ledger = LedgerConfig{}
	slices.Sort(watch) // by name; each set is read by time
	half := len(watch) / 2
	report := mustRun(t, Replay{StateDir: dir, Learn: learn, Watch: watch[:half], Config: plain})
	var judged DeviceReport
	for _, d := range report.Devices {
		if d.Threshold != nil {
			judged = d
		}
	}
	later := zone.TimeOf(time.Date(2023, 7, 1, 0, 0, 0, 0, time.UTC))
	mustRun(t, Replay{StateDir: dir, Watch: []string{spoofed(t, judged.MAC, zone.MAC{2, 9}, later)}, Config: plain})
	stays := copyState(t, dir)
	m := mustMigrate(t, dir, c)
	t.Logf("%d blocks, %d devices, handed over in %d bytes", m.Blocks, m.Devices, m.Handover)
	var got [2]result
	for i, r := range []Replay{{StateDir: dir, Config: c}, {StateDir: stays, Config: plain}} {
		r.Watch = watch[half:]
		got[i] = resultOf(t, r.StateDir, mustRun(t, r))
	}
	same(t, got[0], got[1])
	if a, b := stateOf(t, dir), stateOf(t, stays); a != b {
		t.Errorf("state and trust are %+v, on one machine %+v", a, b)
	}
	audit := verifies(t, dir)
	bundles := proven(t, dir, channelOf(t, n))
	if len(bundles) == 0 || audit.Blocks <= m.Blocks {
		t.Errorf("%d alerts were proven, %d blocks after %d", len(bundles), audit.Blocks, m.Blocks)
	}
	t.Logf("%d blocks afterwards, %d alerts proven", audit.Blocks, len(bundles))
}

package gateway

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"bellwether/internal/zone"
)

func TestExampleConfig(t *testing.T) {
	c, err := ParseConfig([]byte(ExampleConfig))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ValidateLive(); err != nil {
		t.Error(err)
	}
	if time.Duration(c.Learn.For) != 24*time.Hour || c.Learn.Snapshots != 2000 || c.Store.MaxBytes != 4<<30 || c.Zone.UseCase != "smart-home" {
		t.Errorf("the example says %+v", c)
	}
}

func TestConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		"stat: /x":                            `unknown field "stat"`,
		"state: /x\nlearn:\n  for: soon":      `"soon" is not a length of time`,
		"learn: {for: -3h}":                   `not a length of time`,
		"store: {max_bytes: 4 gigs}":          `is not a size`,
		"store: {max_bytes: 999999999999TiB}": `is too large`,
		"gateways: [\"nonsense\"]":            "nonsense",
		"subnets: [192.168.4.0/99]":           "is not a subnet",
		"learn: {snapshots: -5}":              "learn.snapshots is -5: want 1 or more",
		"store: {segment_rows: 20000}":        "store.segment_rows is 20000: want at most 16384",
		"zone: {use_case: circus}":            "zone.use_case",
		"zone: {name: \"a\\nb\"}":             "zone.name",
		"ledger: {driver: paper}":             `ledger.driver is "paper": want embedded or fabric`,
		"ledger: {driver: fabric}":            "fabric.chaincode is missing",
		"ledger: {fabric: {peer: x}}":         "ledger.driver is not fabric",
		"trust: {threshold: 1.5}":             "trust.threshold is 1.5: want 0 to 1",
		"detector: {rule: guess}":             "detector",
		"detector: {without: [luck]}":         "detector.without",
		"state: [":                            "[",
	} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := ParseConfig([]byte("state: /x\nlearn:\n  fro: 2h\n")); err == nil || !strings.Contains(err.Error(), "3 |") {
		t.Errorf("got %v, want the line", err)
	}
}

// Every count has a bound: one beyond it is an error and not a table too large
// for the machine.
func TestConfigBounds(t *testing.T) {
	for text, want := range map[string]string{
		"learn: {snapshots: 19}":        "learn.snapshots is 19: want 20 or more",
		"learn: {snapshots: 67108865}":  "learn.snapshots is 67108865: want at most 67108864",
		"devices: {max: 65537}":         "devices.max is 65537: want at most 65536",
		"devices: {max: -1}":            "devices.max is -1: want 1 or more",
		"batch: 65537":                  "batch is 65537: want at most 65536",
		"workers: 67108865":             "workers is 67108865: want at most",
		"tables: {hosts: 67108865}":     "tables.hosts is 67108865: want at most",
		"tables: {channels: 67108865}":  "tables.channels is 67108865: want at most",
		"tables: {sockets: -7}":         "tables.sockets is -7: want 1 or more",
		"detector: {window: 67108865}":  "detector.window is 67108865: want at most",
		"detector: {adapt: maybe}":      `detector.adapt is "maybe": want ask or auto`,
		"detector: {adapt_every: 59s}":  "detector.adapt_every is 59s: want 1m or more",
		"ledger: {block_txs: 67108865}": "ledger.block_txs is 67108865: want at most",
		"ledger: {block_txs: 65537}":    "ledger.block_txs is 65537: want at most",
		"store: {segment_rows: 16385}":  "store.segment_rows is 16385: want at most 16384",
		"trust: {threshold: .nan}":      "trust.threshold is NaN: want 0 to 1",
		"trust: {threshold: -0.1}":      "trust.threshold is -0.1: want 0 to 1",
	} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"learn: {snapshots: 20}", "devices: {max: 65536}", "batch: 65536", "store: {segment_rows: 16384}", "trust: {threshold: 1}", "detector: {adapt: auto, adapt_every: 12h}"} {
		if _, err := ParseConfig([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Only auto lets a gateway decide, and no replay's results hang on it.
func TestWhoDecidesThatAModelFollows(t *testing.T) {
	every := func(d DetectorConfig) time.Duration { return Config{Detector: d}.adaptEvery() }
	if every(DetectorConfig{}) != 0 || every(DetectorConfig{Adapt: "ask", AdaptEvery: Duration(time.Hour)}) != 0 ||
		every(DetectorConfig{Adapt: "auto"}) != 24*time.Hour || every(DetectorConfig{Adapt: "auto", AdaptEvery: Duration(time.Hour)}) != time.Hour {
		t.Error("the period does not follow from the configuration")
	}
	c := Config{Detector: DetectorConfig{Adapt: "auto", AdaptEvery: Duration(time.Hour)}}
	if !reflect.DeepEqual(c.decisive(), Config{}.decisive()) {
		t.Error("a replay depends on it")
	}
}

func TestConfigThatTheLibraryPanicsOn(t *testing.T) {
	_, err := ParseConfig([]byte("subnets: !!seq\n"))
	if err == nil || !strings.Contains(err.Error(), "not readable as YAML") {
		t.Errorf("got %v", err)
	}
}

func TestConfigPathsAreRelativeToIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(path, []byte("state: here\nalerts: {file: /abs/eve.json}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(path)
	if err != nil || c.State != filepath.Join(filepath.Dir(path), "here") || c.Alerts.File != "/abs/eve.json" {
		t.Errorf("got %q, %q, %v", c.State, c.Alerts.File, err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(ExampleConfig))
	f.Add([]byte("subnets: [10.0.0.0/8]\ngateways: [00:00:5e:00:53:01]\ndevices: {listed: [02:00:00:00:00:01]}\n"))
	f.Add([]byte("subnets: !!seq\n"))
	f.Add([]byte("detector: {rule: conformal, alpha: 0.01, seed: 7}\nstore: {max_bytes: 512MiB, max_age: 1h}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err == nil && c.Validate() != nil {
			t.Errorf("%q was taken, though %v", b, c.Validate())
		}
	})
}

func TestDefaultRouter(t *testing.T) {
	routes := []byte("Iface\tDestination\tGateway \tFlags\nwlan0\t00000000\t0104A8C0\t0003\neth0\t00000000\t010011AC\t0003\nwlan0\t0004A8C0\t00000000\t0001\n")
	if a, ok := defaultRouter("wlan0", routes); !ok || a != netip.MustParseAddr("192.168.4.1") {
		t.Errorf("got %v, %v", a, ok)
	}
	if a, ok := defaultRouter("wlan1", routes); ok {
		t.Errorf("wlan1 has the router %v", a)
	}
	arp := []byte("IP address       HW type     Flags       HW address            Mask     Device\n192.168.4.1      0x1         0x2         00:00:5e:00:53:01     *        wlan0\n192.168.4.9      0x1         0x0         00:00:00:00:00:00     *        wlan0\n")
	if m, ok := neighbour(netip.MustParseAddr("192.168.4.1"), "wlan0", arp); !ok || m != (zone.MAC{0, 0, 0x5e, 0, 0x53, 1}) {
		t.Errorf("got %v, %v", m, ok)
	}
	for _, a := range []string{"192.168.4.9", "192.168.4.2"} {
		if m, ok := neighbour(netip.MustParseAddr(a), "wlan0", arp); ok {
			t.Errorf("%s has the address %v", a, m)
		}
	}
}

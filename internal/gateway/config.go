package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric"
	"bellwether/internal/ledger/fabric/pkcs11"
	"bellwether/internal/monitor"
	"bellwether/internal/roster"
	"bellwether/internal/trust"
	"bellwether/internal/zone"
)

// Config is the configuration file, in YAML. Unknown keys are errors. Every
// field that is left out takes the default named.
type Config struct {
	// State is the state directory; needed by run.
	State string `yaml:"state"`
	// Interface is the network interface on the zone's side; needed by run, unless
	// it only serves members.
	Interface string `yaml:"interface"`
	// Promiscuous also takes frames that are not for this machine. Default false.
	Promiscuous bool `yaml:"promiscuous"`
	// Zone names the zone when its state directory is made.
	Zone ZoneConfig `yaml:"zone"`
	// Subnets are the zone's side. Default: live, those of the interface; in a
	// replay, private and link-local addresses.
	Subnets []Prefix `yaml:"subnets"`
	// Gateways are the MAC addresses of routers, which are no devices. Default:
	// live, this machine and its default gateway; in a replay, guessed.
	Gateways []MAC `yaml:"gateways"`
	// Devices says what people call the devices.
	Devices DevicesConfig `yaml:"devices"`
	// Learn says when a device has been seen enough.
	Learn LearnConfig `yaml:"learn"`
	// Detector is how a device's behaviour is learned and judged.
	Detector DetectorConfig `yaml:"detector"`
	// Quiet is how long a malicious device must give no cause for alarm until
	// it is watched again. Default 5m.
	Quiet Duration `yaml:"quiet"`
	// Store bounds what is kept of snapshots.
	Store StoreConfig `yaml:"store"`
	// Ledger says which ledger the zone has.
	Ledger LedgerConfig `yaml:"ledger"`
	// Members says how followers are served.
	Members MembersConfig `yaml:"members" json:"-"`
	// Trust is the threshold that outsiders ask for.
	Trust TrustConfig `yaml:"trust"`
	// Tables bounds the feature statistics.
	Tables TablesConfig `yaml:"tables"`
	// Alerts says where alerts go besides standard output.
	Alerts AlertsConfig `yaml:"alerts"`
	// Workers is the number of goroutines that score and train. Default: the
	// number of processors.
	Workers int `yaml:"workers"`
	// Batch is how many snapshots are scored together. Default 512. No result
	// depends on it, nor on Workers.
	Batch int `yaml:"batch"`
}

// ZoneConfig names a new zone.
type ZoneConfig struct {
	Name    string `yaml:"name"`     // default "zone"
	UseCase string `yaml:"use_case"` // smart-home (default), health-care, school or grid
}

// DevicesConfig says who the devices are.
type DevicesConfig struct {
	Names  string `yaml:"names"`  // CSV file with the columns "MAC Address" and "Device Name"
	Listed []MAC  `yaml:"listed"` // devices even if their address is locally administered
	Max    int    `yaml:"max"`    // other devices that are kept, default 512
}

// LearnConfig says when a device has been seen enough.
type LearnConfig struct {
	Snapshots int      `yaml:"snapshots"` // default 2000
	For       Duration `yaml:"for"`       // live only, default 24h
}

// DetectorConfig is how a device's behaviour is learned and judged.
type DetectorConfig struct {
	Rule  string  `yaml:"rule"`  // threshold: calm (default), max, balanced, eq1 (the paper's), conformal or quantile
	Alpha float64 `yaml:"alpha"` // of conformal and quantile, default 0.001
	// AlarmsPerWeek is how many false alarms of one device are acceptable, under
	// the rule calm; default 1.
	AlarmsPerWeek float64 `yaml:"alarms_per_week"`
	Seed          uint64  `yaml:"seed"`   // of the training, default 0
	Epochs        int     `yaml:"epochs"` // at most, default 30
	Window        int     `yaml:"window"` // snapshots that vote; default: found while learning
	// Without lists the reasons that are no cause for an alert, though snapshots
	// are labelled all the same: score, source,
	// hosts, scan, ports, flows, peer, burst, rate, silent. Default: none.
	Without []string `yaml:"without"`
	// Adapt says who decides that a model follows its device's drift, within the
	// bounds of docs/drift.md: the operator by `bellwether device adapt` (ask, the
	// default), or a live gateway by itself (auto). A replay never does.
	Adapt string `yaml:"adapt"`
	// AdaptEvery is how often at most a live gateway looks, under auto, whether one
	// device's model is to follow it. Default 24h, at least 1m.
	AdaptEvery Duration `yaml:"adapt_every"`
}

// The values of DetectorConfig.Adapt.
const (
	adaptAsk  = "ask"
	adaptAuto = "auto"
)

// StoreConfig bounds what is kept of snapshots.
type StoreConfig struct {
	MaxAge      Duration `yaml:"max_age"`      // live only, default 720h (30 days)
	MaxBytes    Bytes    `yaml:"max_bytes"`    // live only, default 4GiB
	SegmentRows int      `yaml:"segment_rows"` // snapshots in one segment, default 8192
	SegmentAge  Duration `yaml:"segment_age"`  // how long one stays open, default 10m
}

// LedgerConfig says which ledger the zone has.
type LedgerConfig struct {
	// Driver is embedded or fabric. Default: the one that the state directory
	// has, embedded for a new one.
	Driver   string   `yaml:"driver"`
	BlockTxs int      `yaml:"block_txs"` // transactions in one block, default 100
	BlockAge Duration `yaml:"block_age"` // how long one stays open, default 10s
	// Fabric says how a channel of Hyperledger Fabric is reached; needed with
	// driver fabric. `bellwether fabric up` prints it.
	Fabric FabricConfig `yaml:"fabric" json:"-"`
}

// FabricConfig says how a channel of Hyperledger Fabric is reached, and as whom.
// peer, tls_ca, msp, cert, key, channel and chaincode are needed; with a profile
// the first three are not.
type FabricConfig struct {
	// Profile is a connection profile of Fabric, in YAML or JSON, which says what
	// peer, server_name, tls_ca and msp do not.
	Profile      string `yaml:"profile"`
	Organization string `yaml:"organization"` // in the profile; default: its client's
	Peer         string `yaml:"peer"`         // HOST:PORT of a peer of the own organisation
	ServerName   string `yaml:"server_name"`  // name in the peer's TLS certificate; default: HOST
	TLSCA        string `yaml:"tls_ca"`       // certificate of the authority of that certificate: a PEM file, or the PEM text
	MSP          string `yaml:"msp"`          // the organisation's MSP ID
	Cert         string `yaml:"cert"`         // certificate of the gateway's identity, PEM
	Key          string `yaml:"key"`          // its private key, Ed25519 or ECDSA: a PEM file, or pkcs11:… for a key in a token
	Signer       string `yaml:"signer"`       // program that signs with a key in a token; default: bellwether-pkcs11 beside this program or in PATH
	Channel      string `yaml:"channel"`
	Chaincode    string `yaml:"chaincode"` // its name on the channel
}

// files are the fields that may name a file.
func (f *FabricConfig) files() []*string {
	all := []*string{&f.Profile, &f.Cert, &f.Signer}
	if !fabric.InlinePEM(f.TLSCA) {
		all = append(all, &f.TLSCA)
	}
	if !pkcs11.Is(f.Key) {
		all = append(all, &f.Key)
	}
	return all
}

// TrustConfig is the threshold that outsiders ask for.
type TrustConfig struct {
	Threshold float64 `yaml:"threshold"` // 0 to 1; default: that of the use case
}

// TablesConfig bounds the feature statistics, in entries; 0 is the default.
type TablesConfig struct {
	Hosts    int `yaml:"hosts"`
	Channels int `yaml:"channels"`
	Sockets  int `yaml:"sockets"`
}

// AlertsConfig says where alerts go.
type AlertsConfig struct {
	File string `yaml:"file"` // JSON lines in the shape of Suricata's EVE log
}

// ReadConfig reads and checks a configuration file. Relative paths in it start
// from its directory.
func ReadConfig(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("configuration %s does not exist; `bellwether config example` prints one", path)
	}
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	c, err := ParseConfig(b)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	for _, p := range append(c.Ledger.Fabric.files(), &c.State, &c.Devices.Names, &c.Alerts.File) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(path), *p)
		}
	}
	return c, nil
}

// ParseConfig reads and checks a configuration.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	if err := unmarshal(b, &c); err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

// unmarshal decodes YAML. The library gives up with a panic on some malformed
// nodes (a list that is only a tag, for one), which is an error of
// the text like any other.
func unmarshal(b []byte, c *Config) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not readable as YAML (%v); compare it with `bellwether config example`", r)
		}
	}()
	if err := yaml.UnmarshalWithOptions(b, c, yaml.DisallowUnknownField()); err != nil {
		return errors.New(yaml.FormatError(err, false, true))
	}
	return nil
}

// Validate reports everything that is wrong with a configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, n := range []struct {
		key   string
		value int
	}{
		{"learn.snapshots", c.Learn.Snapshots}, {"devices.max", c.Devices.Max}, {"store.segment_rows", c.Store.SegmentRows},
		{"ledger.block_txs", c.Ledger.BlockTxs}, {"tables.hosts", c.Tables.Hosts}, {"tables.channels", c.Tables.Channels},
		{"tables.sockets", c.Tables.Sockets}, {"workers", c.Workers}, {"batch", c.Batch}, {"detector.window", c.Detector.Window},
	} {
		bad(n.value < 0, "%s is %d: want 1 or more, or leave it out", n.key, n.value)
		bad(n.value > maxCount, "%s is %d: want at most %d", n.key, n.value, maxCount)
	}
	bad(c.Learn.Snapshots > 0 && c.Learn.Snapshots < monitor.MinSnapshots, "learn.snapshots is %d: want %d or more", c.Learn.Snapshots, monitor.MinSnapshots)
	bad(c.Devices.Max > maxDevices, "devices.max is %d: want at most %d", c.Devices.Max, maxDevices)
	bad(c.Batch > maxBatch, "batch is %d: want at most %d", c.Batch, maxBatch)
	bad(c.Ledger.BlockTxs > ledger.MaxBlockTxs, "ledger.block_txs is %d: want at most %d", c.Ledger.BlockTxs, ledger.MaxBlockTxs)
	bad(c.Store.SegmentRows > maxSegmentRows, "store.segment_rows is %d: want at most %d", c.Store.SegmentRows, maxSegmentRows)
	if err := c.Ledger.validateDriver(); err != nil {
		errs = append(errs, err)
	}
	if err := c.Members.validate(); err != nil {
		errs = append(errs, err)
	}
	bad(!(c.Trust.Threshold >= 0 && c.Trust.Threshold <= 1), "trust.threshold is %g: want 0 to 1", c.Trust.Threshold)
	if _, err := trust.ThresholdOf(c.useCase()); err != nil {
		errs = append(errs, fmt.Errorf("zone.use_case: %w", err))
	}
	if c.Zone.Name != "" {
		if err := roster.CheckName(c.Zone.Name); err != nil {
			errs = append(errs, fmt.Errorf("zone.name: %w", err))
		}
	}
	d := c.Detector
	bad(d.Adapt != "" && d.Adapt != adaptAsk && d.Adapt != adaptAuto, "detector.adapt is %q: want %s or %s", d.Adapt, adaptAsk, adaptAuto)
	bad(d.AdaptEvery > 0 && time.Duration(d.AdaptEvery) < time.Minute, "detector.adapt_every is %s: want 1m or more", time.Duration(d.AdaptEvery))
	for _, reason := range d.Without {
		bad(!slices.Contains(monitor.Reasons(), reason), "detector.without is %q: want some of %s", reason, strings.Join(monitor.Reasons(), ", "))
	}
	if err := c.detectOptions().Validate(); err != nil {
		errs = append(errs, fmt.Errorf("detector: %w", err))
	}
	return errors.Join(errs...)
}

// validateDriver holds the driver against what is said about Fabric.
func (c LedgerConfig) validateDriver() error {
	given := c.Fabric != FabricConfig{}
	switch {
	case c.Driver != "" && c.Driver != driverEmbedded && c.Driver != driverFabric:
		return fmt.Errorf("ledger.driver is %q: want %s or %s", c.Driver, driverEmbedded, driverFabric)
	case given && c.Driver != driverFabric:
		return fmt.Errorf("ledger.fabric is given, and ledger.driver is not %s", driverFabric)
	case c.Driver == driverFabric:
		if err := fabric.Connection(c.Fabric).Validate(); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	return nil
}

// Bounds of counts in a configuration.
const (
	maxCount   = 1 << 26
	maxDevices = 1 << 16
	maxBatch   = 1 << 16
)

// maxSegmentRows bounds a segment, and with it the memory that reading one takes.
const maxSegmentRows = 16384

func (c Config) useCase() string {
	if c.Zone.UseCase == "" {
		return "smart-home"
	}
	return c.Zone.UseCase
}

func (c Config) detectOptions() detect.Options {
	d := c.Detector
	return detect.Options{Rule: detect.Rule(d.Rule), Alpha: d.Alpha, AlarmsPerWeek: d.AlarmsPerWeek, Seed: d.Seed, Epochs: d.Epochs,
		MinWindow: d.Window, MaxWindow: d.Window}
}

func (c Config) monitorOptions() monitor.Options {
	workers := c.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return monitor.Options{
		Learn:  monitor.Learn{Snapshots: c.Learn.Snapshots, For: time.Duration(c.Learn.For)},
		Detect: c.detectOptions(), Limits: feature.Limits(c.Tables),
		SegmentRows: c.Store.SegmentRows, SegmentAge: time.Duration(c.Store.SegmentAge),
		Without: c.Detector.Without, Quiet: time.Duration(c.Quiet), Batch: c.Batch, Workers: workers, MaxDevices: c.Devices.Max,
	}
}

// adaptEvery is how often a live gateway looks whether a model is to follow its
// device, 0 if it never does.
func (c Config) adaptEvery() time.Duration {
	if c.Detector.Adapt != adaptAuto {
		return 0
	}
	return cmp.Or(time.Duration(c.Detector.AdaptEvery), 24*time.Hour)
}

func (c Config) rosterOptions() (roster.Options, error) {
	o := roster.Options{}
	for _, p := range c.Subnets {
		o.Subnets = append(o.Subnets, netip.Prefix(p))
	}
	for _, m := range c.Gateways {
		o.Gateways = append(o.Gateways, zone.MAC(m))
	}
	for _, m := range c.Devices.Listed {
		o.Devices = append(o.Devices, zone.MAC(m))
	}
	if c.Devices.Names == "" {
		return o, nil
	}
	var err error
	o.Names, err = roster.ReadNamesFile(c.Devices.Names)
	return o, err
}

func (c Config) stateOptions() StateOptions {
	o := StateOptions{BlockTxs: c.Ledger.BlockTxs, BlockAge: time.Duration(c.Ledger.BlockAge),
		MaxAge: time.Duration(c.Store.MaxAge), MaxBytes: int64(c.Store.MaxBytes),
		Identity: Identity{Name: c.Zone.Name, UseCase: c.useCase()}, Driver: c.Ledger.Driver, Fabric: fabric.Connection(c.Ledger.Fabric)}
	if o.Identity.Name == "" {
		o.Identity.Name = "zone"
	}
	return o
}

// decisive is the part of the configuration that decides results: two runs that
// agree in it and in their captures come to the same transactions.
func (c Config) decisive() Config {
	c.State, c.Interface, c.Promiscuous, c.Alerts, c.Trust, c.Members = "", "", false, AlertsConfig{}, TrustConfig{}, MembersConfig{}
	c.Workers, c.Batch, c.Detector.Adapt, c.Detector.AdaptEvery = 0, 0, "", 0
	c.Ledger.Driver, c.Ledger.Fabric = "", FabricConfig{}
	c.Store.MaxAge, c.Store.MaxBytes, c.Devices.Names = 0, 0, ""
	return c
}

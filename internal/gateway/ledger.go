package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/embedded"
	"bellwether/internal/ledger/fabric"
)

// The drivers that ledger.driver may name.
const (
	driverEmbedded = "embedded"
	driverFabric   = "fabric"
)

// connectionFile holds how the zone's ledger on Fabric was reached last, for
// commands that are given a state directory and no configuration.
const (
	connectionFile = "connection.log"
	connectionKind = "connection"
)

// openLedger is the one switch between the drivers. Without a driver in the
// options it is the one that the state directory has, embedded for a new one.
func (s *State) openLedger(ctx context.Context, o StateOptions) error {
	dir := s.path(ledgerDir)
	driver := o.Driver
	if driver == "" {
		driver = driverEmbedded
		if fabric.Here(dir) {
			driver = driverFabric
		}
	}
	var past func(uint64, []*contract.Signed) error
	if s.hub != nil {
		past = s.hub.Past
	}
	var err error
	switch {
	case o.ReadOnly: // every driver keeps the blocks that count in one form
		s.Ledger, err = opened(embedded.Open(dir, s.Key, embedded.Options{ReadOnly: true}))
	case driver == driverFabric:
		err = s.openFabric(ctx, o, past)
	case fabric.Here(dir):
		err = fmt.Errorf("the ledger in %s is on Fabric, ledger.driver is %q: give another state directory, or ledger.driver: %s", dir, driver, driverFabric)
	default:
		s.Ledger, err = opened(embedded.Open(dir, s.Key, embedded.Options{BlockTxs: o.BlockTxs, BlockAge: o.BlockAge, Past: past}))
	}
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// opened keeps a nil pointer from becoming an interface that is not nil.
func opened(l *embedded.Ledger, err error) (ledger.Ledger, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

// openFabric remembers the connection once it has led to the channel.
func (s *State) openFabric(ctx context.Context, o StateOptions, past func(uint64, []*contract.Signed) error) (err error) {
	j, known, err := openConnection(s.path(ledgerDir, connectionFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	c := o.Fabric
	if c == (fabric.Connection{}) {
		c = known
	}
	l, err := fabric.Open(ctx, s.path(ledgerDir), s.Key, fabric.Options{Connection: c, BlockTxs: o.BlockTxs, BlockAge: o.BlockAge, Log: o.Log, Past: past})
	if err != nil {
		return err
	}
	s.Ledger = l
	return noteConnection(j, known, c)
}

func noteConnection(j *journal.Journal, known, c fabric.Connection) error {
	if c == known {
		return nil
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return j.Append(raw)
}

// openConnection gives the newest connection noted, zero without one.
func openConnection(path string) (*journal.Journal, fabric.Connection, error) {
	var c fabric.Connection
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, c, err
	}
	j, err := journal.Open(path, connectionKind, func(_ int, raw []byte) error {
		c = fabric.Connection{}
		return json.Unmarshal(raw, &c)
	})
	return j, c, err
}

// CheckFabric tries the connection to Fabric that a configuration names. It
// writes nothing.
func CheckFabric(ctx context.Context, c Config, patience time.Duration) (*fabric.Report, error) {
	if c.Ledger.Driver != driverFabric {
		return nil, fmt.Errorf("ledger.driver is not %s: there is nothing to check", driverFabric)
	}
	return fabric.Check(ctx, fabric.Options{Connection: fabric.Connection(c.Ledger.Fabric), Patience: patience})
}

// FabricRequest makes a request for a certificate, PEM, for the key that a
// configuration names, of a client with that name.
func FabricRequest(c Config, name string) ([]byte, error) {
	if c.Ledger.Driver != driverFabric {
		return nil, fmt.Errorf("ledger.driver is not %s: there is no key to ask for", driverFabric)
	}
	return fabric.Connection(c.Ledger.Fabric).Request(name)
}

// viewConnection gives the newest connection noted, beside the process that notes.
func viewConnection(path string) (c fabric.Connection, err error) {
	j, err := journal.View(path, connectionKind, func(_ int, raw []byte) error {
		c = fabric.Connection{}
		return json.Unmarshal(raw, &c)
	})
	if err != nil {
		return c, fmt.Errorf("how the channel was reached: %w", err)
	}
	return c, j.Close()
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bellwether/internal/identity"
	"bellwether/internal/ledger/fabric"
)

// Migrate carries a zone's embedded ledger over to the channel of Fabric that a
// configuration names; see fabric.Migrate. Whatever stops it, the same call goes
// on; a zone that is on that channel already is left as it is, which the
// result's Done says with nothing to do.
type Migrate struct {
	StateDir string
	Config   Config
	Dry      bool          // only look
	Patience time.Duration // with the channel: 60 s
	Progress func(stage string, done, total int64)
}

// Run does it.
func (m Migrate) Run(ctx context.Context) (*fabric.Migration, error) {
	if m.Config.Ledger.Driver != driverFabric {
		return nil, fmt.Errorf("ledger.driver is not %s: the configuration has to name the channel to go to", driverFabric)
	}
	if err := prepareDir(m.StateDir, true); err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, m.StateDir, nil)
	if err != nil {
		return nil, err
	}
	s := &State{Dir: m.StateDir, lock: lock}
	out, err := m.run(ctx, s)
	return out, errors.Join(err, s.Close())
}

func (m Migrate) run(ctx context.Context, s *State) (out *fabric.Migration, err error) {
	if s.Key, err = identity.Load(s.path(keyFile)); err != nil {
		return nil, err
	}
	to := fabric.Connection(m.Config.Ledger.Fabric)
	out, err = fabric.Migrate(ctx, s.path(ledgerDir), s.Key, fabric.Migrating{
		Options:  fabric.Options{Connection: to, Patience: m.Patience},
		Dry:      m.Dry,
		Progress: func(done, total int64) { m.Progress("append", done, total) },
		Ready: func() error {
			j, known, err := openConnection(s.path(ledgerDir, connectionFile))
			if err != nil {
				return err
			}
			return errors.Join(noteConnection(j, known, to), j.Close())
		},
	})
	if err != nil {
		return out, fmt.Errorf("migrate: %w", err)
	}
	return out, nil
}

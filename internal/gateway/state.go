package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"bellwether/internal/bus"
	"bellwether/internal/contract"
	"bellwether/internal/durable"
	"bellwether/internal/feature"
	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric"
	"bellwether/internal/monitor"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// formatLine is the whole content of a state directory's FORMAT file.
const formatLine = "bellwether state 1\n"

// The places in a state directory.
const (
	formatFile = "FORMAT"
	lockFile   = "lock"
	keyFile    = "master.key"
	ledgerDir  = "ledger"
	storeDir   = "store"
	modelDir   = "models"
	alertFile  = "alerts.log"
	leaseFile  = "leases.log"
	trialFile  = "trials.log"
	runFile    = "runs.log"
	mudFile    = "mud.log"
)

// Identity is how a zone is created when its state directory is empty.
type Identity struct {
	Name    string    // of the zone
	UseCase string    // one of trust.Presets
	Created zone.Time // moment of creation
}

// StateOptions say how the parts of a state directory work.
type StateOptions struct {
	BlockTxs int           // transactions that fill a block: 100
	BlockAge time.Duration // and how old its first may get: 10 s
	MaxAge   time.Duration // of stored snapshots, 0 keeps them
	MaxBytes int64         // of stored snapshots, 0 sets no bound
	Existing bool          // never create, only open what is there
	ReadOnly bool          // and change nothing, not even if another process has it open
	Identity Identity
	Driver   string            // embedded or fabric; empty: that of the directory, embedded for a new one
	Fabric   fabric.Connection // zero: the one that was used last
	Log      *slog.Logger      // of the ledger; nil: nothing is logged
	Hub      *bus.Options      // not nil: a hub is prepared, which takes up the ledger's past as that is read
}

// State is a zone's state directory, open and locked for this process.
type State struct {
	Dir    string
	Key    *identity.Key
	Ledger ledger.Ledger
	Store  *store.Store
	Alerts *monitor.Alerts
	Leases *monitor.Leases // nil when opened for reading only
	Trials *monitor.Trials
	Zone   contract.ZoneState
	lock   *os.File
	hub    *bus.Hub // as it was prepared; nil: without one
	runs   *runs
	muds   *muds
}

// OpenState opens a zone's state directory, or makes a new zone in an empty
// or missing one. Only one process at a time may have it open: another one is
// waited for, but for a gateway that runs; see [InUseError].
func OpenState(ctx context.Context, dir string, o StateOptions) (*State, error) {
	o.Existing = o.Existing || o.ReadOnly
	if err := prepareDir(dir, o.Existing); err != nil {
		return nil, err
	}
	s := &State{Dir: dir}
	if !o.ReadOnly {
		var err error
		if s.lock, err = lockDir(ctx, dir, o.Log); err != nil {
			return nil, err
		}
	}
	if err := s.open(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepareDir makes sure that dir is a state directory of this version.
func prepareDir(dir string, existing bool) error {
	path := filepath.Join(dir, formatFile)
	b, err := os.ReadFile(path)
	switch {
	case err == nil && string(b) == formatLine:
		return nil
	case err == nil:
		return fmt.Errorf("%s says %q: this program reads %q; use the program version that made it, or another --state", path, b, formatLine)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("state directory: %w", err)
	case existing:
		return fmt.Errorf("%s is not a state directory of Bellwether (it has no %s file)", dir, formatFile)
	}
	entries, err := os.ReadDir(dir)
	if err == nil && !onlyUnfinished(entries) {
		return fmt.Errorf("%s is neither empty nor a state directory of Bellwether (it has no %s file): give another --state", dir, formatFile)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	for _, sub := range []string{ledgerDir, storeDir, modelDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o750); err != nil {
			return fmt.Errorf("state directory: %w", err)
		}
	}
	if err := durable.WriteFile(path, []byte(formatLine), 0o640); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

// onlyUnfinished reports a directory that holds nothing but what prepareDir
// makes before FORMAT, as a crash in between leaves it.
func onlyUnfinished(entries []os.DirEntry) bool {
	for _, e := range entries {
		switch {
		case e.IsDir() && (e.Name() == ledgerDir || e.Name() == storeDir || e.Name() == modelDir):
		case durable.IsTemporary(e.Name()):
		default:
			return false
		}
	}
	return true
}

func (s *State) open(ctx context.Context, o StateOptions) (err error) {
	if s.Key, err = s.key(o.Existing); err != nil {
		return err
	}
	if o.Hub != nil {
		if s.hub, err = bus.Prepare(s.path(memberDir), *o.Hub); err != nil {
			return err
		}
	}
	if err := s.openLedger(ctx, o); err != nil {
		return err
	}
	if err := s.findZone(ctx, o); err != nil {
		return err
	}
	if s.Store, err = store.Open(s.path(storeDir), s.storeOptions(o)); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	openAlerts, openTrials := monitor.OpenAlerts, monitor.OpenTrials
	if o.ReadOnly {
		openAlerts, openTrials = monitor.ViewAlerts, monitor.ViewTrials
	}
	if s.Alerts, err = openAlerts(s.path(alertFile)); err != nil {
		return err
	}
	if s.Trials, err = openTrials(s.path(trialFile)); err != nil {
		return err
	}
	devices, err := contract.Devices(s.Ledger.State())
	if err != nil {
		return err
	}
	if s.muds, err = readMUDs(s.path(mudFile), devices); err != nil {
		return err
	}
	if o.ReadOnly {
		return nil // what looks unfinished may be a running gateway's
	}
	if err := s.muds.mend(); err != nil {
		return err
	}
	if s.Leases, err = monitor.OpenLeases(s.path(leaseFile)); err != nil {
		return err
	}
	if s.runs, err = openRuns(s.path(runFile)); err != nil {
		return err
	}
	return errors.Join(removeTemporaries(s.Dir), removeTemporaries(s.path(modelDir)), removeTemporaries(s.path(ledgerDir)), removeTemporaries(s.path(memberDir)))
}

func (s *State) path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir}, parts...)...)
}

// key loads the master's key; one is made only while there is no ledger.
func (s *State) key(existing bool) (*identity.Key, error) {
	entries, err := os.ReadDir(s.path(ledgerDir))
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if len(entries) == 0 && !existing {
		return identity.LoadOrCreate(s.path(keyFile))
	}
	return identity.Load(s.path(keyFile))
}

func (s *State) storeOptions(o StateOptions) store.Options {
	return store.Options{Zone: s.Zone.ID.String(), Names: feature.Names(), MaxAge: o.MaxAge, MaxBytes: o.MaxBytes, ReadOnly: o.ReadOnly}
}

// findZone reads the zone from the ledger, or creates it.
func (s *State) findZone(ctx context.Context, o StateOptions) error {
	if s.Ledger.Height() == 0 {
		if o.Existing {
			return fmt.Errorf("state directory %s holds no zone yet", s.Dir)
		}
		if err := s.createZone(ctx, o.Identity); err != nil {
			return fmt.Errorf("creating the zone: %w", err)
		}
	}
	past, err := s.worldAt(ctx, 1)
	if err != nil {
		return err
	}
	z, ok, err := contract.ReadZone(past)
	if err != nil || !ok {
		return errors.Join(fmt.Errorf("ledger block 0 creates no zone"), err)
	}
	if string(z.Master[:]) != string(s.Key.Ed25519()) {
		return fmt.Errorf("%s is not the key of zone %s, which the ledger names as its master", s.path(keyFile), z.Name)
	}
	s.Zone = z
	return nil
}

func (s *State) createZone(ctx context.Context, id Identity) error {
	master := s.Key.Ed25519()
	body := &contract.ZoneCreated{Name: id.Name, UseCase: id.UseCase, Master: [32]byte(master)}
	tx := contract.Tx{Zone: contract.GroupID(master, id.Created, id.Name), Time: id.Created, N: 1, Body: body}
	raw, err := tx.Sign(s.Key)
	if err != nil {
		return err
	}
	if err := s.Ledger.Submit(ctx, raw); err != nil {
		return err
	}
	return s.Ledger.Commit(ctx)
}

// Close releases the state directory.
func (s *State) Close() error {
	var errs []error
	if s.hub != nil {
		errs = append(errs, s.hub.Close())
	}
	if s.runs != nil {
		errs = append(errs, s.runs.close())
	}
	if s.Leases != nil {
		errs = append(errs, s.Leases.Close())
	}
	if s.Trials != nil {
		errs = append(errs, s.Trials.Close())
	}
	if s.Alerts != nil {
		errs = append(errs, s.Alerts.Close())
	}
	if s.Store != nil {
		errs = append(errs, s.Store.Close())
	}
	if s.Ledger != nil {
		errs = append(errs, s.Ledger.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

func removeTemporaries(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a zone without members
	}
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	for _, e := range entries {
		if durable.IsTemporary(e.Name()) || identity.IsTemporary(e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("state directory: %w", err)
			}
		}
	}
	return nil
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bellwether/internal/backup"
	"bellwether/internal/bus"
	"bellwether/internal/durable"
	"bellwether/internal/feature"
	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// RestoreOptions say which zone is restored, and where.
type RestoreOptions struct {
	File   string   // the backup
	Shares []string // files with shares of its key
	Dir    string   // the state directory to make; empty: a drill, of which nothing is kept
	Now    zone.Time
	// Progress, if not nil, is told how far the check is.
	Progress func(stage string, done, total int64) `json:"-"`
}

// RestoreReport is what a restore, or a drill, came to.
type RestoreReport struct {
	Dir    string    `json:"dir,omitempty"`
	Drill  bool      `json:"drill"`
	ID     backup.ID `json:"backup"`
	Name   string    `json:"name"`
	Anchor string    `json:"anchor"`
	Made   string    `json:"made"`  // when the backup was
	Store  bool      `json:"store"` // the snapshots were in it
	Bytes  int64     `json:"bytes"` // of the backup
	Audit
	Newest string `json:"newest"` // time of the newest block
	// Stranded says that a replay was under way, which cannot go on without the
	// snapshots that it has stored: it has to be given up.
	Stranded bool    `json:"stranded,omitempty"`
	Members  bool    `json:"members,omitempty"` // it has members: their open invites were taken back
	Seconds  float64 `json:"seconds"`
}

// Restore makes a zone's state directory from a backup and shares of its key. It
// is there when all of it is durable and was verified; before that nothing is, but
// an unfinished one beside it, which the next try takes away.
func Restore(ctx context.Context, o RestoreOptions) (r *RestoreReport, err error) {
	began := time.Now()
	f, err := os.Open(o.File)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer f.Close()
	in, err := backup.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.File, err)
	}
	shares, err := readShares(o.Shares, in.ID())
	if err != nil {
		return nil, err
	}
	info, err := in.Open(shares)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.File, err)
	}
	r = &RestoreReport{Dir: o.Dir, Drill: o.Dir == "", ID: in.ID(), Name: info.Name, Made: zone.Time(info.Made).String(), Store: info.Store}
	if size, err := f.Stat(); err == nil {
		r.Bytes = size.Size()
	}
	tmp, lock, err := unfinished(o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close(), os.RemoveAll(tmp)) }()
	if err := extract(ctx, in, tmp, info.Store); err != nil {
		return nil, fmt.Errorf("%s: %w", o.File, err)
	}
	if err := r.finish(ctx, tmp, info, o); err != nil {
		return nil, fmt.Errorf("%s: %w", o.File, err)
	}
	if !r.Drill {
		if err := os.Rename(tmp, o.Dir); err != nil {
			return nil, fmt.Errorf("restore: %w", err)
		}
		if err := durable.SyncDir(filepath.Dir(o.Dir)); err != nil {
			return nil, fmt.Errorf("restore: %w", err)
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// readShares reads files with shares; an error says what is wrong with each.
func readShares(paths []string, of backup.ID) ([]backup.Share, error) {
	var shares []backup.Share
	var errs []error
	for _, name := range paths {
		s, err := readShare(name, of)
		if err != nil {
			errs = append(errs, fmt.Errorf("share %s: %w", name, err))
			continue
		}
		shares = append(shares, s)
	}
	return shares, errors.Join(errs...)
}

// readShare reads the share in a file; among several, that of the given backup.
func readShare(path string, of backup.ID) (backup.Share, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return backup.Share{}, err
	}
	texts := backup.SplitShares(string(b))
	if len(texts) < 2 {
		return backup.ParseShare(string(b))
	}
	var errs []error
	for _, text := range texts {
		s, err := backup.ParseShare(text)
		if err == nil && s.Backup == of {
			return s, nil
		}
		errs = append(errs, err)
	}
	return backup.Share{}, errors.Join(append(errs, fmt.Errorf("none of its %d shares is of backup %s", len(texts), of))...)
}

// unfinished makes the directory that is filled, and locks it. What a restore of
// the same directory left that was killed goes.
func unfinished(dir string) (tmp string, lock *os.File, err error) {
	if dir == "" {
		if tmp, err = os.MkdirTemp("", "bellwether-drill-"); err == nil {
			lock, err = tryLock(tmp)
		}
		return tmp, lock, err
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return "", nil, fmt.Errorf("restore: %s is there already (%v): a zone is restored into a directory that does not exist yet", dir, err)
	}
	tmp = filepath.Clean(dir) + ".restoring"
	if _, err := os.Lstat(tmp); err == nil {
		lock, err := tryLock(tmp)
		if err != nil {
			return "", nil, fmt.Errorf("restore: another one is at work: %w", err)
		}
		if err := errors.Join(os.RemoveAll(tmp), lock.Close()); err != nil {
			return "", nil, fmt.Errorf("restore: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(tmp), 0o750); err != nil {
		return "", nil, fmt.Errorf("restore: %w", err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return "", nil, fmt.Errorf("restore: %w", err)
	}
	lock, err = tryLock(tmp)
	return tmp, lock, err
}

// extract writes the backup's files, which have to be of a state directory.
func extract(ctx context.Context, in *backup.Reader, dir string, rows bool) error {
	for _, sub := range []string{ledgerDir, storeDir, modelDir, memberDir} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o750); err != nil {
			return err
		}
	}
	for {
		name, size, err := in.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		folder, base := path.Split(name)
		if !slices.Contains(inBackup(), name) && !(folder == modelDir+"/" && isModelFile(base)) && !(rows && folder == storeDir+"/" && store.IsSegmentFile(base)) {
			return fmt.Errorf("the backup holds %.100q, which is no file of a state directory of this version", name)
		}
		if err := extractFile(filepath.Join(dir, name), in, size); err != nil {
			return err
		}
	}
	for _, sub := range []string{ledgerDir, storeDir, modelDir, memberDir, "."} {
		if err := durable.SyncDir(filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	return nil
}

func extractFile(at string, in io.Reader, size int64) error {
	f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, in, size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// maxNamed is how many findings an error names.
const maxNamed = 5

// finish notes which snapshots are not there, and verifies all of it.
func (r *RestoreReport) finish(ctx context.Context, dir string, info backup.Info, o RestoreOptions) error {
	if err := prepareDir(dir, true); err != nil {
		return err
	}
	if err := r.settleDesk(dir); err != nil {
		return err
	}
	if err := settleStore(filepath.Join(dir, storeDir), info, o.Now); err != nil {
		return err
	}
	key, err := identity.Load(filepath.Join(dir, keyFile))
	if err != nil {
		return err
	}
	progress := o.Progress
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	a, err := verifyState(ctx, dir, key.Ed25519(), progress)
	if err != nil {
		return err
	}
	r.Audit = *a
	if a.Zone.String() != info.Zone {
		a.Findings = append(a.Findings, fmt.Sprintf("the ledger is of zone %s, the backup says %s", a.Zone, info.Zone))
	}
	if n := len(a.Findings); n > 0 {
		return fmt.Errorf("the restored zone does not hold, and nothing was kept of it; %d findings: %s", n, strings.Join(a.Findings[:min(n, maxNamed)], "; "))
	}
	if r.Anchor, err = identity.Anchor(ledger.Origin(a.Zone), key.Ed25519()); err != nil {
		return err
	}
	if r.Stranded, err = stranded(filepath.Join(dir, runFile), info); err != nil {
		return err
	}
	return r.newest(dir)
}

// settleDesk says at the members' desk, if there is one, that it was restored.
func (r *RestoreReport) settleDesk(dir string) error {
	dir = filepath.Join(dir, memberDir)
	if _, err := os.Stat(filepath.Join(dir, bus.DeskFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	d, err := bus.OpenDesk(dir, zone.Hash{}, nil, 0) // which signs nothing
	if err != nil {
		return err
	}
	r.Members = true
	return errors.Join(d.Restored(), d.Close())
}

func stranded(path string, info backup.Info) (bool, error) {
	runs, err := openRuns(path)
	if err != nil {
		return false, err
	}
	return !info.Store && runs.unfinished() != nil, runs.close()
}

// settleStore brings the store to where a start brings it, and without snapshots
// notes that all of them are gone.
func settleStore(dir string, info backup.Info, now zone.Time) error {
	s, err := store.Open(dir, store.Options{Zone: info.Zone, Names: feature.Names()})
	if err != nil {
		return err
	}
	if err = s.Damage(); err == nil && !info.Store {
		err = s.Forget(now)
	}
	return errors.Join(err, s.Close())
}

func (r *RestoreReport) newest(dir string) error {
	head, err := newestBlock(dir)
	if err == nil {
		r.Newest = head.Header.Time.String()
	}
	return err
}

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// Options are what a store is opened with.
type Options struct {
	// Zone names the zone whose rows these are. A store keeps the name it was
	// begun with and refuses any other.
	Zone string
	// Names are the columns of the features, in the order of Snapshot.Features.
	// All are needed, and no two may be alike.
	Names [zone.Features]string
	// MaxAge is how long Retain keeps a segment after its newest row; 0 keeps
	// it for ever.
	MaxAge time.Duration
	// MaxBytes is how much Retain lets all segment files take; 0 sets no limit.
	MaxBytes int64
	// ReadOnly opens the store as it is found and changes nothing on the disk,
	// as for a verification beside a running gateway.
	ReadOnly bool
}

// Store is an open store. Its methods may be called concurrently; Append,
// AddReceipts and Retain wait for each other, and no reader waits for them.
type Store struct {
	dir     string
	options Options
	cols    []column
	journal *journal.Journal // nil when nothing may be written
	lock    *os.File         // nil with Options.ReadOnly
	damage  error            // why nothing may be written
	swept   int

	writing sync.Mutex // held while the disk is written

	mu    sync.RWMutex // guards what follows
	index *index
}

// ErrReadOnly is the error of every write to a store opened with ReadOnly.
var ErrReadOnly = errors.New("the store was opened for reading only")

// Open opens the store in a directory and creates it if there is none, unless
// Options.ReadOnly is set. One process may have it open for writing.
//
// What a crash left unfinished goes: temporary files, a segment that its
// manifest does not name yet, and a segment that retention has condemned. A
// store with a damaged manifest opens too, so that Verify can say what is left
// of it, but refuses to be written; see [Store.Damage].
func Open(dir string, o Options) (*Store, error) {
	cols, err := checkOptions(o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	s := &Store{dir: dir, options: o, cols: cols, index: newIndex()}
	if err := s.open(); err != nil {
		s.Close()
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func checkOptions(o Options) ([]column, error) {
	if o.MaxAge < 0 || o.MaxBytes < 0 {
		return nil, fmt.Errorf("retention by an age of %v and %d bytes: neither may be negative", o.MaxAge, o.MaxBytes)
	}
	cols := columns(o.Names)
	seen := map[string]bool{"": true}
	for _, c := range cols {
		if seen[c.name] {
			return nil, fmt.Errorf("the column name %q is empty or taken twice", c.name)
		}
		seen[c.name] = true
	}
	return cols, nil
}

func (s *Store) open() error {
	if s.options.ReadOnly {
		if _, err := os.Stat(s.dir); err != nil {
			return err
		}
		s.damage = ErrReadOnly
		if err := s.scan(); err != nil {
			s.damage = err
		}
		return s.checkZone()
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	var err error
	if s.lock, err = lockDir(s.dir); err != nil {
		return err
	}
	if err := s.openManifest(); err != nil {
		return err
	}
	if err := s.checkZone(); err != nil || s.damage != nil {
		return err
	}
	if s.index.head == nil {
		if err := s.commit(&record{Head: &head{Format: format1, Zone: s.options.Zone}}); err != nil {
			return err
		}
	}
	return s.sweep()
}

// openManifest reads the manifest for writing. If it is damaged, or a record of
// it makes no sense, what comes before is read and s.damage is set.
func (s *Store) openManifest() error {
	path := filepath.Join(s.dir, ManifestFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		files, err := s.files()
		if err != nil {
			return err
		}
		if len(files.segments) > 0 {
			s.damage = fmt.Errorf("the manifest is missing, but there are %d segments; restore %s from a copy", len(files.segments), path)
			return nil
		}
	}
	j, err := journal.Open(path, manifestKind, s.replay)
	s.journal = j
	damage := (*journal.DamageError)(nil)
	if errors.As(err, &damage) || err != nil && s.index.head != nil {
		s.damage = err
		return nil
	}
	return err
}

// replay takes over one record of the manifest.
func (s *Store) replay(_ int, payload []byte) error {
	r, err := decodeRecord(payload)
	if err != nil {
		return err
	}
	return s.index.apply(r)
}

// scan reads the manifest up to the first damage, which it returns.
func (s *Store) scan() error {
	for rec, err := range journal.Scan(filepath.Join(s.dir, ManifestFile), manifestKind) {
		if torn := (*journal.TornError)(nil); errors.As(err, &torn) {
			return nil
		}
		if err == nil {
			err = s.replay(rec.Number, rec.Payload)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) checkZone() error {
	if h := s.index.head; h != nil && s.options.Zone != "" && h.Zone != s.options.Zone {
		return fmt.Errorf("it holds the rows of zone %q, not of %q", h.Zone, s.options.Zone)
	}
	return nil
}

// commit makes records durable and then true in memory.
func (s *Store) commit(records ...*record) error {
	payloads := make([][]byte, len(records))
	for i, r := range records {
		var err error
		if payloads[i], err = r.encode(); err != nil {
			return err
		}
	}
	if err := s.journal.Append(payloads...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		if err := s.index.apply(r); err != nil {
			return err
		}
	}
	return nil
}

// Damage says why the store cannot be written: what is wrong with its manifest,
// or ErrReadOnly; nil if it can.
func (s *Store) Damage() error { return s.damage }

// Swept gives how many files Open removed that a crash had left unfinished.
func (s *Store) Swept() int { return s.swept }

// Last gives the newest SEQ-ID ever stored, 0 if there is none. Retention does
// not change it.
func (s *Store) Last() zone.SeqID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.last()
}

// First gives the oldest SEQ-ID that retention has kept, Last()+1 if none.
func (s *Store) First() zone.SeqID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index.gone < len(s.index.segments) {
		return s.index.segments[s.index.gone].First
	}
	return s.index.last() + 1
}

// Bytes gives the size of all segment files that retention has kept.
func (s *Store) Bytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.bytes
}

// Segments gives every segment from the first, removed ones too. Their Ranges
// are shared and not to be changed.
func (s *Store) Segments() []Segment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.index.segments)
}

// Close closes the store. Everything acknowledged is durable already.
func (s *Store) Close() error {
	var errs [2]error
	if s.journal != nil {
		errs[0] = s.journal.Close()
	}
	if s.lock != nil {
		errs[1] = s.lock.Close()
	}
	return errors.Join(errs[:]...)
}

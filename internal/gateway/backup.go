package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bellwether/internal/backup"
	"bellwether/internal/durable"
	"bellwether/internal/journal"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// BackupOptions say how a zone is backed up.
type BackupOptions struct {
	File      string    // to write; the shares are written beside it
	Shares    int       // that the key is split into
	Threshold int       // how many of them give it back
	Store     bool      // the snapshots too
	Now       zone.Time // when it is made
}

// BackupReport is what a backup came to.
type BackupReport struct {
	File      string    `json:"file"`
	ID        backup.ID `json:"backup"`
	Zone      zone.Hash `json:"zone"`
	Name      string    `json:"name"`
	Store     bool      `json:"store"`
	Files     int       `json:"files"` // of the state directory
	Bytes     int64     `json:"bytes"` // of the backup
	Threshold int       `json:"threshold"`
	Shares    []string  `json:"shares"`            // the files with them
	Holders   []string  `json:"holders,omitempty"` // members that got one instead
	Seconds   float64   `json:"seconds"`
}

// Backup writes an encrypted copy of a zone's state directory and the shares of
// its key. A gateway may run meanwhile: the copy is what the directory held at one
// moment. The file is there when all is durable, and then the shares are too.
func Backup(ctx context.Context, dir string, o BackupOptions) (*BackupReport, error) {
	began := time.Now()
	r := &BackupReport{File: o.File, Store: o.Store, Threshold: o.Threshold}
	for i := range o.Shares {
		r.Shares = append(r.Shares, fmt.Sprintf("%s.share-%d", o.File, i+1))
	}
	for _, name := range append(slices.Clone(r.Shares), o.File) {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("backup: %s is there already (%v): give another name, or move it away; nothing is overwritten", name, err)
		}
	}
	s, err := OpenState(ctx, dir, StateOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	r.Zone, r.Name = s.Zone.ID, s.Zone.Name
	if err := s.Close(); err != nil {
		return nil, err
	}
	err = durable.Write(o.File, 0o600, func(w io.Writer) error { return r.write(ctx, w, dir, o) })
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if info, err := os.Stat(o.File); err == nil {
		r.Bytes = info.Size()
	}
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// write writes the backup, and then the shares: they are durable before the
// backup has its name.
func (r *BackupReport) write(ctx context.Context, w io.Writer, dir string, o BackupOptions) error {
	key := backup.NewKey()
	out, err := backup.NewWriter(w, key, backup.Info{Zone: r.Zone.String(), Name: r.Name, Made: int64(o.Now), Store: o.Store})
	if err != nil {
		return err
	}
	r.ID = out.ID()
	shares, err := backup.Split(key, r.Zone, r.ID, o.Threshold, o.Shares)
	if err != nil {
		return err
	}
	c := &copying{ctx: ctx, dir: dir, to: out, done: map[string]bool{}}
	if err := c.state(o.Store); err != nil {
		return err
	}
	r.Files = c.files
	if err := out.Close(); err != nil {
		return err
	}
	for i, s := range shares {
		if err := durable.WriteFile(r.Shares[i], []byte(s.Encode()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// copying is a state directory on its way into a backup.
type copying struct {
	ctx   context.Context
	dir   string
	to    *backup.Writer
	files int
	done  map[string]bool // segments that are in it
}

// state copies the directory. What is written once and never changed is found
// after the moment that the journals are of, since they name it only once it is
// durable. Segments alone may go meanwhile, so those that are there are copied
// before, and then those that came: retention takes the oldest.
func (c *copying) state(rows bool) error {
	if rows {
		if err := c.folder(storeDir, store.IsSegmentFile); err != nil {
			return err
		}
	}
	m, err := momentOf(c.ctx, c.dir)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.complete(c.dir); err != nil {
		return err
	}
	return c.copy(m, rows)
}

// copy copies what was there at a moment.
func (c *copying) copy(m moment, rows bool) error {
	for _, name := range slices.Sorted(maps.Keys(m.texts)) {
		if err := c.add(name, int64(len(m.texts[name])), strings.NewReader(m.texts[name])); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.journals)) {
		if err := c.journal(name, m.journals[name]); err != nil {
			return err
		}
	}
	if err := c.folder(modelDir, isModelFile); err != nil || !rows {
		return err
	}
	named, err := store.SegmentFiles(filepath.Join(c.dir, storeDir), m.journals[manifestName].Size())
	if err != nil {
		return err
	}
	for _, name := range named {
		if err := c.file(path.Join(storeDir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) add(name string, size int64, r io.Reader) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.files++
	return c.to.Add(name, size, r)
}

// journal copies the whole records that a journal had.
func (c *copying) journal(name string, j looked) error {
	size, err := journal.Whole(j.file, j.Size())
	if err != nil {
		return err
	}
	if size == 0 {
		return fmt.Errorf("%s was not begun yet: start the gateway once, then make the backup", j.file.Name())
	}
	return c.add(name, size, io.NewSectionReader(j.file, 0, size))
}

// folder copies the files of a folder that belong. One that goes meanwhile was
// removed by retention.
func (c *copying) folder(folder string, belongs func(string) bool) error {
	entries, err := os.ReadDir(filepath.Join(c.dir, folder))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !belongs(e.Name()) {
			continue
		}
		if err := c.file(path.Join(folder, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// file copies a file that never changes, once.
func (c *copying) file(name string) error {
	if c.done[name] {
		return nil
	}
	f, err := os.Open(filepath.Join(c.dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.Name())
	}
	c.done[name] = true
	return c.add(name, info.Size(), f)
}

// manifestName is the store's journal in a state directory.
const manifestName = storeDir + "/" + store.ManifestFile

// inBackup lists what a backup holds beside models and segments: all that may be in
// a state directory but what a process makes while it runs.
func inBackup() []string {
	names := []string{manifestName}
	for dir, all := range belongs() {
		for _, name := range all {
			if !slices.Contains([]string{lockFile, socketFile, ledgerDir, storeDir, modelDir, memberDir}, name) {
				names = append(names, path.Join(dir, name))
			}
		}
	}
	slices.Sort(names)
	return names
}

// isJournal tells a file that is appended to from one that is replaced whole.
func isJournal(name string) bool { return strings.HasSuffix(name, ".log") || name == manifestName }

// isModelFile reports the name of a model file: 64 hexadecimal digits and .model.
func isModelFile(name string) bool {
	digest, ok := strings.CutSuffix(name, ".model")
	return ok && new(zone.Hash).UnmarshalText([]byte(digest)) == nil
}

// moment is what a state directory held at one moment: its journals, open, and the
// contents of what is not a journal.
type moment struct {
	journals map[string]looked
	texts    map[string]string
}

// looked is a journal as it was. It is read through its file, since another may get
// its name.
type looked struct {
	file *os.File
	fs.FileInfo
}

func (j looked) equal(other looked) bool {
	return os.SameFile(j.FileInfo, other.FileInfo) && j.Size() == other.Size()
}

func (m moment) equal(other moment) bool {
	return maps.EqualFunc(m.journals, other.journals, looked.equal) && maps.Equal(m.texts, other.texts)
}

// close closes the journals, which were only read.
func (m moment) close() {
	for _, j := range m.journals {
		j.file.Close()
	}
}

// patience bounds how long momentOf looks for a moment in which nothing is written.
const patience = time.Minute

// momentOf looks until it has seen the same twice. Journals only grow or give their
// name to another file, and what is replaced is never as it was before: so all of it
// was there at once, between the end of one look and the beginning of the next. The
// caller closes it.
func momentOf(ctx context.Context, dir string) (moment, error) {
	before, err := look(dir)
	for end := time.Now().Add(patience); err == nil; {
		var now moment
		now, err = look(dir)
		same := err == nil && before.equal(now) // both are open: no other file is taken for the same
		before.close()
		if same {
			return now, nil
		}
		if err != nil {
			return moment{}, err
		}
		if err = ctx.Err(); err == nil && time.Now().After(end) {
			err = fmt.Errorf("the state directory %s changes all the time: stop the gateway for the backup", dir)
		}
		before = now
	}
	before.close()
	return moment{}, err
}

// maxText is more than any file that is no journal has bytes.
const maxText = 64 << 20

// look opens the journals and reads the rest.
func look(dir string) (moment, error) {
	m := moment{map[string]looked{}, map[string]string{}}
	if err := m.look(dir); err != nil {
		m.close()
		return moment{}, err
	}
	return m, nil
}

func (m moment) look(dir string) error {
	for _, name := range inBackup() {
		at := filepath.Join(dir, name)
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || !isJournal(name) && info.Size() > maxText {
			return fmt.Errorf("%s is not a file of a state directory", at)
		}
		if isJournal(name) {
			m.journals[name], err = openLooked(at)
		} else {
			var b []byte
			b, err = os.ReadFile(at)
			m.texts[name] = string(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func openLooked(at string) (looked, error) {
	f, err := os.Open(at)
	if err != nil {
		return looked{}, err
	}
	info, err := f.Stat()
	return looked{f, info}, err
}

// complete refuses a directory whose making a crash has ended: a copy of it would
// not pass as a zone.
func (m moment) complete(dir string) error {
	for _, name := range []string{path.Join(ledgerDir, "blocks.log"), manifestName, alertFile, leaseFile, runFile} {
		if _, ok := m.journals[name]; !ok {
			return fmt.Errorf("%s is missing: start the gateway once, or `bellwether ledger verify` says what is wrong", filepath.Join(dir, name))
		}
	}
	return nil
}

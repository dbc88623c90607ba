package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// Finding is one thing that is not as it was stored.
type Finding struct {
	Segment uint64 // 0: none
	File    string // its name in the store's directory
	Row     zone.SeqID
	Offset  int64 // where in the file, -1 if that cannot be told
	Reason  string
}

func (f Finding) String() string {
	s := f.File
	if f.Offset >= 0 {
		s += fmt.Sprintf(" at byte %d", f.Offset)
	}
	if f.Row > 0 {
		s += fmt.Sprintf(", SEQ %d", f.Row)
	}
	return s + ": " + f.Reason
}

// Verify reads every byte of the store and gives all that is wrong with it: in
// the manifest, in each segment file against its SHA-256, each row against its
// hash, each range against its root, and files that are missing or do not
// belong. Damage in a file is located by blocks of 4096 bytes and, as far as
// its content can still be read, by column and row.
//
// roots, if not nil, says which root the ledger has for a range; a range that
// the ledger does not know is no finding. progress, if not nil, is told after
// each segment how many are done. The error is for what kept Verify from
// looking: the context's, or the directory's.
func (s *Store) Verify(ctx context.Context, roots func(Segment, Range) (zone.Hash, bool), progress func(done, total int)) ([]Finding, error) {
	v := &verifier{store: s, roots: roots}
	v.manifest()
	for i, f := range v.filed {
		if err := ctx.Err(); err != nil {
			return v.findings, fmt.Errorf("verify: %w", err)
		}
		v.segment(f)
		if progress != nil {
			progress(i+1, len(v.filed))
		}
	}
	if err := v.strangers(); err != nil {
		return v.findings, fmt.Errorf("verify: %w", err)
	}
	return v.findings, nil
}

// verifier is one run of Verify.
type verifier struct {
	store    *Store
	roots    func(Segment, Range) (zone.Hash, bool)
	findings []Finding

	filed   []*filed
	removed map[uint64]zone.Time
}

func (v *verifier) found(f Finding) { v.findings = append(v.findings, f) }

// manifest reads the manifest anew, past any damage. It keeps writers of this
// process off, so that no record is seen half written.
func (v *verifier) manifest() {
	v.store.writing.Lock()
	defer v.store.writing.Unlock()
	v.removed = map[uint64]zone.Time{}
	replay := newIndex()
	damaged := false
	for rec, err := range journal.Scan(filepath.Join(v.store.dir, ManifestFile), manifestKind) {
		if err == nil {
			err = v.record(rec.Payload, replay, damaged)
		}
		if err != nil {
			damaged = true
			v.found(manifestFinding(rec.Offset, err))
		}
	}
	if known := v.store.Last(); !damaged && replay.last() < known {
		v.found(Finding{File: ManifestFile, Offset: -1, Reason: fmt.Sprintf("it ends at SEQ %d, the store went to SEQ %d before", replay.last(), known)})
	}
}

// record notes what one record says. Once a record is lost, those behind it are
// taken for what they are, without asking whether they follow on each other.
func (v *verifier) record(payload []byte, replay *index, damaged bool) error {
	r, err := decodeRecord(payload)
	if err != nil {
		return err
	}
	if !damaged {
		if err := replay.apply(r); err != nil {
			return err
		}
	}
	switch {
	case r.Filed != nil:
		v.filed = append(v.filed, r.Filed)
	case r.Removal != nil:
		v.removed[r.Removal.Number] = r.Removal.At
	}
	return nil
}

func manifestFinding(offset int64, err error) Finding {
	f := Finding{File: ManifestFile, Offset: offset, Reason: err.Error()}
	var damage *journal.DamageError
	var torn *journal.TornError
	switch {
	case errors.As(err, &damage):
		f.Offset, f.Reason = damage.Offset, fmt.Sprintf("record %d: %s", damage.Record, damage.Reason)
	case errors.As(err, &torn):
		f.Offset, f.Reason = torn.Offset, fmt.Sprintf("record %d is unfinished, %d bytes are there: it is being written, or a crash left it so", torn.Record, torn.Bytes)
	case errors.Is(err, fs.ErrNotExist):
		f.Offset, f.Reason = -1, "it is missing"
	}
	return f
}

// segment checks one segment against its record and the ledger.
func (v *verifier) segment(f *filed) {
	seg := f.segment()
	seg.RemovedAt, seg.Removed = v.removed[f.Number], v.isRemoved(f.Number)
	v.ledger(&seg)
	if seg.Removed {
		return
	}
	b, err := v.store.read(&seg)
	switch {
	case err != nil && v.removedMeanwhile(f.Number):
	case errors.Is(err, fs.ErrNotExist):
		v.found(Finding{seg.Number, seg.File, 0, -1, fmt.Sprintf("it is missing, with SEQ %d to %d", seg.First, seg.Last)})
	case err != nil:
		v.found(Finding{seg.Number, seg.File, 0, -1, err.Error()})
	case zone.Hash(sha256.Sum256(b)) != seg.SHA256:
		v.damaged(f, &seg, b)
	default:
		v.content(&seg, b)
	}
}

func (v *verifier) isRemoved(number uint64) bool {
	_, ok := v.removed[number]
	return ok
}

// removedMeanwhile reports that retention took the segment during Verify.
func (v *verifier) removedMeanwhile(number uint64) bool {
	_, removed := v.store.named()
	return removed[number]
}

// ledger compares the roots with those that the ledger holds.
func (v *verifier) ledger(seg *Segment) {
	if v.roots == nil {
		return
	}
	for _, r := range seg.Ranges {
		if root, ok := v.roots(*seg, r); ok && root != r.Root {
			v.found(Finding{seg.Number, seg.File, r.First, -1, fmt.Sprintf("device %s, SEQ %d to %d: the root is %s, on the ledger it is %s", r.Device, r.First, r.Last, r.Root, root)})
		}
	}
}

// content checks the rows of a file that is as it was written.
func (v *verifier) content(seg *Segment, b []byte) {
	c, err := decode(b, v.store.cols)
	if err != nil {
		v.found(Finding{seg.Number, seg.File, 0, -1, err.Error()})
		return
	}
	v.flaws(seg, c)
	if !v.rows(seg, c) {
		v.rangesOf(seg, c)
	}
}

// strangers finds files that no record speaks of, or that should be gone. The
// directory is read before the manifest, so that what a running gateway has just
// written is known, and a file that it has just removed is looked for again.
func (v *verifier) strangers() error {
	v.store.writing.Lock()
	defer v.store.writing.Unlock()
	l, err := v.store.files()
	if err != nil {
		return err
	}
	filed, removed := v.store.named()
	for n := range l.segments {
		switch {
		case removed[n]:
			l.temporary = append(l.temporary, segmentFile(n))
		case !filed[n]:
			l.unknown = append(l.unknown, segmentFile(n))
		}
	}
	v.strange(l.unknown, "the manifest does not name this file")
	v.strange(l.temporary, "a crash left this file; opening the store for writing removes it")
	return nil
}

func (v *verifier) strange(names []string, reason string) {
	slices.Sort(names)
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(v.store.dir, name)); err == nil {
			v.found(Finding{File: name, Offset: -1, Reason: reason})
		}
	}
}

// named gives the segments that the manifest says are filed and removed at this
// moment, as far as it can be read.
func (s *Store) named() (filed, removed map[uint64]bool) {
	filed, removed = map[uint64]bool{}, map[uint64]bool{}
	for rec, err := range journal.Scan(filepath.Join(s.dir, ManifestFile), manifestKind) {
		if err != nil {
			continue
		}
		r, err := decodeRecord(rec.Payload)
		if err != nil {
			continue
		}
		if r.Filed != nil {
			filed[r.Filed.Number] = true
		}
		if r.Removal != nil {
			removed[r.Removal.Number] = true
		}
	}
	return filed, removed
}

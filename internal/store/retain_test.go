package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bellwether/internal/zone"
)

func TestRetainByAge(t *testing.T) {
	dir := t.TempDir()
	o := testOptions()
	o.MaxAge = time.Hour
	s := mustOpen(t, dir, o)
	rows := newHome(1).rows(300)
	for i := 0; i < 300; i += 100 {
		mustAppend(t, s, rows[i:i+100])
	}
	hour := zone.Time(time.Hour)
	if gone, err := s.Retain(rows[99].Time + hour); err != nil || len(gone) != 0 {
		t.Fatalf("at the limit: removed %d, %v", len(gone), err)
	}
	gone, err := s.Retain(rows[99].Time + hour + 1)
	if err != nil || len(gone) != 1 || !gone[0].Removed || gone[0].Number != 1 {
		t.Fatalf("removed %v, %v", gone, err)
	}
	wantRemoved(t, s, dir, rows[99].Time+hour+1)
	if gone, err := s.Retain(rows[299].Time + 2*hour); err != nil || len(gone) != 2 {
		t.Fatalf("removed %d, %v", len(gone), err)
	}
	if s.Bytes() != 0 || s.First() != 301 || s.Last() != 300 {
		t.Errorf("%d bytes, first %d, last %d", s.Bytes(), s.First(), s.Last())
	}
	s.Close()
	s = mustOpen(t, dir, o)
	if again := mustAppend(t, s, rows[:100]); !again.Removed {
		t.Error("a removed segment, appended once more, is not said to be removed")
	}
	var diverged *DivergedError
	if _, err := s.Append(newHome(2).rows(100)); !errors.As(err, &diverged) {
		t.Errorf("other rows in a removed segment: %v", err)
	}
	wantClean(t, s)
}

// wantRemoved checks that the first 100 rows are gone and the others are not.
func wantRemoved(t *testing.T, s *Store, dir string, at zone.Time) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, segmentFile(1))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	var removed *RemovedError
	if _, err := s.Prove(50); !errors.As(err, &removed) || removed.At != at || removed.Last != 100 {
		t.Errorf("Prove: %v", err)
	}
	for _, err := range s.Rows(t.Context(), 1, 300, zone.MAC{}) {
		if !errors.As(err, &removed) {
			t.Errorf("Rows: %v", err)
		}
	}
	if got := collect(t, s, 0, 0, zone.MAC{}); len(got) != 200 || got[0].Seq != 101 {
		t.Errorf("%d rows are left", len(got))
	}
	wantClean(t, s)
}

func TestRetainByBytes(t *testing.T) {
	o := testOptions()
	s := mustOpen(t, t.TempDir(), o)
	h := newHome(1)
	var sizes []int64
	for range 4 {
		sizes = append(sizes, mustAppend(t, s, h.rows(100)).Bytes)
	}
	s.options.MaxBytes = sizes[2] + sizes[3]
	if gone, err := s.Retain(0); err != nil || len(gone) != 2 || s.Bytes() != sizes[2]+sizes[3] {
		t.Fatalf("removed %d, %d bytes left, %v", len(gone), s.Bytes(), err)
	}
	s.options.MaxBytes = 1
	if gone, err := s.Retain(0); err != nil || len(gone) != 1 || s.First() != 301 {
		t.Fatalf("the newest segment is not kept: removed %d, %v", len(gone), err)
	}
	wantClean(t, s)
}

func TestRetainCrash(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, testOptions())
	h := newHome(1)
	mustAppend(t, s, h.rows(100))
	mustAppend(t, s, h.rows(100))
	if err := s.commit(&record{Removal: &removal{1, 5}}); err != nil {
		t.Fatal(err)
	}
	s.Close() // as a crash between the manifest and the file would
	s = mustOpen(t, dir, testOptions())
	if s.Swept() != 1 || s.First() != 101 {
		t.Errorf("swept %d, first %d", s.Swept(), s.First())
	}
	wantClean(t, s)
}

// TestForget: a store whose files did not come along says that they are removed,
// keeps what the manifest says of them, and goes on.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	o := testOptions()
	s := mustOpen(t, dir, o)
	rows := newHome(1).rows(400)
	for i := 0; i < 300; i += 100 {
		mustAppend(t, s, rows[i:i+100])
	}
	s.Close()
	size := int64(len(readFile(t, dir, ManifestFile)))
	names, err := SegmentFiles(dir, size)
	if err != nil || len(names) != 3 || names[0] != segmentFile(1) {
		t.Fatalf("it has %q, %v", names, err)
	}
	for _, name := range names {
		if !IsSegmentFile(name) || IsSegmentFile(name+"x") {
			t.Errorf("%s is taken for something else", name)
		}
	}
	for _, name := range names[1:] {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s = mustOpen(t, dir, o)
	if err := s.Forget(7); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(8); err != nil {
		t.Errorf("once more: %v", err)
	}
	var removed *RemovedError
	if _, err := s.Prove(250); !errors.As(err, &removed) || removed.At != 7 {
		t.Errorf("Prove: %v", err)
	}
	if s.Bytes() != 0 || s.First() != 301 || s.Last() != 300 || len(s.Segments()) != 3 {
		t.Errorf("%d bytes, first %d, last %d, %d segments", s.Bytes(), s.First(), s.Last(), len(s.Segments()))
	}
	mustAppend(t, s, rows[300:])
	wantClean(t, s)
	s.Close()
	if names, err := SegmentFiles(dir, size); err != nil || len(names) != 3 {
		t.Errorf("before it had %q, %v", names, err)
	}
	if names, err := SegmentFiles(dir, 1<<40); err != nil || len(names) != 1 || names[0] != segmentFile(4) {
		t.Errorf("now it has %q, %v", names, err)
	}
	o.ReadOnly = true
	if err := mustOpen(t, dir, o).Forget(9); !errors.Is(err, ErrReadOnly) {
		t.Errorf("for reading only: %v", err)
	}
	if _, err := SegmentFiles(t.TempDir(), 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
}

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bellwether/internal/processtest"
	"bellwether/internal/zone"
)

const crashDir = "BELLWETHER_STORE_CRASH_DIR"

// TestMain turns the test binary into the writer that TestKill kills.
func TestMain(m *testing.M) {
	processtest.Instead(crashDir, writeUntilKilled)
	os.Exit(m.Run())
}

// writeUntilKilled appends segments without end, removes old ones, and says
// after each acknowledgement how far it is.
func writeUntilKilled(dir string) error {
	o := testOptions()
	o.MaxBytes = 200_000
	s, err := Open(dir, o)
	if err != nil {
		return err
	}
	h := newHome(99)
	h.rows(int(s.Last()))
	for {
		seg, err := s.Append(h.rows(40))
		if err == nil {
			r := seg.Ranges[0]
			err = s.AddReceipts([]Receipt{{Segment: seg.Number, Device: r.Device, ID: r.Root}})
		}
		if err == nil {
			_, err = s.Retain(0)
		}
		if err != nil {
			return err
		}
		fmt.Println(seg.Last)
	}
}

// TestKill kills a writer in the middle, again and again, and wants everything
// that it acknowledged.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	want := newHome(99)
	var all []zone.Snapshot
	swept := 0
	for i := range 12 {
		acked := zone.SeqID(processtest.Acknowledged(t, processtest.Again(t, crashDir, dir), time.Duration(20+7*i)*time.Millisecond))
		s, err := Open(dir, testOptions())
		if err != nil {
			t.Fatal(err)
		}
		swept += s.Swept()
		if s.Last() < acked {
			t.Fatalf("round %d: SEQ %d was acknowledged, the store ends at %d", i, acked, s.Last())
		}
		all = append(all, want.rows(int(s.Last())-len(all))...)
		if first := s.First(); first <= s.Last() {
			wantSame(t, collect(t, s, 0, 0, zone.MAC{}), all[first-1:])
		}
		wantClean(t, s)
		s.Close()
	}
	t.Logf("%d rows written, %d unfinished files swept", len(all), swept)
}

func TestUnfinishedFilesGo(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, testOptions())
	h := newHome(1)
	mustAppend(t, s, h.rows(20))
	s.Close()
	writeFile(t, dir, segmentFile(2), []byte("renamed, but never in the manifest"))
	writeFile(t, dir, ".new-3", []byte("half"))
	s = mustOpen(t, dir, testOptions())
	if s.Swept() != 2 {
		t.Errorf("%d files swept, want 2", s.Swept())
	}
	mustAppend(t, s, h.rows(20))
	wantClean(t, s)
}

func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, testOptions())
	if other, err := Open(dir, testOptions()); err == nil {
		other.Close()
		t.Error("the store was opened twice for writing")
	}
	o := testOptions()
	o.ReadOnly = true
	mustAppend(t, s, newHome(1).rows(20))
	beside := mustOpen(t, dir, o)
	wantClean(t, beside)
	if _, err := beside.Append(newHome(1).rows(20)); err == nil {
		t.Error("a store opened for reading was written")
	}
}

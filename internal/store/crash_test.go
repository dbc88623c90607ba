package store

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bellwether/internal/zone"
)

const crashDir = "BELLWETHER_STORE_CRASH_DIR"

// TestMain turns the test binary into the writer that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// writeUntilKilled appends segments without end, removes old ones, and says
// after each acknowledgement how far it is.
func writeUntilKilled(dir string) {
	o := testOptions()
	o.MaxBytes = 200_000
	s, err := Open(dir, o)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
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
			fmt.Println("error", err)
			os.Exit(1)
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
		acked := killAfter(t, dir, time.Duration(20+7*i)*time.Millisecond)
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
	if len(all) == 0 {
		t.Error("no child ever wrote anything")
	}
	t.Logf("%d rows written, %d unfinished files swept", len(all), swept)
}

// killAfter runs a writer, kills it some time after its first acknowledgement,
// and gives the last one.
func killAfter(t *testing.T, dir string, wait time.Duration) (acked zone.SeqID) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "error") {
			t.Fatal(lines.Text())
		}
		n, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			break // the line that was being written
		}
		if acked == 0 {
			time.AfterFunc(wait, func() { cmd.Process.Kill() })
		}
		acked = zone.SeqID(n)
	}
	cmd.Wait()
	return acked
}

func TestUnfinishedFilesGo(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, testOptions())
	h := newHome(1)
	mustAppend(t, s, h.rows(20))
	s.Close()
	writeFile(t, dir, segmentFile(2), []byte("renamed, but never in the manifest"))
	writeFile(t, dir, segmentFile(3)+temporary, []byte("half"))
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

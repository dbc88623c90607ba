package gateway

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"bellwether/internal/capture"
	"bellwether/internal/zone"
)

func TestFramesOfSeveralCaptures(t *testing.T) {
	c := homeCaptures(t)
	last, n := zone.Time(0), 0
	damaged, err := Frames(context.Background(), []string{c.watch, c.learn}, func(fr *capture.Frame) error {
		if fr.Time < last {
			t.Fatalf("frame %d is older than the one before", n)
		}
		last = fr.Time
		n++
		return nil
	})
	want := 0
	for _, path := range []string{c.learn, c.watch} {
		for range frames(t, path) {
			want++
		}
	}
	if err != nil || len(damaged) != 0 || n != want {
		t.Errorf("%d frames, %v, %v: want %d", n, damaged, err, want)
	}
	stop := errors.New("enough")
	if _, err := Frames(context.Background(), []string{c.learn}, func(*capture.Frame) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a caller that stops gets %v", err)
	}
}

// TestCopiedStateGoesOn: a copy of what was learned judges as the original, and
// leaves the original as it is.
func TestCopiedStateGoesOn(t *testing.T) {
	c := homeCaptures(t)
	dir, whole := finished(t)
	copied := filepath.Join(t.TempDir(), "copy")
	if err := CopyState(dir, copied); err != nil {
		t.Fatal(err)
	}
	if audit := verifies(t, copied); audit.Blocks != whole.Ledger.Height {
		t.Errorf("the copy has %d blocks, want %d", audit.Blocks, whole.Ledger.Height)
	}
	r, err := Replay{StateDir: copied, Watch: []string{c.watch}}.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	rows, flagged := map[zone.MAC]uint64{}, map[zone.MAC]uint64{}
	err = Judged(context.Background(), copied, func(s *zone.Snapshot) error {
		rows[s.Device]++
		if s.Label == zone.Malicious {
			flagged[s.Device]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.Devices {
		if d.Threshold != nil && (rows[d.MAC] == 0 || rows[d.MAC] != d.WatchedSnapshots || flagged[d.MAC] != d.FlaggedSnapshots) {
			t.Errorf("%s: %d rows, %d flagged; the report has %d and %d", d.MAC, rows[d.MAC], flagged[d.MAC], d.WatchedSnapshots, d.FlaggedSnapshots)
		}
	}
	if audit := verifies(t, dir); audit.Blocks != whole.Ledger.Height {
		t.Errorf("the original has %d blocks now, it had %d", audit.Blocks, whole.Ledger.Height)
	}
	if err := CopyState(filepath.Join(dir, "nothing"), copied); err == nil {
		t.Error("a directory that is not there was copied")
	}
}

package gateway

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/zone"
)

// read gives the times of all frames of some captures, in the order given.
func read(t *testing.T, paths ...string) (*recordings, []zone.Time) {
	t.Helper()
	r, err := openRecordings(paths)
	if err != nil {
		t.Fatal(err)
	}
	var times []zone.Time
	err = r.each(t.Context(), func(f *capture.Frame) error { times = append(times, f.Time); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		if i > 0 && times[i] < times[i-1] {
			t.Fatalf("frame %d of %s comes after %s", i, times[i], times[i-1])
		}
	}
	return r, times
}

func TestRecordingsOverlap(t *testing.T) {
	a := saveCapture(t, ticking(homeStart, time.Second, 100))
	b := saveCapture(t, ticking(homeStart.Add(30*time.Second+1), 2*time.Second, 20))
	c := saveCapture(t, ticking(homeStart.Add(99*time.Second), time.Second, 11))
	r, times := read(t, a, b, c)
	if len(times) != 131 {
		t.Errorf("%d frames, want 131", len(times))
	}
	if s := r.seconds(); s != 109 {
		t.Errorf("they span %v s, want 109", s)
	}
	if done, total := r.read(); done != total || total == 0 {
		t.Errorf("%d of %d bytes were read", done, total)
	}
}

func TestRecordingsWithGaps(t *testing.T) {
	a := saveCapture(t, ticking(homeStart, time.Second, 61))
	b := saveCapture(t, ticking(homeStart.Add(24*time.Hour), time.Second, 31))
	inside := saveCapture(t, ticking(homeStart.Add(24*time.Hour+5*time.Second), time.Second, 3))
	r, times := read(t, a, b, inside)
	if len(times) != 95 || r.seconds() != 90 {
		t.Errorf("%d frames over %v s, want 95 over 90", len(times), r.seconds())
	}
}

func TestRecordingsDamagedInTheMiddle(t *testing.T) {
	a := saveCapture(t, ticking(homeStart, time.Second, 60))
	raw := readFile(t, a)
	if err := os.WriteFile(a, raw[:len(raw)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	b := saveCapture(t, ticking(homeStart.Add(time.Minute), time.Second, 60))
	r, times := read(t, a, b)
	if len(r.damage) != 1 || !strings.Contains(r.damage[0].Error(), a) {
		t.Errorf("damage is %v, want that of %s", r.damage, a)
	}
	if len(times) < 60+25 || len(times) > 60+31 {
		t.Errorf("%d frames, want all of the second file and half of the first", len(times))
	}
}

func TestRecordingsStop(t *testing.T) {
	r, err := openRecordings([]string{saveCapture(t, ticking(homeStart, time.Second, 60)), saveCapture(t, ticking(homeStart, time.Second, 60))})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = r.each(t.Context(), func(*capture.Frame) error {
		if n++; n == 7 {
			return errStop
		}
		return nil
	})
	if !errors.Is(err, errStop) || n != 7 {
		t.Errorf("got %v after %d frames, want the error after 7", err, n)
	}
}

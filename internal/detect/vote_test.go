package detect

import (
	"math/rand/v2"
	"testing"
	"time"

	"bellwether/internal/zone"
)

func second(n int) zone.Time { return zone.Time(n) * zone.Time(time.Second) }

func TestVoteNeedsMoreThanHalf(t *testing.T) {
	v := NewVote(4, time.Minute)
	for i, want := range []bool{false, false, true, true} {
		if got := v.Add(second(i), true); got != want {
			t.Errorf("after %d flagged rows of a window of 4: %v", i+1, got)
		}
	}
	for i, want := range []bool{true, false} { // 3 of 4, then 2 of 4
		if got := v.Add(second(4+i), false); got != want {
			t.Errorf("after %d clean rows: %v", i+1, got)
		}
	}
	v.Reset()
	if flagged, rows := v.Count(); flagged != 0 || rows != 0 {
		t.Errorf("after a reset %d of %d rows are flagged", flagged, rows)
	}
	if v.Add(second(9), true) {
		t.Error("one row after a reset is a majority")
	}
}

func TestVoteForgetsOldRows(t *testing.T) {
	v := NewVote(3, 10*time.Second)
	v.Add(second(0), true)
	if !v.Add(second(10), true) {
		t.Error("a row exactly as old as the span does not count")
	}
	if v.Add(second(11), true) != true {
		t.Error("two rows within the span are no majority of 3")
	}
	if v.Add(second(40), true) {
		t.Error("rows older than the span count")
	}
	if flagged, rows := v.Count(); flagged != 1 || rows != 1 {
		t.Errorf("%d of %d rows are flagged, want the newest alone", flagged, rows)
	}
}

// TestVoteAgainstItsDefinition recounts the window from scratch at every row.
func TestVoteAgainstItsDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, window := range []int{1, 2, 7, 20} {
		v := NewVote(window, 5*time.Second)
		var rows []ballot
		now := zone.Time(0)
		for range 2000 {
			now = now.Add(time.Duration(r.IntN(700)) * time.Millisecond)
			rows = append(rows, ballot{now, r.IntN(3) > 0})
			flagged := 0
			for _, b := range rows[max(0, len(rows)-window):] {
				if b.flagged && now.Sub(b.at) <= 5*time.Second {
					flagged++
				}
			}
			if got, want := v.Add(now, rows[len(rows)-1].flagged), 2*flagged > window; got != want {
				t.Fatalf("window %d at %v: %v, want %v", window, now, got, want)
			}
		}
	}
}

func TestVoteAllocatesNothing(t *testing.T) {
	v, now := NewVote(80, time.Minute), zone.Time(0)
	if n := testing.AllocsPerRun(1000, func() { now += 1e9; v.Add(now, true) }); n != 0 {
		t.Errorf("%v allocations a row", n)
	}
}

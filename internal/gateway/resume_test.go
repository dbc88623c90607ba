package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
)

// The same captures in other batches and on other workers come to the same
// ledger, rows, alerts and report.
func TestBatchAndWorkersDecideNothing(t *testing.T) {
	dir, r := finished(t)
	want := resultOf(t, dir, r)
	for _, o := range []struct{ batch, workers int }{{1, 3}, {7, 1}, {512, 3}} {
		t.Run(fmt.Sprintf("batch %d, %d workers", o.batch, o.workers), func(t *testing.T) {
			other := whole(t, keyedDir(t))
			other.Config.Batch, other.Config.Workers = o.batch, o.workers
			same(t, resultOf(t, other.StateDir, mustRun(t, other)), want)
		})
	}
}

// A run that is stopped in its middle and given again, in other batches, comes
// to the same as one that was not stopped.
func TestStoppedAndResumed(t *testing.T) {
	dir, r := finished(t)
	want := resultOf(t, dir, r)
	all := stopAfter(t.Context(), math.MaxInt64)
	if _, err := whole(t, keyedDir(t)).Run(all); err != nil {
		t.Fatal(err)
	}
	asked := math.MaxInt64 - all.left.Load()
	points := []int64{3, 8, 12, 14}
	if testing.Short() {
		points = points[2:3]
	}
	for _, p := range points {
		t.Run(fmt.Sprintf("after %d/16", p), func(t *testing.T) {
			r := whole(t, keyedDir(t))
			r.Config.Batch, r.Config.Workers = int(p), int(p)%3+1
			for _, at := range []int64{asked * p / 16, asked * p / 64} { // the second one need not train again
				if _, err := r.Run(stopAfter(t.Context(), at)); !errors.Is(err, context.Canceled) {
					t.Fatalf("the run was not stopped: %v", err)
				}
				r.Config.Batch, r.Config.Workers = 512, 1
			}
			report := mustRun(t, r)
			same(t, resultOf(t, r.StateDir, report), want)
			verifies(t, r.StateDir)
		})
	}
}

// A run that is stopped right after it raised its alert.
func TestStoppedAtTheAlert(t *testing.T) {
	dir, r := finished(t)
	want := resultOf(t, dir, r)
	stopped := whole(t, keyedDir(t))
	ctx, stop := context.WithCancel(t.Context())
	stopped.Events.Alert = func(Raised) error { stop(); return nil }
	if _, err := stopped.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("the run was not stopped: %v", err)
	}
	var raised []string
	stopped.Events.Alert = func(a Raised) error { raised = append(raised, a.ID); return nil }
	same(t, resultOf(t, stopped.StateDir, mustRun(t, stopped)), want)
	if len(raised) != 1 {
		t.Errorf("the run that goes on tells of %q, want the one alert", raised)
	}
}

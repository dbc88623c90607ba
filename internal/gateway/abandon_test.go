package gateway

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// A replay that was stopped can be given up: another one follows and comes to
// the verdicts that it comes to alone, and nothing is learned from the first.
func TestAbandon(t *testing.T) {
	c := homeCaptures(t)
	_, alone := finished(t)
	for _, after := range []int64{60, 200} {
		dir := keyedDir(t)
		first := whole(t, dir)
		first.Learn, first.Watch = []string{c.watch}, nil // the wrong one
		if _, err := first.Run(stopAfter(t.Context(), after)); !errors.Is(err, context.Canceled) {
			t.Fatalf("the run was not stopped: %v", err)
		}
		if _, err := whole(t, dir).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--abandon") {
			t.Fatalf("another run: %v, want how to give up the first", err)
		}
		a, err := Abandon(t.Context(), dir, quickly())
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Learn) != 1 || a.Learn[0] != c.watch || a.From != 1 {
			t.Errorf("%+v was given up", a)
		}
		if audit := verifies(t, dir); audit.Waiting != 0 || audit.Unreceipted != 0 {
			t.Errorf("%d segments and %d receipts wait", audit.Waiting, audit.Unreceipted)
		}
		if _, err := Abandon(t.Context(), dir, quickly()); err == nil || !strings.Contains(err.Error(), "no unfinished replay") {
			t.Errorf("given up again: %v", err)
		}
		r := mustRun(t, whole(t, dir))
		cam, want := deviceIn(t, r, c.webcam.MAC), deviceIn(t, alone, c.webcam.MAC)
		if cam.State != "malicious" || len(cam.Alerts) != 1 || cam.LearnedSnapshots != want.LearnedSnapshots {
			t.Errorf("the webcam is %s with %d alerts after %d learned snapshots, want malicious, 1, %d", cam.State, len(cam.Alerts), cam.LearnedSnapshots, want.LearnedSnapshots)
		}
		if again := mustRun(t, whole(t, dir)); again.Ledger != r.Ledger {
			t.Errorf("the run given again ends at %+v, it ended at %+v", again.Ledger, r.Ledger)
		}
		verifies(t, dir)
	}
}

// What was given up is not gone on with: the same replay begins anew.
func TestAbandonedIsNotResumed(t *testing.T) {
	dir := keyedDir(t)
	if _, err := whole(t, dir).Run(stopAfter(t.Context(), 200)); !errors.Is(err, context.Canceled) {
		t.Fatalf("the run was not stopped: %v", err)
	}
	a, err := Abandon(t.Context(), dir, quickly())
	if err != nil {
		t.Fatal(err)
	}
	r := mustRun(t, whole(t, dir))
	s := mustOpen(t, dir, StateOptions{ReadOnly: true})
	defer s.Close()
	var rows int
	for _, d := range r.Devices {
		rows += d.LearnedSnapshots
	}
	if a.To == 0 || int(s.Store.Last()-a.To) < rows {
		t.Errorf("%d snapshots were given up, %d learned from, SEQ ends at %d", a.To, rows, s.Store.Last())
	}
	verifies(t, dir)
}

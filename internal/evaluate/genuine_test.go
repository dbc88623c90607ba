package evaluate

import (
	"context"
	"errors"
	"os"
	"testing"

	"bellwether/internal/nbaiot"
)

// TestGenuine runs all detectors on the published rows that are at hand: the
// first 299 of one device's benign ones and of a BASHLITE scan. They are cold
// starts, so it is the ranking of rows that is asserted, no rate.
func TestGenuine(t *testing.T) {
	const folder = "../../../shared/data/nbaiot/genuine_rows/danmini_doorbell."
	if _, err := os.Stat(folder + "benign.first299.csv"); errors.Is(err, os.ErrNotExist) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s", folder)
		}
		t.Skipf("no %s", folder)
	}
	load := func(name string) func(context.Context) (Rows, error) {
		return func(ctx context.Context) (Rows, error) {
			r, err := nbaiot.Table{Path: folder + name + ".first299.csv"}.Load(ctx, 0, false)
			return Rows{Values: r.Values, Times: r.Times}, err
		}
	}
	r, err := Run(t.Context(), []Device{{"doorbell", load("benign"), []Set{{"gafgyt/scan", load("gafgyt_scan")}}}}, Options{Seeds: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range Algorithms() {
		f := r.of(t, a, Eq1)
		t.Logf("%s: AUC %v, by Equation 1: row TPR %v, row FPR %v, window TPR %v",
			a, f.AUC, f.RowTPR, r.quiet(a, Eq1, func(q *Quiet) Estimate { return q.RowFPR }), f.WindowTPR)
		if f.AUC.Mean() < 0.95 {
			t.Errorf("%s ranks the scan above benign rows with AUC %v", a, f.AUC)
		}
	}
}

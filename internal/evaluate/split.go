package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"bellwether/internal/feature"
	"bellwether/internal/zone"
)

// parts is a device's benign rows, split by time: [0, opt) trains, [opt, test)
// is OptDS, [test, end) is looked at last.
type parts struct {
	benign    Rows
	opt, test int
	scale     *scaler
	scaled    []row // the training part
}

// split loads and splits a device's benign rows.
func split(ctx context.Context, d *Device) (*parts, error) {
	rows, err := d.Benign(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s, benign rows: %w", d.Name, err)
	}
	if err := rows.validate(); err != nil {
		return nil, fmt.Errorf("%s, benign rows: %w", d.Name, err)
	}
	n := len(rows.Values)
	if n < MinRows {
		return nil, fmt.Errorf("%s, benign rows: %d are too few, the split by time takes %d: "+
			"read more rows or leave the device out", d.Name, n, MinRows)
	}
	p := &parts{benign: rows, opt: n / 3, test: 2 * n / 3}
	if rows.Test != 0 {
		p.opt, p.test = rows.Test/2, rows.Test
	}
	if p.opt < MinRows/3 || p.test >= n {
		return nil, fmt.Errorf("%s, benign rows: %d of %d are to learn from, the split by time takes %d and one to test on: "+
			"read more rows or leave the device out", d.Name, p.test, n, 2*MinRows/3)
	}
	p.scale = fitScaler(rows.Values[:p.opt])
	p.scaled = p.scale.all(rows.Values[:p.opt])
	return p, nil
}

// part gives the rows [from, to).
func (r Rows) part(from, to int) Rows {
	r.Values = r.Values[from:to]
	if r.Times != nil {
		r.Times = r.Times[from:to]
	}
	return r
}

// attacked reports whether row i belongs to the attack.
func (r *Rows) attacked(i int) bool { return r.Attack == nil || r.Attack[i] }

func (r *Rows) validate() error {
	if r.Times != nil && len(r.Times) != len(r.Values) {
		return fmt.Errorf("%d rows with %d times", len(r.Values), len(r.Times))
	}
	if r.Attack != nil && len(r.Attack) != len(r.Values) {
		return fmt.Errorf("%d rows with %d labels", len(r.Values), len(r.Attack))
	}
	if !slices.IsSorted(r.Times) {
		return fmt.Errorf("rows are not in the order of time")
	}
	for i := range r.Values {
		for c, v := range r.Values[i] {
			if v64 := float64(v); math.IsNaN(v64) || math.IsInf(v64, 0) {
				return fmt.Errorf("row %d, column %d (%s): %v is not a finite number", i+1, c+1, feature.Names()[c], v)
			}
		}
	}
	return nil
}

// observed is the time that rows cover without gaps longer than quiet, 0 when
// they carry none.
func observed(times []zone.Time, quiet time.Duration) time.Duration {
	var sum time.Duration
	for i := 1; i < len(times); i++ {
		sum += min(times[i].Sub(times[i-1]), quiet)
	}
	return sum
}

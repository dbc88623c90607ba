package nbaiot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"bellwether/internal/zone"
)

// Clock makes times for the rows of one table out of those that hold their own:
// the first packets of channels. Between two of these, time is taken to pass
// evenly from row to row. The zero value is ready to use.
//
// It is an estimate, and only given where it can be one: Times has none for
// a table whose first or last row is far from a row with a time.
type Clock struct {
	rows int
	at   []int     // rows with a time, counted from 0
	time []float64 // theirs, Unix seconds, never falling
}

// Add takes the next row: its time if it holds one.
func (c *Clock) Add(seconds float64, known bool) {
	if n := len(c.time); known && (n == 0 || seconds >= c.time[n-1]) {
		c.at, c.time = append(c.at, c.rows), append(c.time, seconds)
	}
	c.rows++
}

// edge is the share of a table's rows that may lie before the first row with a
// time, and behind the last.
const edge = 0.02

// Times gives one time for each row added, never falling, or nil when too few
// rows hold theirs: fewer than two, or none within the first or last fiftieth.
func (c *Clock) Times() []zone.Time {
	n := len(c.at)
	if n < 2 {
		return nil
	}
	margin := int(edge * float64(c.rows))
	if c.at[0] > margin || c.rows-1-c.at[n-1] > margin {
		return nil
	}
	times := make([]zone.Time, c.rows)
	k := 0
	for i := range times {
		for k < n-2 && i >= c.at[k+1] {
			k++
		}
		times[i] = c.between(k, i)
	}
	return times
}

// between gives the time of row i on the line through the k-th and the next
// row with a time; outside of the first and the last it stands still.
func (c *Clock) between(k, i int) zone.Time {
	share := float64(i-c.at[k]) / float64(c.at[k+1]-c.at[k])
	share = min(max(share, 0), 1)
	seconds := c.time[k] + float64(share*(c.time[k+1]-c.time[k]))
	whole, part := math.Modf(seconds)
	return zone.Time(int64(whole)*1e9 + int64(part*1e9))
}

// Rows is a table in memory.
type Rows struct {
	Values   [][zone.Features]float32
	Times    []zone.Time // one per row, or nil: see Clock
	RawTimes int         // rows with Unix times in HH_jit
	Cut      bool        // the last line has no end: its last number may be cut
}

// Load reads the first limit rows of the table, all for 0, into 460 bytes each.
func (t Table) Load(ctx context.Context, limit int, ignoreJitter bool) (Rows, error) {
	r, err := t.Open()
	if err != nil {
		return Rows{}, err
	}
	if ignoreJitter {
		r.IgnoreJitter()
	}
	rows, err := r.load(ctx, limit)
	return rows, errors.Join(err, r.Close())
}

func (r *Reader) load(ctx context.Context, limit int) (Rows, error) {
	var rows Rows
	var clock Clock
	var row [zone.Features]float32
	for limit == 0 || len(rows.Values) < limit {
		err := r.Read(&row)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return Rows{}, err
		}
		clock.Add(r.Start())
		rows.Values = append(rows.Values, row)
	}
	if len(rows.Values) == 0 {
		return Rows{}, fmt.Errorf("%s, row 1: there is none, the table ends behind its header", r.name)
	}
	rows.Times, rows.RawTimes, rows.Cut = clock.Times(), r.raw, r.cut
	return rows, nil
}

package detect

import (
	"time"

	"bellwether/internal/zone"
)

// Vote is the majority vote over a device's latest rows, after N-BaIoT (Meidan et
// al. 2018, section "Continuous monitoring"): neighbouring rows are correlated,
// so one flagged row says little and a window full of them a lot.
//
// The device is malicious while more than half of window rows are flagged among
// the last window rows that are at most span older than the newest. Fewer
// rows than half a window within the span are never a majority. The outcome
// depends only on the rows added since the start or the last Reset.
type Vote struct {
	span    time.Duration
	rows    []ballot // ring of the latest rows
	oldest  int      // position of the oldest row in the ring
	held    int      // rows in the ring
	flagged int      // of the rows in the ring
}

type ballot struct {
	at      zone.Time
	flagged bool
}

// NewVote makes an empty vote. A window under 1 counts as 1.
func NewVote(window int, span time.Duration) *Vote {
	return &Vote{span: span, rows: make([]ballot, max(1, window))}
}

// Add takes the next row and says whether the device is malicious now. Rows
// come in the order of arrival; one that is stamped earlier than its
// predecessor counts like any other.
func (v *Vote) Add(t zone.Time, flagged bool) (malicious bool) {
	if v.held == len(v.rows) {
		v.drop()
	}
	for v.held > 0 && t.Sub(v.rows[v.oldest].at) > v.span {
		v.drop()
	}
	v.rows[(v.oldest+v.held)%len(v.rows)] = ballot{t, flagged}
	v.held++
	if flagged {
		v.flagged++
	}
	return 2*v.flagged > len(v.rows)
}

// drop forgets the oldest row.
func (v *Vote) drop() {
	if v.rows[v.oldest].flagged {
		v.flagged--
	}
	v.oldest = (v.oldest + 1) % len(v.rows)
	v.held--
}

// Count gives how many rows of the window are flagged, of how many held.
func (v *Vote) Count() (flagged, rows int) { return v.flagged, v.held }

// Reset forgets all rows.
func (v *Vote) Reset() { v.oldest, v.held, v.flagged = 0, 0, 0 }

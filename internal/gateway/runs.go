package gateway

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"bellwether/internal/journal"
	"bellwether/internal/monitor"
	"bellwether/internal/zone"
)

// runsKind marks the journal of a state directory's replays.
const runsKind = "runs"

// run is one replay over a state directory: what it reads and where in the
// zone's history it begins.
type run struct {
	Inputs zone.Hash  `json:"inputs"` // digest of options and captures
	Learn  []string   `json:"learn"`
	Watch  []string   `json:"watch"`
	Height uint64     `json:"height"`   // blocks before it
	Last   zone.SeqID `json:"last_seq"` // snapshots before it
	Leases int        `json:"leases"`   // leases before it
	Done   bool       `json:"done"`     // this record says that it ended

	// Where it ended, once it is done.
	Learned   zone.SeqID `json:"learned_to"` // newest snapshot of the first set
	End       zone.SeqID `json:"end_seq"`    // and of the second
	EndHeight uint64     `json:"end_height"` // blocks after it
	// Abandoned says that it was given up before its end; learned_to is where it
	// began then, so that nobody learns from its snapshots.
	Abandoned bool `json:"abandoned,omitempty"`
}

// runs remembers the replays over a state directory, so that one that was
// stopped goes on where it began and not twice.
type runs struct {
	journal *journal.Journal
	newest  run
	any     bool
	watched []monitor.SeqRange // what the runs that ended judged
}

func openRuns(path string) (*runs, error) {
	r := &runs{}
	j, err := journal.Open(path, runsKind, func(rec int, payload []byte) error {
		var next run
		if err := json.Unmarshal(payload, &next); err != nil {
			return fmt.Errorf("%s, record %d: %w", path, rec, err)
		}
		r.note(next)
		return nil
	})
	r.journal = j
	return r, err
}

func (r *runs) note(next run) {
	r.newest, r.any = next, true
	if next.Done && next.End > next.Learned {
		r.watched = append(r.watched, monitor.SeqRange{From: next.Learned + 1, To: next.End})
	}
}

// find gives the run with these inputs, or next if there is none: a new one
// that starts at the given place. Devices that were sent back to learning since
// it ended make it a new one.
func (r *runs) find(next run, relearning bool) (found run, known bool, err error) {
	anew := relearning && r.newest.Done && next.Height > r.newest.EndHeight
	if r.any && r.newest.Inputs == next.Inputs && !anew && !r.newest.Abandoned {
		return r.newest, true, nil
	}
	if err := r.unfinished(); err != nil {
		return run{}, false, fmt.Errorf("this replay has other captures or options, and %w, or give another --state", err)
	}
	return next, false, nil
}

// unfinished is an error when a replay was stopped and not finished: nothing
// else may come in between.
func (r *runs) unfinished() error {
	if !r.any || r.newest.Done {
		return nil
	}
	return fmt.Errorf("the state directory holds an unfinished replay (learned %q, watched %q): repeat that one to finish it, or give it up with `bellwether replay --state DIR --abandon`", r.newest.Learn, r.newest.Watch)
}

// end records that the run is complete.
func (r *runs) end(done run) error {
	if r.newest.Done {
		return nil
	}
	done.Done = true
	return r.append(done)
}

func (r *runs) append(next run) error {
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := r.journal.Append(b); err != nil {
		return fmt.Errorf("recording the run: %w", err)
	}
	r.note(next)
	return nil
}

// sampleBytes of a capture's beginning and end stand for it in a digest.
const sampleBytes = 64 << 10

// fingerprint digests a capture file: its size, beginning and end.
func fingerprint(path string) (zone.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return zone.Hash{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return zone.Hash{}, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", info.Size())
	if _, err := io.CopyN(h, f, min(info.Size(), sampleBytes)); err != nil {
		return zone.Hash{}, fmt.Errorf("%s: %w", path, err)
	}
	if tail := info.Size() - sampleBytes; tail > 0 {
		if _, err := io.Copy(h, io.NewSectionReader(f, tail, sampleBytes)); err != nil {
			return zone.Hash{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	return zone.Hash(h.Sum(nil)), nil
}

func (r *runs) close() error {
	if r.journal == nil {
		return nil
	}
	return r.journal.Close()
}

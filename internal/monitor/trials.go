package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// TrialsKind marks the journal of what became of changes of models.
const TrialsKind = "trials"

// Trial is what became of a change of a device's model. The ledger has those that
// took over, too; this is for people who ask why one did not.
type Trial struct {
	Device  zone.MAC  `json:"mac"`
	Change  Change    `json:"change"` // adapt, rollback, or auto: by the gateway itself
	Time    zone.Time `json:"time"`   // of the device's newest recorded snapshot
	Took    bool      `json:"took_over"`
	Model   zone.Hash `json:"model"` // zeros: none took over
	Outcome string    `json:"outcome"`
}

// Trials keeps them on disk.
type Trials struct {
	journal *journal.Journal
	newest  map[zone.MAC]Trial
}

// OpenTrials opens the journal of trials, or makes an empty one.
func OpenTrials(path string) (*Trials, error) { return readTrials(path, journal.Open) }

// ViewTrials opens it for reading only, as beside the process that writes it. A
// missing one is empty.
func ViewTrials(path string) (*Trials, error) {
	t, err := readTrials(path, journal.View)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return t, err
}

func readTrials(path string, open func(string, string, func(int, []byte) error) (*journal.Journal, error)) (*Trials, error) {
	s := &Trials{newest: map[zone.MAC]Trial{}}
	j, err := open(path, TrialsKind, func(rec int, payload []byte) error {
		t, err := ParseTrial(payload)
		if err != nil {
			return fmt.Errorf("%s, record %d: %w", path, rec, err)
		}
		s.newest[t.Device] = t
		return nil
	})
	s.journal = j
	return s, err
}

// ParseTrial reads a trial's record.
func ParseTrial(b []byte) (t Trial, err error) {
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("trial record: %w", err)
	}
	return t, nil
}

// Put adds a trial; it is durable on return.
func (s *Trials) Put(t Trial) error {
	b, err := json.Marshal(t)
	if err == nil {
		err = s.journal.Append(b)
	}
	if err != nil {
		return fmt.Errorf("trials: %w", err)
	}
	s.newest[t.Device] = t
	return nil
}

// Newest is the last trial of a device.
func (s *Trials) Newest(mac zone.MAC) (t Trial, ok bool) {
	t, ok = s.newest[mac]
	return t, ok
}

// Close closes the journal.
func (s *Trials) Close() error {
	if s.journal == nil {
		return nil
	}
	return s.journal.Close()
}

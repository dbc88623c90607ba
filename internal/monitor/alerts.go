package monitor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// AlertsKind marks the journal of alert records.
const AlertsKind = "alerts"

// Alerts keeps the alert records of a zone, on disk before the verdict that
// names them is submitted. A record without such a verdict was never raised.
type Alerts struct {
	journal  *journal.Journal
	byDigest map[zone.Hash]int
	order    []zone.Hash
}

// OpenAlerts opens the alert journal, or makes an empty one.
func OpenAlerts(path string) (*Alerts, error) { return readAlerts(path, journal.Open) }

// ViewAlerts opens an alert journal for reading only, as beside the process
// that writes it.
func ViewAlerts(path string) (*Alerts, error) { return readAlerts(path, journal.View) }

func readAlerts(path string, open func(string, string, func(int, []byte) error) (*journal.Journal, error)) (*Alerts, error) {
	a := &Alerts{byDigest: map[zone.Hash]int{}}
	j, err := open(path, AlertsKind, func(rec int, payload []byte) error {
		alert, err := ParseAlert(payload)
		if err != nil {
			return fmt.Errorf("%s, record %d: %w", path, rec, err)
		}
		return a.index(&alert, rec)
	})
	if err != nil {
		return nil, err
	}
	a.journal = j
	return a, nil
}

// ParseAlert reads an alert's canonical bytes, and nothing else.
func ParseAlert(b []byte) (zone.Alert, error) {
	var a zone.Alert
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return zone.Alert{}, fmt.Errorf("alert record: %w", err)
	}
	if c, err := a.Canonical(); err != nil || !bytes.Equal(c, b) {
		return zone.Alert{}, fmt.Errorf("alert record is not in its canonical form")
	}
	return a, nil
}

func (a *Alerts) index(alert *zone.Alert, rec int) error {
	digest, err := alert.Digest()
	if err != nil {
		return err
	}
	a.byDigest[digest] = rec
	a.order = append(a.order, digest)
	return nil
}

// Put stores an alert record, once; it is durable on return.
func (a *Alerts) Put(alert *zone.Alert) (zone.Hash, error) {
	digest, err := alert.Digest()
	if err != nil {
		return zone.Hash{}, err
	}
	if _, ok := a.byDigest[digest]; ok {
		return digest, nil
	}
	b, err := alert.Canonical()
	if err != nil {
		return zone.Hash{}, err
	}
	if err := a.journal.Append(b); err != nil {
		return zone.Hash{}, fmt.Errorf("alert journal: %w", err)
	}
	return digest, a.index(alert, a.journal.Len()-1)
}

// ByDigest gives the alert record with the digest.
func (a *Alerts) ByDigest(digest zone.Hash) (zone.Alert, error) {
	rec, ok := a.byDigest[digest]
	if !ok {
		return zone.Alert{}, fmt.Errorf("the ledger names alert %s, but the state directory has no such record", zone.AlertID(digest))
	}
	b, err := a.journal.Read(rec)
	if err != nil {
		return zone.Alert{}, err
	}
	return ParseAlert(b)
}

// Find gives the one alert whose name begins with the prefix.
func (a *Alerts) Find(prefix string) (zone.Alert, zone.Hash, error) {
	var found []zone.Hash
	for _, d := range a.order {
		if strings.HasPrefix(zone.AlertID(d), prefix) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return zone.Alert{}, zone.Hash{}, fmt.Errorf("there is no alert %q; `bellwether alerts` lists them", prefix)
	case 1:
		alert, err := a.ByDigest(found[0])
		return alert, found[0], err
	}
	return zone.Alert{}, zone.Hash{}, fmt.Errorf("%d alerts begin with %q: give more of the name", len(found), prefix)
}

// Digests names every alert record, oldest first.
func (a *Alerts) Digests() []zone.Hash { return slices.Clone(a.order) }

// Close closes the journal.
func (a *Alerts) Close() error { return a.journal.Close() }

package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"

	"bellwether/internal/contract"
	"bellwether/internal/journal"
	"bellwether/internal/mud"
	"bellwether/internal/zone"
)

// mudKind marks the journal of devices' network policies.
const mudKind = "mud"

// MUD is a MUD file that a device was given.
type MUD struct {
	Device zone.MAC  `json:"mac"`
	Time   zone.Time `json:"time"`   // when it was given
	SHA256 zone.Hash `json:"sha256"` // of File
	File   []byte    `json:"file"`   // as it was read; empty: taken away again
	Signer string    `json:"signer"` // who signed it, in words; empty: nobody
	// Names are the addresses that its names stood for when it was given.
	Names map[string][]netip.Addr `json:"names,omitempty"`

	parsed *mud.File
}

// parseMUD reads a record.
func parseMUD(b []byte) (m MUD, err error) {
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("MUD record: %w", err)
	}
	if m.SHA256 != sha256.Sum256(m.File) {
		return m, fmt.Errorf("MUD record of %s: the file is not the one that it names", m.Device)
	}
	if len(m.File) > 0 {
		m.parsed, err = mud.Parse(m.File)
	}
	return m, err
}

// muds keeps them on disk. A directory may lack the file.
type muds struct {
	path   string
	newest map[zone.MAC]MUD
}

func readMUDs(path string) (*muds, error) {
	s := &muds{path: path, newest: map[zone.MAC]MUD{}}
	for rec, err := range journal.Scan(path, mudKind) {
		var torn *journal.TornError
		if errors.Is(err, fs.ErrNotExist) || errors.As(err, &torn) { // the next write cuts it off
			break
		}
		if err != nil {
			return nil, err
		}
		m, err := parseMUD(rec.Payload)
		if err != nil {
			return nil, fmt.Errorf("%s, record %d: %w", path, rec.Number, err)
		}
		s.newest[m.Device] = m
	}
	return s, nil
}

// put adds one; it is durable on return.
func (s *muds) put(m MUD) error {
	j, err := journal.Open(s.path, mudKind, nil)
	if err != nil {
		return err
	}
	b, err := json.Marshal(m)
	if err == nil {
		err = j.Append(b)
	}
	if err := errors.Join(err, j.Close()); err != nil {
		return fmt.Errorf("network policies: %w", err)
	}
	s.newest[m.Device] = m
	return nil
}

// MUD gives the network policy of a device, if it has one.
func (s *State) MUD(mac zone.MAC) (MUD, bool) {
	m, ok := s.muds.newest[mac]
	return m, ok && len(m.File) > 0
}

// MUDs gives the devices that have one, in order.
func (s *State) MUDs() []zone.MAC {
	macs := slices.SortedFunc(maps.Keys(s.muds.newest), func(a, b zone.MAC) int { return slices.Compare(a[:], b[:]) })
	return slices.DeleteFunc(macs, func(mac zone.MAC) bool { _, ok := s.MUD(mac); return !ok })
}

// SetMUD gives a device a network policy, or with an empty file takes it away.
// m.Signer and m.Names may be empty. When it returns the SHA-256 of the file, that
// stands on the ledger and the file is durable. The transaction goes before the
// record, so that the ledger knows of every record that counts; after a crash in
// between the same call does the rest.
func (s *State) SetMUD(ctx context.Context, m MUD) (zone.Hash, error) {
	m.SHA256 = sha256.Sum256(m.File)
	raw, err := json.Marshal(m)
	if err != nil {
		return zone.Hash{}, err
	}
	if m, err = parseMUD(raw); err != nil { // as it will be read
		return zone.Hash{}, err
	}
	onLedger := m.SHA256
	if len(m.File) == 0 {
		onLedger = zone.Hash{}
	}
	d, seen, err := contract.ReadDevice(s.Ledger.State(), m.Device)
	switch {
	case err != nil:
		return zone.Hash{}, err
	case !seen:
		return zone.Hash{}, fmt.Errorf("%s is not a device of this zone yet: it has to be seen first", m.Device)
	case d.Network != onLedger:
		if _, err := s.Decide(ctx, m.Device, Decision{Action: actionNetwork, Network: onLedger, Now: m.Time}); err != nil {
			return zone.Hash{}, err
		}
	}
	return m.SHA256, s.muds.put(m)
}

// site is what a given file's names stand for.
func (m *MUD) site() *mud.Site { return &mud.Site{Names: m.Names} }

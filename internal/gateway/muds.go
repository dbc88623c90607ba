package gateway

import (
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

// muds keeps them on disk, and those in force in memory. A directory may lack the
// file.
type muds struct {
	path    string
	inForce map[zone.MAC]MUD
	torn    bool // a crash left an unfinished record at its end
}

// readMUDs reads those that are in force: of each device the newest record of the
// file that the ledger names.
func readMUDs(path string, devices []contract.DeviceState) (*muds, error) {
	named := map[zone.MAC]zone.Hash{}
	for _, d := range devices {
		named[d.MAC] = d.Network
	}
	s := &muds{path: path, inForce: map[zone.MAC]MUD{}}
	for rec, err := range journal.Scan(path, mudKind) {
		var torn *journal.TornError
		if s.torn = errors.As(err, &torn); s.torn || errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		m, err := parseMUD(rec.Payload)
		if err != nil {
			return nil, fmt.Errorf("%s, record %d: %w", path, rec.Number, err)
		}
		if m.SHA256 == named[m.Device] {
			s.inForce[m.Device] = m
		}
	}
	return s, nil
}

// mend cuts off what a crash left.
func (s *muds) mend() error {
	if !s.torn {
		return nil
	}
	j, err := journal.Open(s.path, mudKind, nil)
	if err != nil {
		return err
	}
	s.torn = false
	return j.Close()
}

// put adds one; it is durable on return, and not in force.
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
	return nil
}

// same reports that it is in force already, but for when it was given.
func (s *muds) same(m MUD) bool {
	had, ok := s.inForce[m.Device]
	return ok && had.SHA256 == m.SHA256 && had.Signer == m.Signer && had.names() == m.names()
}

// set puts it in force, or with an empty file takes away what is.
func (s *muds) set(m MUD) {
	delete(s.inForce, m.Device)
	if len(m.File) > 0 {
		s.inForce[m.Device] = m
	}
}

// fileOf gives the file of a device with these digests and what its names stood for,
// a nil file if no record has it.
func (s *muds) fileOf(device zone.MAC, file, names zone.Hash) (found []byte, of map[string][]netip.Addr, err error) {
	for rec, err := range journal.Scan(s.path, mudKind) {
		var torn *journal.TornError
		if errors.Is(err, fs.ErrNotExist) || errors.As(err, &torn) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		m, err := parseMUD(rec.Payload)
		if err != nil {
			return nil, nil, fmt.Errorf("%s, record %d: %w", s.path, rec.Number, err)
		}
		if m.Device == device && m.SHA256 == file && m.names() == names {
			found, of = m.File, m.Names
		}
	}
	return found, of, nil
}

// MUD gives the network policy of a device, if it has one.
func (s *State) MUD(mac zone.MAC) (MUD, bool) {
	m, ok := s.muds.inForce[mac]
	return m, ok
}

// MUDs gives the devices that have one, in order.
func (s *State) MUDs() []zone.MAC {
	return slices.SortedFunc(maps.Keys(s.muds.inForce), func(a, b zone.MAC) int { return slices.Compare(a[:], b[:]) })
}

// site is what a given file's names stand for.
func (m *MUD) site() *mud.Site { return &mud.Site{Names: m.Names} }

// names is the digest of what its names stand for; zeros where nothing was given.
func (m *MUD) names() zone.Hash { return mud.NamesDigest(m.Names) }

// judge holds the evidence of an alert against the device's network policy.
func (s *muds) judge(mac zone.MAC, evidence []zone.Snapshot) (*zone.AlertNetwork, error) {
	m, ok := s.inForce[mac]
	if !ok {
		return nil, nil
	}
	return m.parsed.Profile.OfAlert(m.SHA256, m.Names, evidence)
}

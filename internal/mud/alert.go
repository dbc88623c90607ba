package mud

import (
	"crypto/sha256"
	"encoding/json"
	"net/netip"

	"bellwether/internal/zone"
)

// OfAlert says what of an alert's evidence lies outside the profile of the file with
// this SHA-256, as the alert's record has it. It depends on the arguments alone.
func (p *Profile) OfAlert(file zone.Hash, names map[string][]netip.Addr, evidence []zone.Snapshot) (*zone.AlertNetwork, error) {
	rows := func(yield func(*zone.Snapshot, error) bool) {
		for i := range evidence {
			if !yield(&evidence[i], nil) {
				return
			}
		}
	}
	r, err := p.Report(rows, &Site{Names: names})
	return &zone.AlertNetwork{SHA256: file, Names: NamesDigest(names), Evidence: r}, err
}

// NamesDigest is the SHA-256 of what names stand for as JSON: an object without white
// space, the names in order, each with an array of addresses. Zeros without any.
func NamesDigest(names map[string][]netip.Addr) zone.Hash {
	if len(names) == 0 {
		return zone.Hash{}
	}
	b, err := json.Marshal(names)
	if err != nil {
		panic(err) // addresses always have a text
	}
	return sha256.Sum256(b)
}

package gateway

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/trust"
	"bellwether/internal/zone"
)

// ErrZoneExists is matched by the error of FoundZone when the directory holds
// another zone, or this one with a past.
var ErrZoneExists = errors.New("there is a zone already")

// FoundZone makes a zone in an empty or missing directory: the master's key, and
// the transaction that creates the zone, durable in block 0. What was interrupted
// is completed by the same call; again reports a zone that a call like this one has
// made before and that has done nothing since.
func FoundZone(ctx context.Context, dir string, id Identity) (s *State, again bool, err error) {
	if err := id.check(); err != nil {
		return nil, false, err
	}
	if s, err = OpenState(ctx, dir, StateOptions{Identity: id}); err != nil {
		return nil, false, err
	}
	if s.Zone.Name == id.Name && s.Zone.UseCase == id.UseCase && s.Zone.N == 1 && s.Ledger.Height() == 1 && s.Store.Last() == 0 {
		return s, s.Zone.Created != id.Created, nil
	}
	err = fmt.Errorf("%w in %s: %s (%s), created %s with %d blocks; `bellwether zone show --state %s` tells more, another --state makes another zone",
		ErrZoneExists, dir, s.Zone.Name, s.Zone.ID.Short(), s.Zone.Created, s.Ledger.Height(), dir)
	return nil, false, errors.Join(err, s.Close())
}

// check refuses what block 0 could not hold, before anything is made.
func (id Identity) check() error {
	if _, err := trust.ThresholdOf(id.UseCase); err != nil {
		return err
	}
	nobody := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := nobody.Public().(ed25519.PublicKey)
	tx := contract.Tx{Zone: contract.GroupID(public, id.Created, id.Name), Time: id.Created, N: 1,
		Body: &contract.ZoneCreated{Name: id.Name, UseCase: id.UseCase, Master: [32]byte(public)}}
	if _, err := tx.Sign(nobody); err != nil {
		return fmt.Errorf("a zone cannot be made so: %w", err)
	}
	return nil
}

// Overview says what a zone is.
type Overview struct {
	Name    string           `json:"name"`
	UseCase string           `json:"use_case"`
	ID      zone.Hash        `json:"group_id"`
	Anchor  string           `json:"anchor"`
	Created string           `json:"created"`
	Height  uint64           `json:"height"` // blocks
	Newest  string           `json:"newest"` // time of the newest block
	Devices []OverviewDevice `json:"devices"`
}

// OverviewDevice is one device of a zone.
type OverviewDevice struct {
	MAC       zone.MAC   `json:"mac"`
	Name      string     `json:"name"`
	State     zone.State `json:"state"`
	Since     string     `json:"since"`
	Snapshots uint64     `json:"snapshots"` // on the ledger
}

// Overview tells of the zone and its devices, by MAC address.
func (s *State) Overview(ctx context.Context) (*Overview, error) {
	anchor, err := s.Anchor()
	if err != nil {
		return nil, err
	}
	b, err := s.Ledger.Block(ctx, s.Ledger.Height()-1)
	if err != nil {
		return nil, err
	}
	devices, err := contract.Devices(s.Ledger.State())
	if err != nil {
		return nil, err
	}
	r := &Overview{Name: s.Zone.Name, UseCase: s.Zone.UseCase, ID: s.Zone.ID, Anchor: anchor, Created: s.Zone.Created.String(),
		Height: s.Ledger.Height(), Newest: b.Header.Time.String(), Devices: []OverviewDevice{}}
	for _, d := range devices {
		r.Devices = append(r.Devices, OverviewDevice{d.MAC, d.Name, d.State, d.Since.String(), d.Rows})
	}
	return r, nil
}

package gateway

import (
	"context"
	"errors"
	"fmt"

	"bellwether/internal/detect"
	"bellwether/internal/monitor"
	"bellwether/internal/roster"
	"bellwether/internal/zone"
)

// ChangeModel changes the model of a device of the zone whose state directory is
// dir: through the gateway that runs there, or, if none does, on the directory
// itself. What was found is given with every error that comes after it. With a
// gateway it takes as long as that needs; one that has begun goes on when ctx ends.
func ChangeModel(ctx context.Context, dir string, mac zone.MAC, change monitor.Change) (*monitor.Adaptation, error) {
	out, err := carry(ctx, dir, order{Device: mac, Change: change}, func(s *State) (outcome, error) {
		a, err := s.ChangeModel(ctx, mac, change)
		return outcome{Adaptation: a}, err
	})
	return out.Adaptation, err
}

// ChangeModel changes a watched device's model, or says why it does not.
func (s *State) ChangeModel(ctx context.Context, mac zone.MAC, change monitor.Change) (a *monitor.Adaptation, refused error) {
	if err := s.runs.unfinished(); err != nil {
		return nil, err
	}
	past, err := s.past(ctx)
	if err != nil {
		return nil, err
	}
	m, err := monitor.New(ctx, monitor.Options{ModelDir: s.path(modelDir), Attacks: attacks}, s.parts(), past)
	if err != nil {
		return nil, err
	}
	err = m.ChangeModel(ctx, mac, change, func(found *monitor.Adaptation, err error) { a, refused = found, err })
	return a, errors.Join(refused, err)
}

// parts are what a monitor of the zone works with, but for who its devices are and
// who is told of alerts.
func (s *State) parts() monitor.Parts {
	return monitor.Parts{Roster: roster.New(roster.Options{}), Store: s.Store, Alerts: s.Alerts, Leases: s.Leases, Trials: s.Trials, Ledger: s.Ledger, Signer: s.Key, Network: s.muds.judge}
}

func (s *State) model(digest zone.Hash) (*detect.Model, error) {
	file, err := s.modelFile(digest)
	if err != nil {
		return nil, err
	}
	m, err := detect.UnmarshalModel(file)
	if err == nil && m.Digest() != digest {
		err = fmt.Errorf("it has the digest %s", m.Digest().Short())
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", digest.Short(), err)
	}
	return m, nil
}

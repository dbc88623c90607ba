package gateway

import (
	"context"
	"fmt"
	"os"

	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/proof"
	"bellwether/internal/zone"
)

// Anchor is the zone's public key as outsiders are given it.
func (s *State) Anchor() (string, error) {
	return identity.Anchor(ledger.Origin(s.Zone.ID), s.Key.Ed25519())
}

// Prove makes the proof bundle of an alert, named by the beginning of its ID.
func (s *State) Prove(ctx context.Context, id string) (*proof.Bundle, error) {
	a, _, err := s.Alerts.Find(id)
	if err != nil {
		return nil, err
	}
	anchor, err := s.Anchor()
	if err != nil {
		return nil, err
	}
	return proof.Make(ctx, proof.Source{Anchor: anchor, Ledger: s.Ledger, Store: s.Store, Model: s.modelFile}, a)
}

func (s *State) modelFile(digest zone.Hash) ([]byte, error) {
	b, err := os.ReadFile(s.path(modelDir + "/" + digest.String() + ".model"))
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", digest.Short(), err)
	}
	return b, nil
}

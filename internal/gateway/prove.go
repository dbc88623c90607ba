package gateway

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric"
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
	return proof.Make(ctx, proof.Source{Anchor: anchor, Ledger: s.Ledger, Store: s.Store, Model: s.modelFile, Policy: s.muds.fileOf}, a)
}

// Attest puts into a bundle what the channel of the zone's ledger shows of the
// blocks that it rests on; on another ledger than Fabric it does nothing. It needs a
// peer, and works beside a gateway that runs.
func (s *State) Attest(ctx context.Context, b *proof.Bundle, patience time.Duration) error {
	dir := s.path(ledgerDir)
	if !fabric.Here(dir) {
		return nil
	}
	headers, err := b.Headers()
	if err != nil {
		return err
	}
	c, err := viewConnection(s.path(ledgerDir, connectionFile))
	if err != nil {
		return err
	}
	all, carried, err := fabric.Evidence(ctx, dir, fabric.Options{Connection: c, Patience: patience}, slices.Sorted(maps.Keys(headers)))
	if err != nil {
		return fmt.Errorf("evidence of the channel: %w", err)
	}
	b.Channel, err = proof.NewChannel(b, all, carried, func(n uint64) (zone.Hash, error) {
		block, err := s.Ledger.Block(ctx, n)
		if err != nil {
			return zone.Hash{}, err
		}
		return block.Header.Hash(), nil
	})
	return err
}

func (s *State) modelFile(digest zone.Hash) ([]byte, error) {
	b, err := os.ReadFile(s.path(modelDir + "/" + digest.String() + ".model"))
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", digest.Short(), err)
	}
	return b, nil
}

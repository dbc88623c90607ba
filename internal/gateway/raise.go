package gateway

import (
	"context"
	"fmt"

	"bellwether/internal/alert"
	"bellwether/internal/ledger"
	"bellwether/internal/monitor"
	"bellwether/internal/trust"
	"bellwether/internal/zone"
)

// Raised is an alert that is durable, with its event for other systems.
type Raised struct {
	ID    string
	Alert zone.Alert
	Event alert.Event
}

// raiser turns the monitor's alerts into events.
func raiser(ctx context.Context, s *State, send func(Raised) error) func(zone.Alert, ledger.Receipt) error {
	return func(a zone.Alert, at ledger.Receipt) error {
		if send == nil {
			return nil
		}
		digest, err := a.Digest()
		if err != nil {
			return err
		}
		for snap, err := range s.Store.Rows(ctx, a.Last, a.Last, a.Device) {
			if err != nil {
				return fmt.Errorf("alert %s: %w", zone.AlertID(digest), err)
			}
			if err := send(Raised{ID: zone.AlertID(digest), Alert: a, Event: alert.NewEvent(&a, digest, snap, at)}); err != nil {
				return err
			}
		}
		return nil
	}
}

// foldTrust folds a ledger from its first entry.
func foldTrust(ctx context.Context, l ledger.Ledger) (*trust.Fold, error) {
	fold := &trust.Fold{}
	for tx, err := range monitor.Transactions(ctx, l, 0) {
		if err != nil {
			return nil, err
		}
		fold.Apply(&tx.Tx)
	}
	return fold, nil
}

// head is the number of blocks and the hash of the newest header.
func (s *State) head(ctx context.Context) (uint64, zone.Hash, error) {
	height := s.Ledger.Height()
	if height == 0 {
		return 0, zone.Hash{}, nil
	}
	b, err := s.Ledger.Block(ctx, height-1)
	if err != nil {
		return 0, zone.Hash{}, err
	}
	return height, b.Header.Hash(), nil
}

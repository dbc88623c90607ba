package gateway

import (
	"context"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/monitor"
	"bellwether/internal/zone"
)

// worldAt is the contract's state after the first height blocks. That after all of
// them the ledger has; nothing may wait to be committed then.
func (s *State) worldAt(ctx context.Context, height uint64) (contract.Reader, error) {
	if height == s.Ledger.Height() {
		return s.Ledger.State(), nil
	}
	world := contract.Memory{}
	var v contract.Validator
	for n := range height {
		b, err := s.Ledger.Block(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("ledger block %d: %w", n, err)
		}
		for i, raw := range b.Txs {
			if _, err := v.Replay(world, n, raw); err != nil {
				return nil, fmt.Errorf("ledger block %d, transaction %d: %w", n, i, err)
			}
		}
	}
	return world, nil
}

// past is where a monitor goes on now. Nobody writes to the ledger meanwhile.
func (s *State) past(ctx context.Context) (monitor.Past, error) {
	return s.pastAt(ctx, s.Ledger.Height(), s.Store.Last(), s.Leases.Len())
}

// pastAt is where a monitor goes on after the first height blocks, the
// snapshots up to last and the first leases.
func (s *State) pastAt(ctx context.Context, height uint64, last zone.SeqID, leases int) (monitor.Past, error) {
	world, err := s.worldAt(ctx, height)
	if err != nil {
		return monitor.Past{}, err
	}
	devices, err := contract.Devices(world)
	if err != nil {
		return monitor.Past{}, err
	}
	z, _, err := contract.ReadZone(world)
	if err != nil {
		return monitor.Past{}, err
	}
	return monitor.Past{Zone: s.Zone.ID, LastSeq: last, Height: height, Devices: devices,
		ZoneN: z.N, SilencedFrom: z.SilencedFrom, SilencedUntil: z.SilencedUntil,
		Leases: s.Leases.First(leases), Watched: s.runs.watched}, nil
}

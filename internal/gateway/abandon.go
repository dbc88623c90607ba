package gateway

import (
	"context"
	"errors"
	"fmt"

	"bellwether/internal/monitor"
	"bellwether/internal/roster"
	"bellwether/internal/zone"
)

// Abandoned is what is left of a replay that was given up.
type Abandoned struct {
	Learn, Watch []string   // its captures
	From, To     zone.SeqID // the snapshots it stored; From > To: none
}

// Abandon gives up the replay that was stopped over a state directory, so that
// others may follow. What it stored and recorded stays, rows that the ledger does
// not hold yet are recorded, and nothing is learned from any of them.
func Abandon(ctx context.Context, dir string, c Config) (Abandoned, error) {
	s, err := OpenState(ctx, dir, StateOptions{Existing: true})
	if err != nil {
		return Abandoned{}, err
	}
	out, err := s.abandon(ctx, c)
	return out, errors.Join(err, s.Close())
}

func (s *State) abandon(ctx context.Context, c Config) (Abandoned, error) {
	if s.runs.unfinished() == nil {
		return Abandoned{}, fmt.Errorf("the state directory %s holds no unfinished replay: there is nothing to give up", s.Dir)
	}
	past, err := s.past(ctx)
	if err != nil {
		return Abandoned{}, err
	}
	who, err := c.rosterOptions()
	if err != nil {
		return Abandoned{}, err
	}
	o := c.monitorOptions()
	o.ModelDir = s.path(modelDir)
	m, err := monitor.New(ctx, o, monitor.Parts{Roster: roster.New(who), Store: s.Store, Alerts: s.Alerts, Leases: s.Leases,
		Ledger: s.Ledger, Signer: s.Key}, past)
	if err != nil {
		return Abandoned{}, err
	}
	if err := m.Resubmit(ctx); err != nil {
		return Abandoned{}, err
	}
	r := s.runs.newest
	r.Abandoned, r.Learned, r.End, r.EndHeight = true, r.Last, s.Store.Last(), s.Ledger.Height()
	return Abandoned{Learn: r.Learn, Watch: r.Watch, From: r.Last + 1, To: r.End}, s.runs.end(r)
}

package rehearse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"bellwether/internal/gateway"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// play learns, watches the later part as it is, and then every attack.
func (s *stage) play(ctx context.Context) (*Report, error) {
	learned := s.learnedDir()
	began, err := s.replay(ctx, gateway.Replay{StateDir: learned, Learn: s.learn}, s.Config.Workers)
	if err != nil {
		return nil, fmt.Errorf("learning: %w", err)
	}
	actors, left, err := s.cast(began)
	if err != nil {
		return nil, err
	}
	calm, err := s.calm(ctx, learned)
	if err != nil {
		return nil, err
	}
	trials, err := s.trials(ctx, learned, actors, calm)
	if err != nil {
		return nil, err
	}
	r := s.report(began, actors, left, calm[s.rest], trials)
	if s.Compare {
		r.Evidence, err = s.compare(ctx, learned, actors, r, calm[s.rest])
	}
	return r, err
}

// cast gives the devices that attack, by address, and those that cannot.
func (s *stage) cast(learned *gateway.Report) ([]actor, []Unable, error) {
	devices, err := s.chosen(learned.Devices)
	if err != nil {
		return nil, nil, err
	}
	actors, left := s.actors(devices)
	if len(actors) == 0 {
		return nil, nil, fmt.Errorf("no device can attack: %s", reasons(left))
	}
	slices.SortFunc(actors, byMAC)
	return actors, left, nil
}

// chosen gives the devices that were asked for, all by default. One that was
// asked for and cannot be judged is an error.
func (s *stage) chosen(all []gateway.DeviceReport) ([]gateway.DeviceReport, error) {
	if len(s.Devices) == 0 {
		return all, nil
	}
	var out []gateway.DeviceReport
	for _, mac := range s.Devices {
		i := slices.IndexFunc(all, func(d gateway.DeviceReport) bool { return d.MAC == mac })
		switch {
		case i < 0:
			return nil, fmt.Errorf("%s sent nothing in the part to learn from, or is not taken for a device (a router?): list it in the configuration under devices.listed", mac)
		case all[i].Threshold == nil:
			return nil, fmt.Errorf("%s sent %d packets in the part to learn from, and %d are needed: give longer captures, or learn.snapshots in the configuration (--min-snapshots)",
				mac, all[i].LearnedSnapshots, all[i].NeededSnapshots)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// replay runs a replay with the rehearsal's configuration.
func (s *stage) replay(ctx context.Context, r gateway.Replay, workers int) (*gateway.Report, error) {
	r.Config = s.Config
	r.Config.Workers = workers
	if len(r.Learn) > 0 {
		r.Events.Progress = s.Progress
	}
	return r.Run(ctx)
}

// watch judges a capture with what was learned, on a copy of the state, which f
// may look at before it goes.
func (s *stage) watch(ctx context.Context, learned, capture string, f func(state string) error) (*gateway.Report, error) {
	state, err := os.MkdirTemp(s.dir, "state-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(state)
	if err := gateway.CopyState(learned, state); err != nil {
		return nil, err
	}
	r, err := s.replay(ctx, gateway.Replay{StateDir: state, Watch: []string{capture}}, 1)
	if err != nil {
		return nil, err
	}
	if f != nil {
		err = f(state)
	}
	return r, err
}

// calm watches the later part and each excerpt without any attack, by capture.
func (s *stage) calm(ctx context.Context, learned string) (map[string]*gateway.Report, error) {
	paths := []string{s.rest}
	for _, e := range s.excerpts {
		if !slices.Contains(paths, e.path) {
			paths = append(paths, e.path)
		}
	}
	found := make([]*gateway.Report, len(paths))
	err := s.each("benign", len(paths), func(i int) (err error) {
		found[i], err = s.watch(ctx, learned, paths[i], nil)
		return err
	})
	out := map[string]*gateway.Report{}
	for i, path := range paths {
		out[path] = found[i]
	}
	return out, err
}

// trials commits every attack, kind by kind and round by round, in this order.
func (s *stage) trials(ctx context.Context, learned string, actors []actor, calm map[string]*gateway.Report) ([]Trial, error) {
	all := make([][]Trial, len(s.Attacks)*s.Times)
	err := s.each("attacking", len(all), func(i int) (err error) {
		kind, err := simulate.FindKind(s.Attacks[i/s.Times])
		if err != nil {
			return err
		}
		round := i % s.Times
		all[i], err = s.try(ctx, learned, kind, round, actors, calm[s.excerpts[round].path])
		if err != nil {
			err = fmt.Errorf("%s: %w", kind.Name, err)
		}
		return err
	})
	return slices.Concat(all...), err
}

// try lets every device commit one attack in a copy of an excerpt.
func (s *stage) try(ctx context.Context, learned string, kind simulate.Kind, round int, actors []actor, calm *gateway.Report) ([]Trial, error) {
	strikes := s.strikes(kind, round, actors)
	path, truthPath := s.capturePath(kind.Name, round)
	if err := overlay(ctx, s.excerpts[round].path, path, strikes, truthPath); err != nil {
		return nil, err
	}
	polls := map[zone.MAC]*poll{}
	r, err := s.watch(ctx, learned, path, func(state string) error {
		for _, k := range strikes {
			polls[k.MAC] = &poll{strike: k, mute: !s.votes(), quiet: s.quiet()}
		}
		return gateway.Judged(ctx, state, func(row *zone.Snapshot) error {
			if p := polls[row.Device]; p != nil {
				p.rows = append(p.rows, ballot{row.Time, row.Packet, row.Label == zone.Malicious})
			}
			return nil
		})
	})
	if err := errors.Join(err, s.drop(path)); err != nil {
		return nil, err
	}
	out := make([]Trial, len(strikes))
	for i, k := range strikes {
		out[i], err = polls[k.MAC].trial(reported(r, k.MAC), reported(calm, k.MAC))
		if err != nil {
			return nil, err
		}
		out[i].Name, out[i].Round = actors[i].name, round+1
	}
	return out, nil
}

// reported gives a device's part of a report.
func reported(r *gateway.Report, mac zone.MAC) gateway.DeviceReport {
	i := slices.IndexFunc(r.Devices, func(d gateway.DeviceReport) bool { return d.MAC == mac })
	if i < 0 {
		return gateway.DeviceReport{MAC: mac}
	}
	return r.Devices[i]
}

// each does n jobs, some at a time, and says how many are done. The first error
// ends it.
func (s *stage) each(what string, n int, job func(int) error) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	done := 0
	limit := make(chan struct{}, s.workers())
	s.Progress(what, 0, int64(n))
	for i := range n {
		limit <- struct{}{}
		mu.Lock()
		stop := failed != nil
		mu.Unlock()
		if stop {
			break
		}
		wg.Go(func() {
			defer func() { <-limit }()
			err := job(i)
			mu.Lock()
			defer mu.Unlock()
			if done++; failed == nil {
				failed = err
			}
			s.Progress(what, int64(done), int64(n))
		})
	}
	wg.Wait()
	return failed
}

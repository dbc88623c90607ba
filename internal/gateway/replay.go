package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"bellwether/internal/bus"
	"bellwether/internal/capture"
	"bellwether/internal/contract"
	"bellwether/internal/feature"
	"bellwether/internal/monitor"
	"bellwether/internal/packet"
	"bellwether/internal/roster"
	"bellwether/internal/zone"
)

// Replay says what to learn from and what to judge.
type Replay struct {
	StateDir string
	Learn    []string // captures, directories or globs; may be empty when the zone has learned before
	Watch    []string
	Config   Config // subnets, gateways, names, detector; its State and Interface are not used
	Events   Events
	Log      *slog.Logger
}

// Events are what a run tells while it goes on. Nil functions are not called.
type Events struct {
	Progress func(stage string, done, total int64)
	Alert    func(Raised) error
	Warning  func(error)
	Message  func(bus.Heard) // of a member, once it stands on the ledger; must not block
}

func (e Events) progress(stage string, done, total int64) {
	if e.Progress != nil {
		e.Progress(stage, done, total)
	}
}

func (e Events) warn(err error) {
	if e.Warning != nil {
		e.Warning(err)
	}
}

// replaying is a Replay under way.
type replaying struct {
	Replay
	state   *State
	roster  *roster.Roster
	monitor *monitor.Monitor
	run     run
	learn   *recordings
	watch   *recordings
	packets uint64
	packet  packet.Packet
}

// Run replays the captures: it learns from the first set and judges the
// second. A run that is stopped by ctx or by a crash may be repeated with the
// same arguments; it comes to the same state and report.
func (r Replay) Run(ctx context.Context) (*Report, error) {
	began := time.Now()
	p := &replaying{Replay: r}
	if err := p.openCaptures(); err != nil {
		return nil, err
	}
	var err error
	if p.state, err = OpenState(ctx, r.StateDir, p.stateOptions()); err != nil {
		return nil, err
	}
	defer p.state.Close()
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	if err := p.both(ctx); err != nil {
		return nil, err
	}
	p.run.End, p.run.EndHeight = p.monitor.Seq(), p.state.Ledger.Height()
	if err := p.state.runs.end(p.run); err != nil {
		return nil, err
	}
	return p.report(ctx, time.Since(began))
}

func (r *replaying) openCaptures() (err error) {
	if r.Replay.Learn, err = expand(r.Replay.Learn); err != nil {
		return fmt.Errorf("captures to learn from: %w", err)
	}
	if r.Replay.Watch, err = expand(r.Replay.Watch); err != nil {
		return fmt.Errorf("captures to watch: %w", err)
	}
	if r.learn, err = openRecordings(r.Replay.Learn); err != nil {
		return err
	}
	r.watch, err = openRecordings(r.Replay.Watch)
	return err
}

func expand(patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	return capture.Expand(patterns)
}

// stateOptions creates a zone, if there is none, at the time of the first packet.
func (r *replaying) stateOptions() StateOptions {
	o := r.Config.stateOptions()
	o.Log = r.Log
	for _, set := range []*recordings{r.watch, r.learn} {
		if len(set.starts) > 0 {
			o.Identity.Created = max(0, set.starts[0])
		}
	}
	return o
}

// begin finds where this run starts and puts the monitor there.
func (r *replaying) begin(ctx context.Context) error {
	inputs, err := r.inputs()
	if err != nil {
		return err
	}
	fresh := run{Inputs: inputs, Learn: r.Replay.Learn, Watch: r.Replay.Watch, Height: r.state.Ledger.Height(), Last: r.state.Store.Last(), Leases: r.state.Leases.Len()}
	past, err := r.state.past(ctx)
	if err != nil {
		return err
	}
	known := false
	if r.run, known, err = r.state.runs.find(fresh, relearning(past)); err != nil {
		return err
	}
	if past, err = r.state.pastAt(ctx, r.run.Height, r.run.Last, r.run.Leases); err != nil {
		return err
	}
	if err := r.checkSets(past); err != nil {
		return err
	}
	who, err := r.Config.rosterOptions()
	if err != nil {
		return err
	}
	r.roster = roster.New(who)
	o := r.Config.monitorOptions()
	o.ModelDir, o.Log = r.state.path(modelDir), r.Log
	parts := r.state.parts()
	parts.Roster, parts.OnAlert = r.roster, raiser(ctx, r.state, r.Events.Alert)
	parts.Ledger = monitor.Resume(r.state.Ledger, r.run.Height)
	r.monitor, err = monitor.New(ctx, o, parts, past)
	if err != nil || known {
		return err
	}
	return r.state.runs.append(r.run)
}

// checkSets refuses to learn again what was learned, unless the operator sent
// a device back to learning, and to judge with nothing learned.
func (r *replaying) checkSets(past monitor.Past) error {
	learned := slices.ContainsFunc(past.Devices, func(d contract.DeviceState) bool { return d.State != zone.StateLearning })
	if learned && !relearning(past) && len(r.Replay.Learn) > 0 {
		return fmt.Errorf("the state directory %s has learned its devices already: leave out --learn to judge with what was learned, or give another --state", r.StateDir)
	}
	if len(past.Devices) == 0 && len(r.Replay.Learn) == 0 {
		return fmt.Errorf("the state directory %s has learned nothing yet: give --learn CAPTURE", r.StateDir)
	}
	return nil
}

// relearning reports a device that an operator sent back to learning.
func relearning(past monitor.Past) bool {
	return slices.ContainsFunc(past.Devices, func(d contract.DeviceState) bool {
		return d.State == zone.StateLearning && d.Since != d.FirstSeen
	})
}

// inputs digests what decides this run's results.
func (r *replaying) inputs() (zone.Hash, error) {
	h := sha256.New()
	who, err := r.Config.rosterOptions()
	if err != nil {
		return zone.Hash{}, err
	}
	options, err := json.Marshal(struct {
		Config Config
		Roster roster.Options
	}{r.Config.decisive(), who})
	if err != nil {
		return zone.Hash{}, err
	}
	fmt.Fprintf(h, "%s\n%s\n", options, feature.Digest())
	for _, mac := range r.state.MUDs() {
		m, _ := r.state.MUD(mac)
		fmt.Fprintf(h, "%s %s %s\n", mac, m.SHA256, m.names())
	}
	for _, set := range [][]string{r.Replay.Learn, r.Replay.Watch} {
		fmt.Fprintf(h, "%d\n", len(set))
		for _, path := range set {
			f, err := fingerprint(path)
			if err != nil {
				return zone.Hash{}, err
			}
			fmt.Fprintf(h, "%s %s\n", f, filepath.Base(path))
		}
	}
	return zone.Hash(h.Sum(nil)), nil
}

// both learns from the first set, then judges the second.
func (r *replaying) both(ctx context.Context) error {
	if err := r.feed(ctx, "learning", r.learn); err != nil {
		return err
	}
	err := r.monitor.FinishLearning(ctx, func(done, total int) { r.Events.progress("training", int64(done), int64(total)) })
	if err != nil {
		return err
	}
	r.run.Learned = r.monitor.Seq()
	r.monitor.Restart()
	return r.feed(ctx, "watching", r.watch)
}

// feed gives a set of captures to the monitor. Gateways are looked for in all
// of it first, so that none of its packets is taken for a device's.
func (r *replaying) feed(ctx context.Context, stage string, set *recordings) error {
	if len(set.paths) == 0 {
		return nil
	}
	if err := r.scan(ctx, set); err != nil {
		return err
	}
	n := 0
	err := set.each(ctx, func(fr *capture.Frame) error {
		if n++; n%4096 == 0 {
			done, total := set.read()
			r.Events.progress(stage, done, total)
		}
		r.packets++
		r.decode(fr)
		return r.monitor.Observe(ctx, &r.packet)
	})
	if err != nil {
		return err
	}
	for _, d := range set.damage {
		r.Events.warn(d)
	}
	_, total := set.read()
	r.Events.progress(stage, total, total)
	return r.monitor.Flush(ctx)
}

func (r *replaying) decode(fr *capture.Frame) {
	r.packet.Time, r.packet.Length = fr.Time, fr.Length
	packet.Decode(fr.Link, fr.Data, &r.packet)
}

func (r *replaying) scan(ctx context.Context, set *recordings) error {
	again, err := openRecordings(set.paths)
	if err != nil {
		return err
	}
	scan := r.roster.NewScan()
	err = again.each(ctx, func(fr *capture.Frame) error {
		r.decode(fr)
		scan.Packet(&r.packet)
		return nil
	})
	scan.Done()
	return err
}

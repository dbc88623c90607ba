package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// trained is what a training job brings back.
type trained struct {
	mac   zone.MAC
	model *detect.Model
	seen  int // snapshots that were there to learn from
	err   error
}

// learner collects one device's learning snapshots from the store. It keeps at
// most 2·maxLearn of them, thinned by whole blocks so that neighbours stay
// neighbours; the habits come from all.
type learner struct {
	from    zone.SeqID // the range to learn from
	to      zone.SeqID
	rows    [][zone.Features]float32
	times   []zone.Time
	stride  int // of every so many blocks, one is kept
	seen    int
	first   zone.SeqID
	last    zone.SeqID
	profile *profiler
	follows *detect.Profile // the first model's, of a shadow
}

const (
	maxLearn   = 32 * learnBlock
	learnBlock = 1024
)

func newLearner(d *device) *learner {
	return &learner{from: d.learnFrom, to: d.learnedTo, stride: 1, profile: newProfiler()}
}

func (l *learner) add(s *zone.Snapshot) {
	if l.seen == 0 {
		l.first = s.Seq
	}
	l.last = s.Seq
	l.profile.add(s)
	if l.seen/learnBlock%l.stride == 0 {
		l.rows = append(l.rows, s.Features)
		l.times = append(l.times, s.Time)
	}
	l.seen++
	if len(l.rows) == 2*maxLearn {
		l.rows, l.times = everySecondBlock(l.rows), everySecondBlock(l.times)
		l.stride *= 2
	}
}

func everySecondBlock[T any](v []T) []T {
	out := v[:0]
	for i := 0; i < len(v); i += 2 * learnBlock {
		out = append(out, v[i:i+learnBlock]...)
	}
	return out
}

// train learns the device's behaviour from what was collected, unless a model
// that was learned from just this is known.
func (l *learner) train(ctx context.Context, mac zone.MAC, o detect.Options, known []*detect.Model) trained {
	profile := l.profile.result()
	if l.follows != nil {
		profile.First, profile.Followed = l.follows.Known, true
	}
	t := detect.Training{
		Device: mac, Definition: feature.Digest(), Rows: l.rows, Times: l.times,
		First: l.first, Last: l.last, Profile: profile,
	}
	for _, m := range known {
		if m.LearnedFrom(t, o) {
			return trained{mac: mac, model: m, seen: l.seen}
		}
	}
	model, err := detect.Train(ctx, t, o, nil)
	if err != nil {
		return trained{mac: mac, err: fmt.Errorf("learning %s: %w", mac, err)}
	}
	return trained{mac: mac, model: model, seen: l.seen}
}

// knownModels reads the models of the zone's feature definition that are in
// the model directory; a file that cannot be read is none.
func (m *Monitor) knownModels() map[zone.MAC][]*detect.Model {
	known := map[zone.MAC][]*detect.Model{}
	paths, _ := filepath.Glob(filepath.Join(m.o.ModelDir, "*"+modelSuffix))
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if model, err := detect.UnmarshalModel(b); err == nil {
			known[model.Origin.Device] = append(known[model.Origin.Device], model)
		}
	}
	return known
}

// collect fills learners, by device, in one pass over the store.
func collect(ctx context.Context, rows *store.Store, learners map[zone.MAC]*learner) error {
	from, to := ^zone.SeqID(0), zone.SeqID(0)
	only := zone.MAC{}
	for mac, l := range learners {
		from, to = min(from, l.from), max(to, l.to)
		only = mac
	}
	if len(learners) > 1 {
		only = zone.MAC{}
	}
	if from = max(from, rows.First()); from > to {
		return nil // retention has removed it all
	}
	for s, err := range rows.Rows(ctx, from, to, only) {
		if err != nil {
			return fmt.Errorf("learning snapshots: %w", err)
		}
		if l := learners[s.Device]; l != nil && s.Label == zone.Unjudged && s.Seq >= l.from && s.Seq <= l.to {
			l.add(s)
		}
	}
	return nil
}

// FinishLearning ends learning for every device that was seen often enough:
// each gets its model. The others stay in learning, and nothing more is learned. progress, which may be
// nil, is called when a device is done.
func (m *Monitor) FinishLearning(ctx context.Context, progress func(done, total int)) error {
	if err := m.Flush(ctx); err != nil {
		return err
	}
	m.closed = true
	var ready []*device
	for _, d := range m.sorted() {
		if d.state == zone.StateLearning && d.learning >= m.o.Learn.Snapshots {
			ready = append(ready, d)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	known := m.knownModels()
	done := 0
	for some := range slices.Chunk(ready, trainTogether) {
		err := m.trainAll(ctx, some, known, func(n, _ int) {
			if progress != nil {
				progress(done+n, len(ready))
			}
		})
		if err != nil {
			return err
		}
		done += len(some)
	}
	return m.record.commit(ctx)
}

// trainTogether bounds the devices whose snapshots are in memory at a time.
const trainTogether = 16

// trainAll learns some devices at once and accepts their models in order.
func (m *Monitor) trainAll(ctx context.Context, some []*device, known map[zone.MAC][]*detect.Model, progress func(done, total int)) error {
	learners := map[zone.MAC]*learner{}
	for _, d := range some {
		learners[d.mac] = newLearner(d)
	}
	if err := collect(ctx, m.p.Store, learners); err != nil {
		return err
	}
	results := make([]trained, len(some))
	m.inParallel(len(some), func(i int) {
		results[i] = learners[some[i].mac].train(ctx, some[i].mac, m.o.Detect, known[some[i].mac])
	}, progress)
	for _, r := range results {
		if err := m.accept(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// inParallel runs job 0 to n-1 on the monitor's workers.
func (m *Monitor) inParallel(n int, job func(i int), progress func(done, total int)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	limit := make(chan struct{}, m.o.Workers)
	for i := range n {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			job(i)
			mu.Lock()
			defer mu.Unlock()
			if done++; progress != nil {
				progress(done, n)
			}
		})
	}
	wg.Wait()
}

// beginTraining hands the device's learning to a background job.
func (m *Monitor) beginTraining(ctx context.Context, d *device) error {
	if err := m.closeSegment(ctx); err != nil {
		return err
	}
	d.training = true
	l, mac, o, rows := newLearner(d), d.mac, m.o.Detect, m.p.Store
	m.o.Background(func(ctx context.Context) {
		if err := collect(ctx, rows, map[zone.MAC]*learner{mac: l}); err != nil {
			m.trained <- trained{mac: mac, err: err}
			return
		}
		m.trained <- l.train(ctx, mac, o, nil)
	})
	return nil
}

// takeAll takes what background jobs have finished by now.
func takeAll[T any](ctx context.Context, finished <-chan T, take func(context.Context, T) error) error {
	for {
		select {
		case r := <-finished:
			if err := take(ctx, r); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// accept keeps a learned model and lets its device be watched. The file is
// durable before the ledger names it. Live, a device whose snapshots cannot be
// learned from learns anew, and the log says why.
func (m *Monitor) accept(ctx context.Context, r trained) error {
	d := m.devices[r.mac]
	d.training = false
	if r.err != nil {
		if errors.Is(r.err, context.Canceled) {
			return ctx.Err()
		}
		if m.o.Background == nil {
			return r.err
		}
		m.o.Log.Warn("device has to learn anew", "mac", r.mac, "error", r.err)
		d.learnFrom, d.learning = d.learnedTo+1, 0
		return nil
	}
	model, digest := r.model, r.model.Digest()
	if err := m.keepModel(model); err != nil {
		return err
	}
	if err := m.record.submit(ctx, d, max(m.newest, model.Origin.To), acceptance(r)); err != nil {
		return err
	}
	m.install(d, model, digest)
	d.state = zone.StateWatching
	m.o.Log.Info("device learned", "mac", d.mac, "name", d.name, "snapshots", r.seen, "threshold", model.Threshold, "window", model.Window)
	return nil
}

// sorted gives the devices by MAC address.
func (m *Monitor) sorted() []*device {
	out := make([]*device, 0, len(m.devices))
	for _, d := range m.devices {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b *device) int { return slices.Compare(a.mac[:], b.mac[:]) })
	return out
}

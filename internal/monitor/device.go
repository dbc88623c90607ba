package monitor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/novelty"
	"bellwether/internal/zone"
)

// device is the life of one device. Its fields belong to the monitor's
// goroutine, but for those that score uses while it runs.
type device struct {
	mac   zone.MAC
	name  string
	state zone.State
	n     uint64 // transactions about it so far

	sent   uint64     // packets, as far as they are known
	newest zone.SeqID // of them

	joined    zone.Time // when learning began
	learnFrom zone.SeqID
	learnedTo zone.SeqID
	learning  int // snapshots since then
	training  bool

	adapting *adapting // a change of its model under way
	latest   zone.Time // of its newest snapshot, 0 before any
	tried    zone.Time // the newest snapshot when its model was last to change

	model     *detect.Model
	digest    zone.Hash
	scorer    *detect.Scorer
	vote      *detect.Vote
	tail      *detect.Vote // over the same number of snapshots, however old: ends an episode
	novel     *novelty.Tracker
	placed    uint64   // the gap since which it was seen at an address of its own
	recent    []recent // ring of the newest snapshots, as many as vote
	oldest    int
	lastAlarm zone.Time // newest snapshot that was cause for alarm, 0 before any

	watched, flagged uint64
	episode          *Episode // the open one

	pending []int // scratch of score
	rows    [][zone.Features]float32
	scores  []float64
}

// recent is what the monitor remembers of a snapshot that votes.
type recent struct {
	seq  zone.SeqID
	time zone.Time
}

// Past is where a monitor goes on: the zone's state at a block of its ledger.
type Past struct {
	Zone    zone.Hash
	LastSeq zone.SeqID
	Height  uint64 // blocks that are part of this past
	Devices []contract.DeviceState
	Leases  []Lease // oldest first
	// ZoneN is the number of the zone's own newest transaction.
	ZoneN                       uint64
	SilencedFrom, SilencedUntil zone.Time // the whole zone; 0: not
	// Watched are the snapshots that earlier replays judged: a device that was
	// still learning then does not learn from them.
	Watched []SeqRange
}

// SeqRange is a range of snapshots, both ends included.
type SeqRange struct{ From, To zone.SeqID }

// learnable reports a snapshot that a device of the past learns from.
func (p *Past) learnable(seq zone.SeqID) bool {
	return seq <= p.LastSeq && !slices.ContainsFunc(p.Watched, func(w SeqRange) bool { return w.From <= seq && seq <= w.To })
}

// restore takes up a device of the past.
func (m *Monitor) restore(past *Past, s contract.DeviceState) error {
	d := &device{mac: s.MAC, name: s.Name, state: s.State, n: s.N, joined: s.Since, sent: s.Rows, newest: s.LastSeq}
	m.devices[s.MAC] = d
	if m.p.Trials != nil {
		t, _ := m.p.Trials.Newest(s.MAC)
		d.tried = t.Time
	}
	if s.State == zone.StateLearning {
		m.recount(d, past)
		return nil
	}
	model, err := loadModel(m.modelPath(s.Model), s.Model)
	if err != nil {
		return fmt.Errorf("learned model of %s (%s): %w; restore the file from a backup, or let the device learn again with `bellwether device relearn %s`",
			s.Name, s.MAC, err, s.MAC)
	}
	m.install(d, model, s.Model)
	d.learning = int(s.Rows - s.Normal - s.Malicious)
	return nil
}

// recalled is how many of the newest snapshots a live monitor reads when it
// starts.
const recalled = 100_000

// recall finds in the store which hosts and services the devices have met since
// they were learned. A replay begins with what was learned alone, whatever was
// watched before.
func (m *Monitor) recall(ctx context.Context) error {
	first, last := m.p.Store.First(), m.p.Store.Last()
	if m.o.Background == nil || first > last {
		return nil
	}
	for s, err := range m.p.Store.Rows(ctx, max(first, last-min(last, recalled)+1), last, zone.MAC{}) {
		if err != nil {
			return fmt.Errorf("what the devices did lately: %w", err)
		}
		if d := m.devices[s.Device]; d != nil && d.novel != nil && d.state == zone.StateWatching && s.SrcMAC == d.mac {
			d.novel.Met(s)
		}
	}
	return nil
}

// recount finds in the store what a device has been learning from.
func (m *Monitor) recount(d *device, past *Past) {
	for _, seg := range m.p.Store.Segments() {
		if seg.Removed {
			continue
		}
		for _, r := range seg.Ranges {
			if r.Device != d.mac || r.FirstTime < d.joined || r.Unjudged == 0 || !past.learnable(r.First) {
				continue
			}
			if d.learnFrom == 0 {
				d.learnFrom = r.First
			}
			d.learnedTo = r.Last
			d.learning += int(r.Unjudged)
		}
	}
}

// loadModel reads a model file and checks that it is the one that the ledger names.
func loadModel(path string, digest zone.Hash) (*detect.Model, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	model, err := detect.UnmarshalModel(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if model.Digest() != digest {
		return nil, fmt.Errorf("%s has the digest %s, the ledger says %s", path, model.Digest().Short(), digest.Short())
	}
	if want := feature.Digest(); model.Origin.Definition != want {
		return nil, fmt.Errorf("%s was learned from another feature definition (%s, this program has %s)", path, model.Origin.Definition.Short(), want.Short())
	}
	return model, nil
}

// modelSuffix ends the name of a model file; before it stands the digest.
const modelSuffix = ".model"

func (m *Monitor) modelPath(digest zone.Hash) string {
	return filepath.Join(m.o.ModelDir, digest.String()+modelSuffix)
}

// tailSpan is how old a snapshot may be that keeps an episode open: the
// features remember a flood for long after it ends, and a quiet device sends few.
const tailSpan = 24 * time.Hour

// install gives the device its learned model.
func (m *Monitor) install(d *device, model *detect.Model, digest zone.Hash) {
	d.digest = digest
	d.scorer = model.NewScorer()
	d.arm(model)
	d.novel = m.newTracker(model)
	m.sources.claim(d, model.Profile.Addresses)
}

// arm makes the model's votes the device's.
func (d *device) arm(model *detect.Model) {
	d.model = model
	d.vote = detect.NewVote(model.Window, model.Span)
	d.tail = detect.NewVote(model.Window, tailSpan)
	d.recent, d.oldest = nil, 0
}

func (m *Monitor) newTracker(model *detect.Model) *novelty.Tracker {
	return novelty.NewTracker(&model.Profile, m.callers, m.without)
}

// without reports a reason that is switched off.
func (m *Monitor) without(reason string) bool { return slices.Contains(m.o.Without, reason) }

// forget takes the device's model away: it learns again from now.
func (d *device) forget(now zone.Time) {
	d.state, d.joined = zone.StateLearning, now
	d.model, d.scorer, d.vote, d.novel, d.digest = nil, nil, nil, nil, zone.Hash{}
	d.learnFrom, d.learnedTo, d.learning = 0, 0, 0
	d.episode = nil
}

// forgetTraffic drops what belongs to one run of packets only.
func (m *Monitor) forgetTraffic(d *device) {
	d.recent, d.oldest, d.lastAlarm = nil, 0, 0
	if d.model != nil {
		d.vote.Reset()
		d.tail.Reset()
		d.novel = m.newTracker(d.model)
	}
}

// remember keeps the snapshot among those that vote.
func (d *device) remember(s *zone.Snapshot) {
	r := recent{s.Seq, s.Time}
	if len(d.recent) < d.model.Window {
		d.recent = append(d.recent, r)
		return
	}
	d.recent[d.oldest] = r
	d.oldest = (d.oldest + 1) % len(d.recent)
}

// firstVoter is the oldest remembered snapshot that still votes at now.
func (d *device) firstVoter(now zone.Time) zone.SeqID {
	for i := range d.recent {
		r := d.recent[(d.oldest+i)%len(d.recent)]
		if now.Sub(r.time) <= d.model.Span {
			return r.seq
		}
	}
	return 0
}

// count adds the snapshot to what is told of the device. Once learning is
// closed, a device that is still learning gains nothing by it.
func (d *device) count(s *zone.Snapshot, closed bool) {
	if s.Label == zone.Unjudged {
		if closed {
			return
		}
		d.learning++
		if d.learnFrom == 0 {
			d.learnFrom = s.Seq
		}
		d.learnedTo = s.Seq
		return
	}
	d.watched++
	if s.Label == zone.Malicious {
		d.flagged++
	}
}

// learned reports whether the device has been seen enough to train on.
func (d *device) learned(l Learn, now zone.Time) bool {
	return !d.training && d.learning >= l.Snapshots && now.Sub(d.joined) >= l.For
}

// DeviceReport is what the monitor tells of one device.
type DeviceReport struct {
	MAC              zone.MAC
	Name             string
	State            zone.State
	Joined           zone.Time
	LearnedSnapshots int    // snapshots seen while it learned
	Needed           int    // how many it needs
	Watched          uint64 // snapshots judged
	Flagged          uint64 // those labelled malicious
	Threshold        float64
	Window           int
	Span             time.Duration
	Warnings         []string
	Episodes         []*Episode
}

// Devices tells of every device, by MAC address.
func (m *Monitor) Devices() []DeviceReport {
	var out []DeviceReport
	for _, d := range m.sorted() {
		r := DeviceReport{MAC: d.mac, Name: d.name, State: d.state, Joined: d.joined,
			LearnedSnapshots: d.learning, Needed: m.o.Learn.Snapshots, Watched: d.watched, Flagged: d.flagged}
		if d.model != nil {
			r.Threshold, r.Window, r.Span, r.Warnings = d.model.Threshold, d.model.Window, d.model.Span, d.model.Warnings
		}
		for _, e := range m.episodes {
			if e.Alert.Device == d.mac {
				r.Episodes = append(r.Episodes, e)
			}
		}
		out = append(out, r)
	}
	return out
}

package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/durable"
	"bellwether/internal/novelty"
	"bellwether/internal/zone"
)

// Change is how a watched device's model is to change.
type Change string

// The changes. What takes over is recorded on the ledger before it judges.
const (
	Follow  Change = "adapt"    // a shadow model is learned and takes over, if it is within its bounds
	Compare Change = "try"      // it is learned and compared only
	GoBack  Change = "rollback" // the model takes over whose place the one in force took
	byRule  Change = "auto"     // as Follow, if there is a reason and the shadow is better
)

// Adaptation is what became of a change.
type Adaptation struct {
	Device zone.MAC `json:"mac"`
	Comparison
	Model contract.ModelAccepted `json:"model"` // that has taken over, if ID is not zero
	ID    zone.HID               `json:"h_id"`  // its entry on the ledger
}

// adapting is a change under way.
type adapting struct {
	mac     zone.MAC
	change  Change
	present *detect.Model
	to      zone.SeqID // newest snapshot to learn from
	abort   func()
	done    func(*Adaptation, error)
}

// successor is what a change's job brings back.
type successor struct {
	of       *adapting
	found    Comparison
	model    *detect.Model
	accepted *contract.ModelAccepted
	novel    *novelty.Tracker // that knows what the device met lately; nil in a replay
	err      error
}

// ChangeModel changes a device's model, or says why it does not. It learns and reads
// in the background, where there is one, and done is called once, on the
// monitor's goroutine, with what was found and why it did not take over;
// not at all if the run ends before. A device that is called malicious or sent
// back to learning meanwhile keeps nothing of it. The error that
// is returned is one of the store or the ledger.
func (m *Monitor) ChangeModel(ctx context.Context, mac zone.MAC, change Change, done func(*Adaptation, error)) error {
	if err := m.Flush(ctx); err != nil {
		return err
	}
	d := m.known(mac)
	err := d.adaptable(mac)
	if change != Follow && change != Compare && change != GoBack {
		err = fmt.Errorf("no change %q of a model: want %s, %s or %s", change, Follow, Compare, GoBack)
	}
	if err != nil {
		done(nil, err)
		return nil
	}
	return m.beginChange(ctx, d, change, done)
}

// adaptable says why the device's model cannot change now.
func (d *device) adaptable(mac zone.MAC) error {
	switch {
	case d == nil || d.state == zone.StateUnseen:
		return fmt.Errorf("%s: %w", mac, ErrNoDevice)
	case d.state == zone.StateLearning:
		return fmt.Errorf("%s is learning: it has no model yet", mac)
	case d.state != zone.StateWatching:
		return fmt.Errorf("%s is %s: its model changes only while it is watched; wait until it is quiet, or let it learn anew with `bellwether device relearn %s`", mac, d.state, mac)
	case d.adapting != nil:
		return fmt.Errorf("a shadow model of %s is being learned already: wait for it", mac)
	}
	return nil
}

func (m *Monitor) beginChange(ctx context.Context, d *device, change Change, done func(*Adaptation, error)) error {
	state, _, err := contract.ReadDevice(m.p.Ledger.State(), d.mac)
	if err != nil {
		return err
	}
	aborted, abort := context.WithCancel(context.WithoutCancel(ctx))
	a := &adapting{mac: d.mac, change: change, present: d.model, to: state.LastSeq, abort: abort, done: done}
	d.adapting = a
	if change != Compare {
		d.tried = d.latest
	}
	if m.o.Background == nil {
		return m.takeOver(ctx, m.prepare(ctx, a))
	}
	m.o.Background(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(aborted, cancel)()
		select {
		case m.successors <- m.prepare(ctx, a):
		case <-ctx.Done():
		}
	})
	return nil
}

// prepare finds the model that is to take over. It runs beside the monitor's
// goroutine and touches nothing of it.
func (m *Monitor) prepare(ctx context.Context, a *adapting) successor {
	s := successor{of: a}
	h, err := ReadHistory(ctx, m.p.Ledger, a.mac)
	switch {
	case err != nil:
		s.err = err
	case len(h.Models) == 0:
		s.err = errors.New("the ledger does not hold the model that its state names")
	case a.change == GoBack:
		s.err = s.goBack(m, h)
	default:
		s.err = s.follow(ctx, m, h)
	}
	if s.err == nil && m.o.Background != nil && a.change != Compare {
		s.novel, s.err = m.metLately(ctx, s.model, h)
	}
	return s
}

// goBack takes the former model.
func (s *successor) goBack(m *Monitor, h *History) error {
	former, err := h.Former()
	if err == nil {
		s.model, err = loadModel(m.modelPath(former.Digest), former.Digest)
	}
	s.accepted = &former
	return err
}

// follow learns a shadow model and holds it against its bounds.
func (s *successor) follow(ctx context.Context, m *Monitor, h *History) error {
	a := s.of
	anchor, err := loadModel(m.modelPath(h.Models[0].Digest), h.Models[0].Digest)
	if err != nil {
		return fmt.Errorf("first model of %s: %w", a.mac, err)
	}
	x := lesson{rows: m.p.Store, history: h, anchor: anchor, present: a.present, to: a.to}
	if a.change == byRule {
		if err := h.held(newest(m.p.Store, a.to)); err != nil {
			return err
		}
		x.holdOut, x.ready = m.o.AdaptEvery/heldOutShare, func(c *Comparison) error { return c.wanted(uint64(m.o.Learn.Snapshots)) }
	}
	shadow, err := x.train(ctx)
	s.found, s.model, s.accepted = shadow.Comparison, shadow.model, shadow.accepted
	if err == nil {
		err = shadow.check(anchor)
	}
	if err == nil && shadow.accepted.Digest == a.present.Digest() {
		err = fmt.Errorf("nothing newer of %s has passed the gates: the shadow is the model in force", a.mac)
	}
	if err == nil && a.change == byRule {
		err = s.found.better()
	}
	if err == nil {
		s.found.Tried, err = m.try(ctx, anchor, shadow.model)
	}
	return err
}

// heldOutShare of Options.AdaptEvery, its newest part, is what models are compared on
// before one takes over by rule.
const heldOutShare = 4

// metLately gives a tracker that knows the hosts and services that the device
// turned to lately while nothing was wrong.
func (m *Monitor) metLately(ctx context.Context, model *detect.Model, h *History) (*novelty.Tracker, error) {
	t := m.newTracker(model)
	first, last := m.p.Store.First(), m.p.Store.Last()
	for s, err := range m.p.Store.Rows(ctx, max(first, last-min(last, recalled)+1), last, h.Device) {
		if err != nil {
			return nil, fmt.Errorf("what %s did lately: %w", h.Device, err)
		}
		if s.SrcMAC == h.Device && s.Label == zone.Normal && !h.alarmed(s.Time, 0) {
			t.Met(s)
		}
	}
	return t, nil
}

// takeOver lets a prepared model take over, unless its change was given up
// meanwhile. File, ledger, device: a crash in between leaves a file that
// nobody names, or the change made.
func (m *Monitor) takeOver(ctx context.Context, s successor) error {
	d := m.devices[s.of.mac]
	if d == nil || d.adapting != s.of {
		return nil
	}
	s.of.abort()
	d.adapting = nil
	a := &Adaptation{Device: d.mac, Comparison: s.found}
	if s.err != nil || s.of.change == Compare {
		return m.told(d, s.of, a, s.err)
	}
	if err := m.closeSegment(ctx); err != nil {
		return err
	}
	if err := m.record.commit(ctx); err != nil { // what is refused after it is the model
		return err
	}
	if err := m.keepModel(s.model); err != nil {
		return err
	}
	err := m.record.submit(ctx, d, m.recordedUntil(d, s.accepted.To), s.accepted)
	var refused *contract.RejectError
	if errors.As(err, &refused) {
		return m.told(d, s.of, a, err)
	}
	if err == nil {
		a.Model, a.ID = *s.accepted, m.record.newest
		err = m.record.commit(ctx)
	}
	if err != nil {
		return err
	}
	m.install(d, s.model, s.accepted.Digest)
	if s.novel != nil {
		d.novel = s.novel
	}
	return m.told(d, s.of, a, nil)
}

// keepModel makes a model's file durable.
func (m *Monitor) keepModel(model *detect.Model) error {
	file, err := model.MarshalBinary()
	if err == nil {
		err = durable.WriteFile(m.modelPath(model.Digest()), file, 0o640)
	}
	if err != nil {
		return fmt.Errorf("model of %s: %w", model.Origin.Device, err)
	}
	return nil
}

// recordedUntil is the time of the device's newest recorded snapshot, and no earlier
// than least: so that the same state gives the same entry.
func (m *Monitor) recordedUntil(d *device, least zone.Time) zone.Time {
	for _, seg := range m.p.Store.Segments() {
		if r, ok := seg.Range(d.mac); ok {
			least = max(least, r.LastTime)
		}
	}
	return least
}

// told tells what became of a change, and keeps it but for a comparison.
func (m *Monitor) told(d *device, of *adapting, a *Adaptation, why error) error {
	if of.change != Compare && !errors.Is(why, context.Canceled) {
		if err := m.keepTrial(d, of, a, why); err != nil {
			return err
		}
	}
	of.done(a, why)
	return nil
}

func (m *Monitor) keepTrial(d *device, of *adapting, a *Adaptation, why error) error {
	t := Trial{Device: d.mac, Change: of.change, Time: m.recordedUntil(d, 0), Took: why == nil, Model: a.Model.Digest}
	if why == nil {
		t.Outcome = fmt.Sprintf("model %s took over", t.Model.Short())
		m.o.Log.Info("model changed", "mac", d.mac, "name", d.name, "by", of.change, "model", t.Model.Short(), "threshold", a.Model.Threshold)
	} else {
		t.Outcome = why.Error()
		m.o.Log.Info("model stays", "mac", d.mac, "name", d.name, "by", of.change, "reason", why)
	}
	if m.p.Trials == nil {
		return nil
	}
	return m.p.Trials.Put(t)
}

// giveUp ends a change of the device's model that is under way.
func (m *Monitor) giveUp(d *device, why string) error {
	of := d.adapting
	if of == nil {
		return nil
	}
	of.abort()
	d.adapting = nil
	return m.told(d, of, &Adaptation{Device: d.mac}, fmt.Errorf("%s %s while its shadow model was learned: it keeps nothing of it", d.mac, why))
}

// followByRule begins to learn a shadow model of the watched device that waits for
// it longest, if none is being learned and one is due: at most one a device in
// Options.AdaptEvery, by the times of its snapshots.
func (m *Monitor) followByRule(ctx context.Context) error {
	if m.o.AdaptEvery <= 0 || m.o.Background == nil {
		return nil
	}
	var next *device
	for _, d := range m.sorted() {
		if d.adapting != nil {
			return nil
		}
		if d.due(m.o.AdaptEvery) && (next == nil || d.tried < next.tried) {
			next = d
		}
	}
	if next == nil {
		return nil
	}
	return m.beginChange(ctx, next, byRule, func(*Adaptation, error) {})
}

// due reports a device whose last trial is at least so long ago, or, as its clock was
// set back, as long ahead.
func (d *device) due(every time.Duration) bool {
	since := d.latest.Sub(max(d.tried, d.trained()))
	return d.state == zone.StateWatching && d.latest > 0 && (since >= every || since <= -every)
}

// trained is the time of the newest snapshot that the device's model was learned from.
func (d *device) trained() zone.Time {
	if d.model == nil {
		return 0
	}
	return d.model.Origin.To
}

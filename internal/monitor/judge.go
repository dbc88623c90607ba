package monitor

import (
	"context"
	"math"
	"sync"

	"bellwether/internal/contract"
	"bellwether/internal/novelty"
	"bellwether/internal/zone"
)

// Process scores and judges what was observed so far, in the order of arrival.
func (m *Monitor) Process(ctx context.Context) error {
	if err := takeAll(ctx, m.trained, m.accept); err != nil {
		return err
	}
	if err := takeAll(ctx, m.successors, m.takeOver); err != nil {
		return err
	}
	m.score()
	answered := 0
	for i := range m.batch {
		answered = m.answered(answered, i)
		if err := m.judge(ctx, i); err != nil {
			return err
		}
	}
	m.answered(answered, len(m.batch))
	m.batch, m.owners, m.misuse, m.answers = m.batch[:0], m.owners[:0], m.misuse[:0], m.answers[:0]
	return nil
}

// answered tells the trackers of the answers from number n on that came before
// snapshot i of the batch, and gives the number of the next.
func (m *Monitor) answered(n, i int) int {
	for ; n < len(m.answers) && m.answers[n].before <= i; n++ {
		switch a := &m.answers[n]; {
		case a.blind:
			m.blind()
		case a.to == nil:
			m.callers.Called(a.Answer)
		case a.to.novel != nil:
			a.to.novel.Answered(a.Answer, a.to.state == zone.StateMalicious)
		}
	}
	return n
}

// blind tells the trackers that answers may have been missed.
func (m *Monitor) blind() {
	for _, d := range m.devices {
		if d.novel != nil {
			d.novel.Blind()
		}
	}
}

// score gives each snapshot of the batch its device's score, device by device,
// on all workers. A score depends on the snapshot and the model alone.
func (m *Monitor) score() {
	var order []*device
	for i, d := range m.owners {
		m.batch[i].Score = math.NaN()
		if d.scorer == nil {
			continue
		}
		if len(d.pending) == 0 {
			order = append(order, d)
		}
		d.pending = append(d.pending, i)
	}
	var wg sync.WaitGroup
	limit := make(chan struct{}, m.o.Workers)
	for _, d := range order {
		limit <- struct{}{}
		wg.Go(func() {
			d.scorePending(m.batch)
			<-limit
		})
	}
	wg.Wait()
}

// scorePending scores the device's snapshots of the batch.
func (d *device) scorePending(batch []zone.Snapshot) {
	d.rows = d.rows[:0]
	for _, i := range d.pending {
		d.rows = append(d.rows, batch[i].Features)
	}
	d.scores = append(d.scores[:0], make([]float64, len(d.rows))...)
	d.scorer.Score(d.rows, d.scores)
	for k, i := range d.pending {
		batch[i].Score = d.scores[k]
	}
	d.pending = d.pending[:0]
}

// judge labels snapshot i of the batch, stores it and lets its device's life go on.
func (m *Monitor) judge(ctx context.Context, i int) error {
	s, d := &m.batch[i], m.owners[i]
	if len(m.segment) > 0 && s.Time.Sub(m.segment[0].Time) >= m.o.SegmentAge {
		if err := m.closeSegment(ctx); err != nil {
			return err
		}
	}
	if d.state == zone.StateUnseen {
		if err := m.join(ctx, d, s.Time); err != nil {
			return err
		}
	}
	var why cause
	if d.scorer != nil {
		why = m.cause(d, s, m.misuse[i])
	}
	d.count(s, m.closed)
	m.segment = append(m.segment, *s)
	if len(m.segment) >= m.o.SegmentRows {
		if err := m.closeSegment(ctx); err != nil {
			return err
		}
	}
	return m.live(ctx, d, s, why)
}

// cause is why a device is to be called malicious; without a reason it is not.
type cause struct {
	reason string
	misuse string          // ReasonSource in words
	found  novelty.Finding // of the other reasons but ReasonScore
}

// cause labels the snapshot and says why its device is to be called malicious,
// if it is.
func (m *Monitor) cause(d *device, s *zone.Snapshot, misuse string) cause {
	if m.without(zone.ReasonSource) {
		misuse = ""
	}
	voted := d.judge(s, misuse != "")
	found := d.novel.Add(s, d.state == zone.StateMalicious)
	switch {
	case misuse != "":
		return cause{reason: zone.ReasonSource, misuse: misuse}
	case voted && !m.without(zone.ReasonScore):
		return cause{reason: zone.ReasonScore}
	}
	return cause{reason: found.Reason, found: found}
}

// judge labels the snapshot and says whether the vote finds the device
// malicious.
func (d *device) judge(s *zone.Snapshot, misuse bool) bool {
	flagged := misuse || s.Score > d.model.Threshold
	s.Label = zone.Normal
	if flagged {
		s.Label = zone.Malicious
	}
	majority := d.vote.Add(s.Time, flagged)
	lingers := d.tail.Add(s.Time, flagged) && d.state == zone.StateMalicious
	d.remember(s)
	return majority || lingers
}

// join records a device that is seen for the first time; it learns from now.
func (m *Monitor) join(ctx context.Context, d *device, at zone.Time) error {
	if err := m.record.submit(ctx, d, at, &contract.DeviceSeen{Name: d.name}); err != nil {
		return err
	}
	d.state, d.joined = zone.StateLearning, at
	return nil
}

// live moves the device on in its life after snapshot s.
func (m *Monitor) live(ctx context.Context, d *device, s *zone.Snapshot, why cause) error {
	d.latest = s.Time
	if why.reason != "" || d.lastAlarm == 0 {
		d.lastAlarm = s.Time
	}
	switch {
	case d.state == zone.StateWatching && why.reason != "":
		return m.raise(ctx, d, s, why)
	case d.state == zone.StateMalicious && why.reason == "" && s.Time.Sub(d.lastAlarm) >= m.o.Quiet:
		return m.calm(ctx, d, s)
	case d.state == zone.StateLearning && m.o.Background != nil && d.learned(m.o.Learn, s.Time):
		return m.beginTraining(ctx, d)
	}
	return nil
}

package monitor

import (
	"context"
	"fmt"
	"slices"

	"bellwether/internal/contract"
	"bellwether/internal/novelty"
	"bellwether/internal/zone"
)

// Episode is one time that a device was malicious: one alert, not one for
// each packet.
type Episode struct {
	ID    string
	Alert zone.Alert
	End   zone.Time // 0 while it lasts
}

// raise calls a device malicious because of snapshot s: the evidence goes to
// the store and the ledger first, then the verdict, then the alert goes out.
func (m *Monitor) raise(ctx context.Context, d *device, s *zone.Snapshot, why cause) error {
	if err := m.closeSegment(ctx); err != nil {
		return err
	}
	alert, err := m.compose(ctx, d, s, why)
	if err != nil {
		return err
	}
	digest, err := m.p.Alerts.Put(&alert)
	if err != nil {
		return err
	}
	body := &contract.VerdictChanged{From: d.state, To: zone.StateMalicious, Reason: why.reason,
		First: alert.First, Last: alert.Last, Score: alert.Score, Threshold: alert.Threshold,
		Model: d.digest, Alert: digest, Since: alert.Since}
	if err := m.record.submit(ctx, d, s.Time, body); err != nil {
		return err
	}
	d.state = zone.StateMalicious
	if err := m.giveUp(d, "was called malicious"); err != nil {
		return err
	}
	d.episode = &Episode{ID: zone.AlertID(digest), Alert: alert}
	m.episodes = append(m.episodes, d.episode)
	m.o.Log.Info("device malicious", "mac", d.mac, "name", d.name, "alert", d.episode.ID, "reason", alert.Text)
	return m.record.soon(ctx)
}

// calm watches a device again that gave no cause for alarm for long enough.
func (m *Monitor) calm(ctx context.Context, d *device, s *zone.Snapshot) error {
	body := &contract.VerdictChanged{From: d.state, To: zone.StateWatching, Reason: zone.ReasonQuiet,
		First: s.Seq, Last: s.Seq, Score: s.Score, Threshold: d.model.Threshold, Model: d.digest, Since: min(d.lastAlarm, s.Time)}
	if err := m.record.submit(ctx, d, s.Time, body); err != nil {
		return err
	}
	d.state = zone.StateWatching
	if d.episode != nil {
		d.episode.End = d.lastAlarm
		m.forgetEpisode(d.episode)
		d.episode = nil
	}
	m.o.Log.Info("device quiet again", "mac", d.mac, "name", d.name)
	return nil
}

// forgetEpisode keeps a live monitor from growing with every episode; the
// ledger and the alert journal have them all.
func (m *Monitor) forgetEpisode(e *Episode) {
	if m.o.Background != nil {
		m.episodes = slices.DeleteFunc(m.episodes, func(x *Episode) bool { return x == e })
	}
}

// compose makes the alert record from the stored evidence.
func (m *Monitor) compose(ctx context.Context, d *device, s *zone.Snapshot, why cause) (zone.Alert, error) {
	first := s.Seq
	switch why.reason {
	case zone.ReasonSource:
	case zone.ReasonScore:
		first = d.firstVoter(s.Time)
	default:
		first = why.found.First
	}
	rows, err := m.stored(ctx, d, first, s.Seq, why.found.Contacts)
	if err != nil {
		return zone.Alert{}, err
	}
	w := Weigh(d.model, why.reason, rows)
	a := zone.Alert{
		Zone: m.record.zone, Device: d.mac, Name: d.name, Since: w.Since, Raised: s.Time, Packet: s.Packet,
		Reason: why.reason, Score: w.Score, Threshold: w.Threshold, Window: d.model.Window,
		Span: int64(d.model.Span), Flagged: w.Flagged, Model: d.digest,
		First: first, Last: s.Seq, Rows: len(rows), Contacts: append([]zone.SeqID{}, why.found.Contacts...), Features: w.Features,
	}
	if m.p.Network != nil {
		if a.Network, err = m.p.Network(d.mac, rows); err != nil {
			return a, fmt.Errorf("network policy of %s: %w", d.mac, err)
		}
	}
	a.Text, err = m.inWords(ctx, d, s, why, rows, w.Features)
	return a, err
}

// inWords gives the reason of an alert in words.
func (m *Monitor) inWords(ctx context.Context, d *device, s *zone.Snapshot, why cause, rows []zone.Snapshot, features []zone.AlertFeature) (string, error) {
	switch why.reason {
	case zone.ReasonSource:
		return why.misuse, nil
	case zone.ReasonScore:
		before, err := m.lately(ctx, d, s)
		if err != nil {
			return "", err
		}
		return inWords(before, &d.model.Profile, features), nil
	}
	text, _ := novelty.Describe(&d.model.Profile, why.reason, rows)
	return text, nil
}

// stored reads a device's snapshots back from the store, or only those named.
func (m *Monitor) stored(ctx context.Context, d *device, from, to zone.SeqID, only []zone.SeqID) ([]zone.Snapshot, error) {
	all := m.p.Store.Rows(ctx, from, to, d.mac)
	if len(only) > 0 {
		all = m.p.Store.Named(ctx, only)
	}
	var rows []zone.Snapshot
	for s, err := range all {
		if err != nil {
			return nil, fmt.Errorf("evidence of %s: %w", d.mac, err)
		}
		rows = append(rows, *s)
	}
	return rows, nil
}

// lookBack bounds, in SEQ-IDs, how far the reason in words looks back.
const lookBack = 8192

// lately is what the device did in the last minute before snapshot s.
func (m *Monitor) lately(ctx context.Context, d *device, s *zone.Snapshot) (*habit, error) {
	from := zone.SeqID(1)
	if s.Seq > lookBack {
		from = s.Seq - lookBack
	}
	h := newHabit()
	for row, err := range m.p.Store.Rows(ctx, from, s.Seq, d.mac) {
		if err != nil {
			return nil, fmt.Errorf("last minute of %s: %w", d.mac, err)
		}
		if age := s.Time.Sub(row.Time); age >= 0 && age <= hostSpan {
			h.add(row)
		}
	}
	return h, nil
}

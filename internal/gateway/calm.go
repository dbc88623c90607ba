package gateway

import (
	"context"
	"fmt"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/monitor"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// Calm is what can be said of one device's false alarms. Every alarm counts as
// a false one, so after a real attack the bound is too high.
type Calm struct {
	MAC       zone.MAC   `json:"mac"`
	Name      string     `json:"name"`
	State     zone.State `json:"state"`
	Snapshots uint64     `json:"snapshots"`
	// The rest is for a device that has been learned.
	Rule      detect.Rule `json:"rule,omitempty"`
	Threshold float64     `json:"threshold,omitempty"`
	Window    int         `json:"window,omitempty"`
	// Wish is how many alarms a week the operator accepts, Expected how many the
	// score is expected to raise by the tail of what the device did while its
	// threshold was set, AtMost the bound with 95 % confidence by what happened.
	Wish     float64 `json:"wish_per_week,omitempty"`
	Expected float64 `json:"expected_per_week"`
	AtMost   float64 `json:"at_most_per_week,omitempty"`
	Alarms   int     `json:"alarms"`
	// Seen is how long the device was seen since its threshold was set, and while
	// it was set; Needed how much longer it takes, without an alarm, until AtMost
	// is no more than Wish. In seconds.
	Seen   float64 `json:"seen_seconds"`
	Needed float64 `json:"needed_seconds"`
	// Drift is nil for a device that has sent too little since it was learned.
	Drift *Drift `json:"drift,omitempty"`
	// Trial is what the last change of its model came to, nil before any.
	Trial *monitor.Trial `json:"trial,omitempty"`
}

// Calm tells of each device, by MAC address.
func (s *State) Calm(ctx context.Context) ([]Calm, error) {
	devices, err := contract.Devices(s.Ledger.State())
	if err != nil {
		return nil, err
	}
	var out []Calm
	models := map[zone.MAC]*detect.Model{}
	for _, d := range devices {
		c := Calm{MAC: d.MAC, Name: d.Name, State: d.State, Snapshots: d.Rows}
		if t, ok := s.Trials.Newest(d.MAC); ok {
			c.Trial = &t
		}
		if d.Model != (zone.Hash{}) {
			if models[d.MAC], err = s.model(d.Model); err == nil {
				err = s.calm(&c, models[d.MAC])
			}
			if err != nil {
				return nil, fmt.Errorf("%s (%s): %w", d.Name, d.MAC, err)
			}
		}
		out = append(out, c)
	}
	drift, err := s.drift(ctx, models)
	for i := range out {
		if d, ok := drift[out[i].MAC]; ok {
			out[i].Drift = &d
		}
	}
	return out, err
}

func (s *State) calm(c *Calm, m *detect.Model) error {
	for _, a := range s.Alerts.Digests() {
		alert, err := s.Alerts.ByDigest(a)
		if err != nil {
			return err
		}
		if alert.Model == m.Digest() {
			c.Alarms++
		}
	}
	o, tail := m.Fit.Options, m.Fit.Tail
	seen := tail.Observed + watchedFor(s.Store.Segments(), c.MAC, m.Origin.Last)
	c.Rule, c.Threshold, c.Window, c.Wish = o.Rule, m.Threshold, m.Window, o.AlarmsPerWeek
	c.Expected, c.Seen = tail.PerWeek(m.Threshold), seen.Seconds()
	if seen > 0 {
		c.AtMost = detect.AtMost(c.Alarms, seen)
	}
	c.Needed = max(0, detect.Needed(c.Alarms, c.Wish)-seen).Seconds()
	return nil
}

// watchedFor adds up the time in which a device was seen after a snapshot, as
// its segments tell.
func watchedFor(segments []store.Segment, mac zone.MAC, after zone.SeqID) time.Duration {
	total, last := time.Duration(0), zone.Time(0)
	for i := range segments {
		r, ok := segments[i].Range(mac)
		if !ok || r.First <= after {
			continue
		}
		if last > 0 {
			total += detect.Seen(r.FirstTime.Sub(last))
		}
		total += max(r.LastTime.Sub(r.FirstTime), 0)
		last = r.LastTime
	}
	return total
}

package gateway

import (
	"context"
	"math"
	"time"

	"bellwether/internal/feature"
	"bellwether/internal/monitor"
	"bellwether/internal/trust"
	"bellwether/internal/zone"
)

// Report is what a replay came to.
type Report struct {
	Zone           ZoneReport     `json:"zone"`
	Devices        []DeviceReport `json:"devices"` // by MAC address
	Ledger         LedgerReport   `json:"ledger"`
	Packets        uint64         `json:"packets"`         // of both sets
	Seconds        float64        `json:"seconds"`         // that the run took
	WatchedSeconds float64        `json:"watched_seconds"` // spanned by the watched captures, gaps between files left out
	Drops          uint64         `json:"drops"`           // packets that were not used, the sum of Dropped
	Dropped        Dropped        `json:"dropped"`
	Evictions      uint64         `json:"feature_evictions"` // statistics that gave way to newer ones
	Damaged        []string       `json:"damaged,omitempty"` // captures that were not read to their end
}

// ZoneReport is the zone's part of a report.
type ZoneReport struct {
	ID          zone.Hash `json:"id"`
	Name        string    `json:"name"`
	UseCase     string    `json:"use_case"`
	Trust       float64   `json:"trust"`
	Threshold   float64   `json:"threshold"`
	From        string    `json:"threshold_from"` // the use case, or trust.threshold of the configuration
	Trusted     bool      `json:"trusted"`
	Belief      float64   `json:"belief"`
	Disbelief   float64   `json:"disbelief"`
	Uncertainty float64   `json:"uncertainty"`
}

// DeviceReport is one device's part of a report.
type DeviceReport struct {
	MAC              zone.MAC      `json:"mac"`
	Name             string        `json:"name"`
	LearnedSnapshots int           `json:"learned_snapshots"`
	NeededSnapshots  int           `json:"needed_snapshots"`
	WatchedSnapshots uint64        `json:"watched_snapshots"` // judged
	Threshold        *float64      `json:"threshold"`         // null while learning
	Window           int           `json:"window"`
	SpanSeconds      float64       `json:"span_seconds"`      // how old a snapshot of the window may be
	FlaggedSnapshots uint64        `json:"flagged_snapshots"` // labelled malicious
	State            string        `json:"state"`
	Trust            float64       `json:"trust"`
	AlarmSeconds     float64       `json:"alarm_seconds"` // time in the malicious state
	Warnings         []string      `json:"warnings,omitempty"`
	Alerts           []AlertReport `json:"alerts"`
}

// AlertReport is one episode of a device.
type AlertReport struct {
	ID          string              `json:"id"`
	Since       string              `json:"since"` // first flagged snapshot of the vote that raised it
	Start       string              `json:"start"` // when it was raised
	End         *string             `json:"end"`   // null while it lasts
	FirstPacket uint64              `json:"first_packet"`
	Reason      string              `json:"reason"`
	Kind        string              `json:"kind"` // zone.ReasonScore or zone.ReasonSource
	Score       float64             `json:"score"`
	Threshold   float64             `json:"threshold"`
	Features    []zone.AlertFeature `json:"features"`
	Network     *zone.AlertNetwork  `json:"network_policy,omitempty"` // without one nothing is said
}

// LedgerReport is where the ledger stands.
type LedgerReport struct {
	Height uint64    `json:"height"`
	Head   zone.Hash `json:"head"` // hash of the newest block's header
}

// Dropped counts packets that were not used, by reason.
type Dropped struct {
	UnknownLinkType uint64 `json:"unknown_link_type"`
	OverMaxDevices  uint64 `json:"over_max_devices"`
	SilencedAlerts  uint64 `json:"silenced_alerts"` // not packets, and not part of the sum
	EvictedDevices  uint64 `json:"evicted_devices"` // nor are these: devices that gave way to others
}

func (r *replaying) report(ctx context.Context, took time.Duration) (*Report, error) {
	fold, err := foldTrust(ctx, r.state.Ledger)
	if err != nil {
		return nil, err
	}
	z := fold.At(fold.Newest(), r.Config.Trust.Threshold)
	height, head, err := r.state.head(ctx)
	if err != nil {
		return nil, err
	}
	drops := r.monitor.Drops()
	out := &Report{
		Zone:    zoneReport(r.state.Zone.ID, r.state.Zone.Name, z),
		Ledger:  LedgerReport{height, head},
		Packets: r.packets, Seconds: took.Seconds(), WatchedSeconds: r.watch.seconds(),
		Dropped:   Dropped{r.learn.skipped + r.watch.skipped, drops.OverMaxDevices, drops.SilencedAlerts, drops.EvictedDevices},
		Evictions: evictions(r.monitor.Tables()),
	}
	out.Drops = out.Dropped.UnknownLinkType + out.Dropped.OverMaxDevices
	for _, d := range append(r.learn.damage, r.watch.damage...) {
		out.Damaged = append(out.Damaged, d.Error())
	}
	trusts := map[zone.MAC]float64{}
	for _, d := range z.Devices {
		trusts[d.MAC] = d.Trust
	}
	for _, d := range r.monitor.Devices() {
		out.Devices = append(out.Devices, deviceReport(d, trusts[d.MAC], fold.Newest()))
	}
	return out, nil
}

func evictions(s feature.Stats) uint64 {
	return s.Sources.Evicted + s.Hosts.Evicted + s.Channels.Evicted + s.Sockets.Evicted
}

func zoneReport(id zone.Hash, name string, z trust.Zone) ZoneReport {
	return ZoneReport{ID: id, Name: name, UseCase: z.UseCase, Trust: z.Trust, Threshold: z.Threshold, From: z.ThresholdFrom, Trusted: z.Trusted,
		Belief: z.Belief, Disbelief: z.Disbelief, Uncertainty: z.Uncertainty}
}

func deviceReport(d monitor.DeviceReport, trust float64, end zone.Time) DeviceReport {
	out := DeviceReport{MAC: d.MAC, Name: d.Name, LearnedSnapshots: d.LearnedSnapshots, NeededSnapshots: d.Needed,
		WatchedSnapshots: d.Watched, Window: d.Window, SpanSeconds: d.Span.Seconds(), FlaggedSnapshots: d.Flagged, State: d.State.String(),
		Trust: trust, Warnings: d.Warnings, Alerts: []AlertReport{}}
	if d.Window > 0 && !math.IsNaN(d.Threshold) {
		out.Threshold = &d.Threshold
	}
	for _, e := range d.Episodes {
		a := AlertReport{ID: e.ID, Since: e.Alert.Since.String(), Start: e.Alert.Raised.String(), FirstPacket: e.Alert.Packet, Reason: e.Alert.Text,
			Kind: e.Alert.Reason, Score: e.Alert.Score, Threshold: e.Alert.Threshold, Features: e.Alert.Features, Network: e.Alert.Network}
		until := end
		if e.End != 0 {
			s := e.End.String()
			a.End, until = &s, e.End
		}
		out.AlarmSeconds += max(0, until.Sub(e.Alert.Raised).Seconds())
		out.Alerts = append(out.Alerts, a)
	}
	return out
}

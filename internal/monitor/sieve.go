package monitor

import (
	"context"
	"fmt"
	"time"

	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// The gates that a snapshot has to pass before a model may follow it, besides
// being labelled normal and sent by the device itself.
const (
	alarmMargin = 10 * time.Minute // from any time at which the device was malicious
	warmUp      = 5 * time.Minute  // after a start, or a minute in which nothing was seen
)

// Gates counts a device's snapshots since its anchor was learned, by the first
// gate that they did not pass.
type Gates struct {
	Passed    uint64 `json:"passed"`
	Flagged   uint64 `json:"flagged"`    // not labelled normal, or sent by another
	NearAlarm uint64 `json:"near_alarm"` // the device was malicious within 10 minutes
	AfterGap  uint64 `json:"after_gap"`  // the gateway had just begun to see packets again
	Recent    uint64 `json:"recent"`     // less than 10 minutes old: an alarm may still follow
}

// sieve goes through stored snapshots and keeps what a model may learn from.
type sieve struct {
	history *History
	gates   Gates
	until   zone.Time // what came after has to wait
	newest  zone.Time
	packet  uint64
	since   zone.Time // packets are seen without a break since then
	begun   bool
}

// each gives the snapshots that pass, up to to: those that the anchor was learned
// from, as far as they are still stored, and newer ones.
func (v *sieve) each(ctx context.Context, rows *store.Store, to zone.SeqID, learned, passed func(*zone.Snapshot)) error {
	first := v.history.Models[0]
	v.until = newest(rows, to).Add(-alarmMargin)
	for s, err := range rows.Rows(ctx, max(first.First, rows.First()), to, zone.MAC{}) {
		if err != nil {
			return fmt.Errorf("snapshots of %s: %w", v.history.Device, err)
		}
		v.watch(s)
		switch {
		case s.Device != v.history.Device:
		case s.Seq <= first.Last:
			if s.Label == zone.Unjudged {
				learned(s)
			}
		case v.pass(s):
			passed(s)
		}
	}
	return nil
}

// watch notices where the gateway began to see packets anew, by a snapshot of any
// device.
func (v *sieve) watch(s *zone.Snapshot) {
	pause := s.Time.Sub(v.newest)
	if !v.begun || s.Packet < v.packet || pause > blindSpan || pause < -blindSpan {
		v.since = s.Time
	}
	v.begun, v.newest, v.packet = true, s.Time, s.Packet
}

func (v *sieve) pass(s *zone.Snapshot) bool {
	switch {
	case s.Label != zone.Normal || s.SrcMAC != s.Device:
		v.gates.Flagged++
	case v.history.alarmed(s.Time, alarmMargin):
		v.gates.NearAlarm++
	case s.Time.Sub(v.since) < warmUp:
		v.gates.AfterGap++
	case s.Time > v.until:
		v.gates.Recent++
	default:
		v.gates.Passed++
		return true
	}
	return false
}

// newest is the time of the newest snapshot up to to.
func newest(rows *store.Store, to zone.SeqID) zone.Time {
	last := zone.Time(0)
	for _, seg := range rows.Segments() {
		for _, r := range seg.Ranges {
			if r.First <= to {
				last = max(last, r.LastTime)
			}
		}
	}
	return last
}

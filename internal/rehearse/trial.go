package rehearse

import (
	"fmt"
	"math"
	"slices"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/gateway"
	"bellwether/internal/zone"
)

// Trial is one attack by one device and what came of it.
type Trial struct {
	Device   zone.MAC `json:"device"`
	Name     string   `json:"name"`
	Attack   string   `json:"attack"`
	Round    int      `json:"round"` // from 1
	Start    string   `json:"start"` // of the first packet, RFC 3339
	Lasts    float64  `json:"lasts_seconds"`
	Packets  int      `json:"attack_packets"`     // that the device sent
	Already  bool     `json:"in_alarm_before"`    // the device was in alarm when the attack began: nothing can be said
	Found    bool     `json:"found"`              // an alert was raised that is not raised without the attack
	Seconds  float64  `json:"seconds_to_alert"`   // from the first packet, if found
	Sent     int      `json:"packets_to_alert"`   // attack packets up to and including the one that raised it, if found
	Flagged  int      `json:"flagged_packets"`    // attack packets that the autoencoder flags
	Window   int      `json:"window"`             // rows of the device's vote
	Windows  int      `json:"windows"`            // windows that end with an attack packet, but for those before the first is full
	Caught   int      `json:"malicious_windows"`  // those at whose end the device is called malicious, by whatever evidence
	Voted    int      `json:"voted_windows"`      // those in which the autoencoder has the majority
	Reason   string   `json:"reason"`             // the alert's, in words
	Evidence string   `json:"evidence,omitempty"` // what kind of reason it is
}

// PacketTPR is the share of attack packets that the autoencoder flags.
func (t *Trial) PacketTPR() float64 { return share(t.Flagged, t.Packets) }

// WindowTPR is the share of windows at whose end the device is called malicious,
// 0 of an attack that ends within its first window.
func (t *Trial) WindowTPR() float64 { return share(t.Caught, t.Windows) }

// VoteTPR is the share of windows in which the autoencoder has the majority.
func (t *Trial) VoteTPR() float64 { return share(t.Voted, t.Windows) }

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Outcome is the trial in a word.
func (t *Trial) Outcome() string {
	switch {
	case t.Already:
		return "in alarm before"
	case t.Found:
		return "found"
	}
	return "missed"
}

// poll is what a device's rows say of an attack.
type poll struct {
	*strike
	rows  []ballot      // all of the device's in the attacked capture, in order
	mute  bool          // the vote calls nobody malicious
	quiet time.Duration // for which an alarm goes on after its last cause
}

type ballot struct {
	at      zone.Time
	packet  uint64
	flagged bool
}

// trial counts the votes and finds the alert. An alert that is raised in the same
// traffic without the attack is not the attack's merit.
func (p *poll) trial(d, calm gateway.DeviceReport) (Trial, error) {
	t := Trial{Device: p.MAC, Attack: p.Kind, Start: p.first.String(), Lasts: p.Duration.Seconds(), Packets: len(p.sent), Window: d.Window}
	var all []episode
	for _, a := range d.Alerts {
		e, err := p.readEpisode(a)
		if err != nil {
			return t, err
		}
		all = append(all, e)
		switch {
		case e.start < p.first:
			t.Already = t.Already || e.end > p.first
		case !t.Found && e.start <= p.until() && !hasAlert(calm, a):
			t.Found, t.Reason, t.Evidence = true, a.Reason, a.Kind
			t.Seconds = e.start.Sub(p.first).Seconds()
			t.Sent, _ = slices.BinarySearch(p.sent, a.FirstPacket+1)
		}
	}
	t.Found = t.Found && !t.Already
	p.vote(&t, detect.NewVote(d.Window, time.Duration(d.SpanSeconds*1e9)), all)
	return t, nil
}

// vote lets the device's rows vote as its monitor did, and counts at attack
// packets.
func (p *poll) vote(t *Trial, vote *detect.Vote, alarms []episode) {
	seen := 0
	for _, row := range p.rows {
		majority := vote.Add(row.at, row.flagged)
		if _, attack := slices.BinarySearch(p.sent, row.packet); !attack {
			continue
		}
		seen++
		if row.flagged {
			t.Flagged++
		}
		if seen < t.Window {
			continue
		}
		t.Windows++
		if majority {
			t.Voted++
		}
		if majority && !p.mute || slices.ContainsFunc(alarms, func(e episode) bool { return e.holds(row) }) {
			t.Caught++
		}
	}
}

// episode is one time that a device was called malicious: from the alert until
// nothing gave cause for alarm for quiet.
type episode struct {
	start, end zone.Time // end is after everything while it lasts
	packet     uint64    // with which it began
}

func (e episode) holds(row ballot) bool { return row.packet >= e.packet && row.at < e.end }

// readEpisode takes the end of an alert for what it is, its last cause.
func (p *poll) readEpisode(a gateway.AlertReport) (episode, error) {
	e := episode{end: math.MaxInt64, packet: a.FirstPacket}
	var err error
	if e.start, err = readTime(a.Start); err == nil && a.End != nil {
		e.end, err = readTime(*a.End)
		e.end = e.end.Add(p.quiet)
	}
	return e, err
}

func readTime(s string) (zone.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("the time of an alert: %w", err)
	}
	return zone.TimeOf(t), nil
}

// hasAlert reports an alert that is raised at the same moment without the attack.
func hasAlert(calm gateway.DeviceReport, a gateway.AlertReport) bool {
	return slices.ContainsFunc(calm.Alerts, func(b gateway.AlertReport) bool { return b.Start == a.Start })
}

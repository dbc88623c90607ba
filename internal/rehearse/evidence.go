package rehearse

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"bellwether/internal/gateway"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// Evidence is what the same attacks come to when only a part of the evidence
// may raise an alert.
type Evidence struct {
	Name    string   `json:"name"`
	Without []string `json:"without"` // reasons that are switched off
	// Loud and Quiet are over the attacks that do not, and that do, try to
	// stay under.
	Loud        Count    `json:"loud"`
	Quiet       Count    `json:"quiet"`
	FalseAlarms int      `json:"false_alarms"`  // in the later part without any attack
	InAlarm     float64  `json:"alarm_seconds"` // of all devices there
	Attacks     []Single `json:"attacks"`       // in the order asked for
}

// Single is one kind of attack under one part of the evidence.
type Single struct {
	Name string `json:"name"`
	Count
}

// plain are the reasons that are counted without a model.
func plain() []string {
	return []string{zone.ReasonHosts, zone.ReasonScan, zone.ReasonPorts, zone.ReasonFlows, zone.ReasonPeer, zone.ReasonBurst, zone.ReasonRate, zone.ReasonSilent}
}

// compare plays the same attacks with the same models twice more: without the
// plain evidence, and without the autoencoder's vote. Source addresses stay with
// both, since neither has anything to do with them.
func (s *stage) compare(ctx context.Context, learned string, actors []actor, r *Report, calm *gateway.Report) ([]Evidence, error) {
	all := []Evidence{s.evidence("all", actors, r.Trials, calm)}
	for _, v := range []struct {
		name    string
		without []string
	}{{"autoencoder alone", plain()}, {"plain evidence alone", []string{zone.ReasonScore}}} {
		part := *s
		part.Keep = ""
		part.Config.Detector.Without = slices.Concat(s.Config.Detector.Without, v.without)
		part.Progress = func(stage string, done, total int64) { s.Progress(stage+", "+v.name, done, total) }
		calm, err := part.calm(ctx, learned)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		trials, err := part.trials(ctx, learned, actors, calm)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		all = append(all, part.evidence(v.name, actors, trials, calm[s.rest]))
	}
	return all, nil
}

// evidence sums up one run.
func (s *stage) evidence(name string, actors []actor, trials []Trial, calm *gateway.Report) Evidence {
	e := Evidence{Name: name, Without: append([]string{}, s.Config.Detector.Without...)}
	for _, a := range actors {
		d := reported(calm, a.mac)
		e.FalseAlarms += len(d.Alerts)
		e.InAlarm += d.AlarmSeconds
	}
	quiet := map[string]bool{}
	for _, name := range s.Attacks {
		k, _ := simulate.FindKind(name) // its name was checked
		quiet[name] = k.Quiet
		e.Attacks = append(e.Attacks, Single{name, counted(trials, func(t *Trial) bool { return t.Attack == name })})
	}
	e.Loud = counted(trials, func(t *Trial) bool { return !quiet[t.Attack] })
	e.Quiet = counted(trials, func(t *Trial) bool { return quiet[t.Attack] })
	return e
}

// votes reports whether the autoencoder's vote may raise an alert.
func (s *stage) votes() bool { return !slices.Contains(s.Config.Detector.Without, zone.ReasonScore) }

// learnedDir is where the state is kept that was learned.
func (s *stage) learnedDir() string { return filepath.Join(s.dir, "learned") }

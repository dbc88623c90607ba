package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/monitor"
	"bellwether/internal/rehearse"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// poisons are ways to teach a device's model an attack, with the strikes a second of
// the first day.
var poisons = []struct {
	kind string
	from float64
}{{simulate.MiraiUDPPlain, 0.5}, {simulate.TelnetScan, 0.02}, {simulate.Exfiltration, 0.5}}

// poisoned teaches devices of the zone each of the attacks, bit by bit, on the zone's
// later days, and looks whether they are still found at their own rate.
func (e *evaluating) poisoned(o *outcome) error {
	o.goal = "what the first model finds at a rate, the last one that was taught finds at twice that rate"
	state, err := e.scratch("poisoning")
	if err != nil {
		return err
	}
	args := []string{"--learn", e.zone.training}
	if e.zone.names != "" {
		args = append(args, "--devices", e.zone.names)
	}
	r, _, err := e.replay(state, args...)
	if err != nil {
		return err
	}
	days, err := inOrder(e.zone.monitoring)
	if err != nil {
		return err
	}
	targets, err := rehearse.Overlays(context.Background(), days, r.learnedMACs())
	if err != nil {
		return err
	}
	t := newTable()
	t.row("device", "attack", "evidence", "days", "followed", "up to", "end", "found before", "and after")
	for n, target := range someOf(targets, &r) {
		for i, p := range poisons {
			target.Kind = p.kind
			if err := e.poison(o, t, r.name(target.MAC), target, p.from, state, days, monitor.Reasons()[1:]); err != nil {
				return err
			}
			if i != n%len(poisons) {
				continue // with all evidence, one attack of each device: it takes long
			}
			if err := e.poison(o, t, r.name(target.MAC), target, p.from, state, days, nil); err != nil {
				return err
			}
		}
	}
	o.say("%s", t)
	return nil
}

// poison tries one attack on one device.
func (e *evaluating) poison(o *outcome, t *table, name string, target simulate.Overlay, from float64, state string, days, without []string) error {
	began := time.Now()
	p := rehearse.Poisoning{State: state, Days: days, Attack: target, From: from, Grow: 2, Lasts: 90 * time.Second, Dir: e.dir}
	p.Config.Detector.Without = without
	p.Config.Gateways = []gateway.MAC{gateway.MAC(target.GatewayMAC)}
	got, err := p.Run(context.Background())
	if err != nil {
		return err
	}
	evidence := "all"
	if without != nil {
		evidence = "scores"
	}
	fmt.Fprintf(os.Stderr, "   %s, %s: %s after %d days, %.0f s\n", name, target.Kind, got.End, len(got.Days), time.Since(began).Seconds())
	t.row(name, target.Kind, evidence, fmt.Sprint(len(got.Days)), fmt.Sprint(got.Followed), fmt.Sprintf("%.3g/s", got.Reached), got.End, foundAt(got.Before), foundAt(got.After))
	for i, before := range got.Before {
		if before.Found && !got.After[max(0, i-1)].Found {
			o.need(false, "%s, %s, evidence %s: found at %.4g/s before, not at twice that after", name, target.Kind, evidence, before.Rate)
		}
	}
	return nil
}

// foundAt lists the rates at which an attack is found.
func foundAt(all []rehearse.FullAttack) string {
	text := ""
	for _, f := range all {
		if f.Found {
			text += fmt.Sprintf("%.3g ", f.Rate)
		}
	}
	return cmp.Or(text, "none")
}

// name is what people call a device.
func (r *report) name(mac zone.MAC) string {
	i := slices.IndexFunc(r.Devices, func(d deviceReport) bool { return d.MAC == mac })
	return r.Devices[i].Name
}

// someOf gives the targets that learned from the median and the fewest number of
// snapshots: a model of many takes long to learn.
func someOf(targets []simulate.Overlay, r *report) []simulate.Overlay {
	learned := map[zone.MAC]uint64{}
	for _, d := range r.Devices {
		learned[d.MAC] = d.Learned
	}
	slices.SortFunc(targets, func(a, b simulate.Overlay) int { return cmp.Compare(learned[b.MAC], learned[a.MAC]) })
	return []simulate.Overlay{targets[len(targets)/2], targets[len(targets)-1]}
}

// inOrder gives the captures of folders by the time of their first frame.
func inOrder(folders []string) ([]string, error) {
	var paths []string
	starts := map[string]zone.Time{}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			path := filepath.Join(folder, entry.Name())
			if !isCapture(entry.Name()) {
				continue
			}
			f, err := capture.Open(path)
			if err != nil {
				return nil, err
			}
			var fr capture.Frame
			if err := f.Next(&fr); err == nil {
				starts[path] = fr.Time
				paths = append(paths, path)
			}
			f.Close()
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(starts[a], starts[b]) })
	return paths, nil
}

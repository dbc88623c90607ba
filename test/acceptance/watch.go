package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// watchAll learns the zone, watches its later days, then every other capture.
func (b *bench) watchAll(o *outcome) error {
	o.goal = "every capture is judged to its end, learned devices' attacks are found; drift is shown, not hidden"
	if err := b.learnZone(); err != nil {
		return err
	}
	learned, err := b.scratch("learned")
	if err != nil {
		return err
	}
	args := b.learnAndWatch()
	first, _, err := b.replay(learned, append([]string{"--learn", b.zone.training}, args[len(args)-2:]...)...)
	if err != nil {
		return err
	}
	o.need(len(first.learnedMACs()) > 0, "%d of %d devices learned", len(first.learnedMACs()), len(first.Devices))
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "watched\tpackets\tdevices judged\tflagged\talerts\tdevice-days\talerts a device-day\tpackets/s\tmemory MB\t")
	sets := [][]string{b.zone.monitoring}
	for _, c := range b.zone.others {
		sets = append(sets, []string{c})
	}
	for _, set := range sets {
		if err := b.watchSet(o, t, learned, set); err != nil {
			return err
		}
	}
	t.Flush()
	o.say("%s", strings.TrimRight(table.String(), "\n"))
	return b.rehearsed(o)
}

// learnZone makes the state directory that other checks start from, once.
func (b *bench) learnZone() (err error) {
	if b.state != "" {
		return nil
	}
	if b.state, err = b.scratch("zone"); err != nil {
		return err
	}
	b.report, _, err = b.replay(b.state, b.learnAndWatch()...)
	return err
}

// watchSet watches captures with a copy of what was learned, and adds a line.
func (b *bench) watchSet(o *outcome, t *tabwriter.Writer, learned string, set []string) error {
	state, err := b.copyState(learned)
	if err != nil {
		return err
	}
	name := filepath.Base(filepath.Dir(set[0])) + "/" + filepath.Base(set[0])
	r, ran, err := b.replay(state, append([]string{"--watch"}, set...)...)
	if err != nil {
		o.need(false, "%s: %v", name, err)
		return nil
	}
	var flagged []string
	alerts := 0
	for _, d := range r.Devices {
		if len(d.Alerts) > 0 {
			flagged = append(flagged, d.Name)
			alerts += len(d.Alerts)
			for _, a := range d.Alerts {
				o.say("%s: %s, %s: %s", name, d.Name, a.Start, a.Reason)
			}
		}
	}
	days := r.WatchedSeconds / 86400 * float64(r.judged())
	rate := "–"
	if days > 0 {
		rate = fmt.Sprintf("%.2f", float64(alerts)/days)
	}
	if len(flagged) == 0 {
		flagged = []string{"none"}
	}
	note := ""
	if len(r.Damaged) > 0 {
		note = " (damaged, read as far as it goes)"
	}
	fmt.Fprintf(t, "%s%s\t%d\t%d\t%s\t%d\t%.4f\t%s\t%.0f\t%d\t\n", name, note, r.Packets, r.judged(), strings.Join(flagged, ", "), alerts,
		days, rate, float64(r.Packets)/max(r.Seconds, 1e-9), ran.rss>>20)
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bellwether/internal/evaluate"
	"bellwether/internal/rehearse"
	"bellwether/internal/zone"
)

// ownTraffic is the experiment on the user's own captures, as asked for.
type ownTraffic struct {
	rehearsed rehearseFlags
	rows      int
	options   evaluate.Options
	devices   []*ownDevice // in the order in which their rows come
	skipped   []string
}

// ownDevice is what is collected of one device.
type ownDevice struct {
	mac     zone.MAC
	name    string
	learn   int // rows of benign that are to learn from
	benign  evaluate.Rows
	attacks []ownAttack
}

type ownAttack struct {
	name string
	rows evaluate.Rows
}

func evaluateCapturesCommand() *cobra.Command {
	t := ownTraffic{rehearsed: rehearseFlags{who: []string{"all"}, attack: []string{"all"}, times: 1}}
	c := &cobra.Command{
		Use:   "captures --benign CAPTURE… --out DIR",
		Short: "Compare all detectors on your own benign traffic and rehearsed attacks",
		Long: `Runs the paper's experiment on your own devices: attacks that did not happen are put into
a copy of your benign traffic, as ` + "`bellwether rehearse`" + ` does. Rows are those of the packets that
a device sends. Detectors see them alone: no evidence but the scores takes part, so that they can be
compared; what plain evidence adds is told by ` + "`bellwether rehearse --compare-evidence`" + `.

The first half of what is learned from trains each detector, the second sets its thresholds; the later
part, over which attacks are laid, is where false alarms are counted. Rows carry times, so delays are
in seconds and false alarms by the week.

All benign rows are used, half a kilobyte of memory each, and of each attack the first --rows.
LOF, and with many rows the one-class SVM, take most of the time: leave them out with --algorithms.

Writes report.html (one file, opens anywhere), figures as SVG and PNG, results.csv and
results.json into the --out directory.`,
		Example: `  bellwether evaluate captures --benign home/*.pcap --out report
  bellwether evaluate captures --learn week1 --benign week2 --attack mirai-scan,slow-scan --algorithms autoencoder,pca --out quick`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd.Context()) },
	}
	t.rehearsed.add(c)
	experimentFlags(c, &t.options, &t.rehearsed.out)
	f := c.Flags()
	f.IntVar(&t.rows, "rows", 1000, "most rows of each attack, the first ones (0: all)")
	f.IntVar(&t.options.Seeds, "seeds", 1, "how many seeds of the training, for confidence intervals")
	f.Lookup("times").Usage = "how often each device commits each attack"
	return c
}

func (t *ownTraffic) run(ctx context.Context) error {
	if t.rows < 0 {
		return usageError{fmt.Errorf("--rows is %d: want 0 or more", t.rows)}
	}
	r, err := t.rehearsed.rehearsal()
	if err != nil {
		return err
	}
	t.options.Workers = r.Config.Workers
	if t.options.Workers == 0 {
		t.options.Workers = runtime.NumCPU()
	}
	t.options.Seed = t.rehearsed.seed
	if err := t.options.Validate(); err != nil {
		return usageError{err}
	}
	if err := os.MkdirAll(t.rehearsed.out, 0o777); err != nil {
		return fmt.Errorf("making a directory for the report: %w", err)
	}
	bar := newBar()
	r.Progress = bar.draw
	r.Warning = func(err error) { bar.clear(); t.skip("%v", err) }
	err = r.Rows(ctx, t.take)
	bar.clear()
	if err != nil {
		return err
	}
	devices := t.input()
	if len(devices) == 0 {
		return errors.New("no device has benign rows to learn from and to test on")
	}
	t.describe()
	return experiment(ctx, devices, t.options, t.rehearsed.out)
}

// take collects a set of rows.
func (t *ownTraffic) take(set rehearse.RowSet) error {
	i := slices.IndexFunc(t.devices, func(d *ownDevice) bool { return d.mac == set.Device })
	if i < 0 {
		i = len(t.devices)
		t.devices = append(t.devices, &ownDevice{mac: set.Device, name: t.unique(set)})
	}
	d := t.devices[i]
	switch {
	case set.Attack != "":
		name := set.Attack
		if t.rehearsed.times > 1 {
			name = fmt.Sprintf("%s %d", name, set.Round)
		}
		if t.rows > 0 {
			set.Rows = set.Rows[:min(len(set.Rows), t.rows)]
		}
		a := ownAttack{name: name}
		appendRows(&a.rows, set.Rows)
		d.attacks = append(d.attacks, a)
	case set.Learn:
		appendRows(&d.benign, set.Rows)
		d.learn = len(d.benign.Values)
	default:
		appendRows(&d.benign, set.Rows)
	}
	return nil
}

// unique gives a device's name, with its address if another has the name too.
func (t *ownTraffic) unique(set rehearse.RowSet) string {
	if slices.ContainsFunc(t.devices, func(d *ownDevice) bool { return d.name == set.Name }) {
		return set.Name + " " + set.Device.String()
	}
	return set.Name
}

// appendRows adds rows. One that is stamped earlier than its predecessor takes
// that one's time.
func appendRows(to *evaluate.Rows, rows []rehearse.Row) {
	for _, row := range rows {
		if n := len(to.Times); n > 0 {
			row.Time = max(row.Time, to.Times[n-1])
		}
		to.Values = append(to.Values, row.Features)
		to.Times = append(to.Times, row.Time)
	}
}

// input gives what the experiment takes, and says what is left out.
func (t *ownTraffic) input() (devices []evaluate.Device) {
	for _, d := range t.devices {
		if d.benign.Test = d.learn; d.learn == len(d.benign.Values) {
			t.skip("%s: left out, it sent nothing in the later part of the benign traffic", d.name)
			continue
		}
		device := evaluate.Device{Name: d.name, Benign: given(d.benign)}
		for _, a := range d.attacks {
			if len(a.rows.Values) == 0 {
				t.skip("%s: %s: left out, no packet of it was sent", d.name, a.name)
				continue
			}
			device.Attacks = append(device.Attacks, evaluate.Set{Name: a.name, Load: given(a.rows)})
		}
		devices = append(devices, device)
	}
	return devices
}

// given hands out rows that are there already.
func given(r evaluate.Rows) func(context.Context) (evaluate.Rows, error) {
	return func(context.Context) (evaluate.Rows, error) { return r, nil }
}

// skip says at once, and in the report, what could not be used.
func (t *ownTraffic) skip(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	fmt.Fprintln(os.Stderr, s)
	t.skipped = append(t.skipped, s)
}

// describe fills in what the report says about the run.
func (t *ownTraffic) describe() {
	t.options.Title = "The paper's experiment on captures and rehearsed attacks"
	f := &t.rehearsed
	data := "Benign traffic: " + strings.Join(f.benign, ", ") + "; the earlier part is learned from"
	if len(f.learn) > 0 {
		data = "Benign traffic: " + strings.Join(f.benign, ", ") + "; learned from: " + strings.Join(f.learn, ", ")
	}
	rows := "all rows"
	if t.rows > 0 {
		rows = fmt.Sprintf("the first %d rows", t.rows)
	}
	t.options.Notes = append([]string{fmt.Sprintf("%s. Attacks were made by simulation and laid over the later part, each %d times by each device; of each, %s count. "+
		"Statistics begin empty with the part that is learned from, with the later part, and with each excerpt that is attacked.", data, f.times, rows)}, t.skipped...)
}

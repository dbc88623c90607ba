package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"bellwether/internal/evaluate"
	"bellwether/internal/nbaiot"
)

// published is the experiment on the published data set, as asked for.
type published struct {
	dir, out     string
	devices      []string
	attacks      []string
	rows         int
	ignoreJitter bool
	options      evaluate.Options
}

func evaluateNBaIoTCommand() *cobra.Command {
	var p published
	c := &cobra.Command{
		Use:   "nbaiot DIR",
		Short: "Compare all detectors on the published N-BaIoT data set",
		Long: `Runs the paper's experiment on N-BaIoT as published: folders from UCI, with .rar archives
or unpacked, or Kaggle's files (1.benign.csv, 1.mirai.scan.csv). Each detector is trained on the
first third of a device's benign rows, sets its thresholds by the second, and is judged
on the last third and on the attacks.

All of the data set takes hours, most of them for LOF; --rows 20000 takes minutes.

Writes report.html (one file, opens anywhere), figures as SVG and PNG, results.csv and
results.json into the --out directory.`,
		Example: `  bellwether evaluate nbaiot N-BaIoT --out report
  bellwether evaluate nbaiot N-BaIoT --out quick --devices ecobee,samsung --attacks mirai --rows 20000`,
		Args: exactly(1, "one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.dir = args[0]
			return p.run(cmd.Context())
		},
	}
	experimentFlags(c, &p.options, &p.out)
	f := c.Flags()
	f.StringSliceVar(&p.devices, "devices", nil, "devices by number, name or part of it (default: all)")
	f.StringSliceVar(&p.attacks, "attacks", nbaiot.Botnets(), "families or single attacks, like mirai/scan")
	f.IntVar(&p.rows, "rows", 0, "most rows of each table, the first ones (0: all)")
	f.Uint64Var(&p.options.Seed, "seed", 0, "first seed")
	f.IntVar(&p.options.Seeds, "seeds", 3, "how many seeds, for confidence intervals")
	f.BoolVar(&p.ignoreJitter, "ignore-jitter", false, "leave out the 15 HH_jit columns, which hold Unix times")
	f.IntVar(&p.options.Workers, "workers", runtime.NumCPU(), "detectors to train at once")
	return c
}

func (p *published) run(ctx context.Context) error {
	if p.rows < 0 {
		return usageError{fmt.Errorf("--rows is %d: want 0 or more", p.rows)}
	}
	if err := p.options.Validate(); err != nil {
		return usageError{err}
	}
	if err := knownAttacks(p.attacks); err != nil {
		return usageError{err}
	}
	found, err := nbaiot.Find(p.dir)
	if err != nil {
		return err
	}
	if found, err = pick(found, p.devices); err != nil {
		return usageError{err}
	}
	devices, skipped := p.input(found)
	for _, s := range skipped {
		fmt.Fprintln(os.Stderr, s)
	}
	if len(devices) == 0 {
		return fmt.Errorf("no device in %s has benign rows to learn from", p.dir)
	}
	if err := os.MkdirAll(p.out, 0o777); err != nil { // now, not after hours
		return fmt.Errorf("making a directory for the report: %w", err)
	}
	p.describe(skipped)
	return experiment(ctx, devices, p.options, p.out)
}

// describe fills in what the report says about the run.
func (p *published) describe(skipped []string) {
	p.options.Title = "N-BaIoT: the paper's experiment"
	rows := "all rows of each table"
	if p.rows > 0 {
		rows = fmt.Sprintf("the first %d rows of each table", p.rows)
	}
	jitter := "HH_jit values as published, Unix times included"
	if p.ignoreJitter {
		jitter = "HH_jit columns left out (0 in every row)"
	}
	p.options.Notes = append([]string{"Data: N-BaIoT (Meidan et al. 2018, UCI 442), " + rows + "; " + jitter +
		". The data set has no column of time: times are made from the rows that hold their own, and only where such a row is near both ends of a table."}, skipped...)
}

// input turns tables into what the experiment takes, and says what is missing.
func (p *published) input(found []nbaiot.Device) (devices []evaluate.Device, missing []string) {
	for i := range found {
		d := &found[i]
		if lost := p.missing(d); len(lost) > 0 {
			missing = append(missing, fmt.Sprintf("%s: not found: %s", d.Name, strings.Join(lost, ", ")))
		}
		if d.Benign == (nbaiot.Table{}) {
			missing = append(missing, d.Name+": left out, there are no benign rows to learn from")
			continue
		}
		devices = append(devices, p.device(d))
	}
	return devices, missing
}

// missing gives the tables that were asked for and are not there.
func (p *published) missing(d *nbaiot.Device) []string {
	return slices.DeleteFunc(d.Missing(), func(name string) bool { return name != "benign" && !p.wants(name) })
}

// wants reports an attack that was asked for, by its name or its family.
func (p *published) wants(name string) bool {
	family, _, _ := strings.Cut(name, "/")
	return slices.Contains(p.attacks, name) || slices.Contains(p.attacks, family)
}

func (p *published) device(d *nbaiot.Device) evaluate.Device {
	out := evaluate.Device{Name: d.Name, Benign: p.load(d.Benign)}
	for _, a := range d.Attacks {
		if p.wants(a.Name()) {
			out.Attacks = append(out.Attacks, evaluate.Set{Name: a.Name(), Load: p.load(a.Table)})
		}
	}
	return out
}

// load reads a table when its turn comes, and says what is odd about it.
func (p *published) load(t nbaiot.Table) func(context.Context) (evaluate.Rows, error) {
	return func(ctx context.Context) (evaluate.Rows, error) {
		rows, err := t.Load(ctx, p.rows, p.ignoreJitter)
		if err != nil {
			return evaluate.Rows{}, err
		}
		out := evaluate.Rows{Values: rows.Values, Times: rows.Times}
		if rows.RawTimes > 0 {
			out.Notes = append(out.Notes, fmt.Sprintf("%v: HH_jit of %d of %d rows holds a raw Unix time or what is left of one", t, rows.RawTimes, len(rows.Values)))
		}
		if rows.Cut {
			out.Notes = append(out.Notes, fmt.Sprintf("%v: the last line has no end, so its last number may be cut off", t))
		}
		return out, nil
	}
}

func knownAttacks(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("--attacks is empty: want some of %s", strings.Join(nbaiot.Botnets(), ", "))
	}
	for _, name := range names {
		family, kind, single := strings.Cut(name, "/")
		kinds := nbaiot.Attacks(family)
		if kinds == nil || single && !slices.Contains(kinds, kind) {
			return fmt.Errorf("--attacks: there is no %q, want %s, or one attack like mirai/scan", name, strings.Join(nbaiot.Botnets(), " or "))
		}
	}
	return nil
}

// pick gives the devices that were asked for, in the order found.
func pick(found []nbaiot.Device, wanted []string) ([]nbaiot.Device, error) {
	if len(wanted) == 0 {
		return found, nil
	}
	chosen := map[string]bool{}
	for _, w := range wanted {
		n := 0
		for _, d := range found {
			if called(d.Name, w) {
				chosen[d.Name] = true
				n++
			}
		}
		if n == 0 {
			return nil, fmt.Errorf("--devices: there is no %q among %s", w, names(found))
		}
	}
	return slices.DeleteFunc(slices.Clone(found), func(d nbaiot.Device) bool { return !chosen[d.Name] }), nil
}

// called reports a device by its number in the data set or a part of its name.
func called(device, wanted string) bool {
	if n, err := strconv.Atoi(wanted); err == nil {
		return n >= 1 && n <= len(nbaiot.Published()) && nbaiot.Published()[n-1] == device
	}
	return wanted != "" && strings.Contains(strings.ToLower(device), strings.ToLower(wanted))
}

func names(found []nbaiot.Device) string {
	var all []string
	for _, d := range found {
		all = append(all, d.Name)
	}
	return strings.Join(all, ", ")
}

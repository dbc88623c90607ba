package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/durable"
	"bellwether/internal/rehearse"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// rehearseFlags are the flags of the rehearse command.
type rehearseFlags struct {
	replayFlags         // config, devices, rule, min-snapshots, workers
	benign, who, attack []string
	out                 string
	split               float64
	times               int
	excerpt             time.Duration
	keep, compare       bool
}

func rehearseCommand() *cobra.Command {
	var f rehearseFlags
	c := &cobra.Command{
		Use:   "rehearse --benign CAPTURE… --device MAC|all --attack LIST|all --out DIR",
		Short: "Try your devices' detectors on attacks that did not happen",
		Long: `Puts labelled attack traffic of your devices into a copy of your own benign traffic and
reports what is found, how late, and what is missed. Nothing is sent to a network.

The earlier part of the benign traffic trains each device, or other captures do
(--learn); the attacks happen in the later part, through the same path as a
replay. DIR gets report.json, report.html, trials.csv and, with --keep, the
attacked captures with files that say which packets are the attack's.

Kinds of attack:
` + kindsOfAttack(),
		Example: `  bellwether rehearse --benign week1/*.pcap --device all --attack all --out rehearsal
  bellwether rehearse --benign home.pcap --device 64:16:66:49:3e:cb --attack mirai-scan,slow-scan --times 5 --out camera`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(c)
	fl := c.Flags()
	fl.BoolVar(&f.keep, "keep", false, "keep the attacked captures and their truth")
	fl.BoolVar(&f.compare, "compare-evidence", false, "judge thrice: by all evidence, by the autoencoder alone, by plain evidence alone")
	fl.StringVar(&f.out, "out", "", "directory for the report")
	for _, name := range []string{"device", "attack", "out"} {
		c.MarkFlagRequired(name)
	}
	fl.StringVar(&f.rule, "rule", "", "threshold rule: calm (default), max, balanced, eq1, conformal or quantile")
	fl.BoolVar(&f.json, "json", false, "print the report as JSON")
	return c
}

// add adds the flags that say what is rehearsed on what.
func (f *rehearseFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVar(&f.benign, "benign", nil, "captures of benign traffic")
	c.MarkFlagRequired("benign")
	fl.StringSliceVar(&f.who, "device", f.who, "MAC addresses of the devices that attack, or all")
	fl.StringSliceVar(&f.attack, "attack", f.attack, "kinds of attack, or all")
	fl.StringArrayVar(&f.learn, "learn", nil, "captures to learn from, instead of a part of the benign traffic")
	fl.Float64Var(&f.split, "split", 0, "share of the benign traffic's time to learn from (default 0.6)")
	fl.IntVar(&f.times, "times", f.times, "how often each device commits each attack (default 3)")
	fl.DurationVar(&f.excerpt, "excerpt", 0, "most benign traffic around an attack (default 1h)")
	fl.StringVar(&f.devices, "devices", "", "CSV file with the columns \"MAC Address,Device Name\"")
	fl.IntVar(&f.minSnapshots, "min-snapshots", 0, "snapshots that a device must have sent to be learned (default 2000)")
	fl.StringVar(&f.config, "config", "", "configuration file: subnets, gateways, detector and more")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of the attacks and of the training")
	fl.IntVar(&f.workers, "workers", 0, "captures judged or detectors trained at a time (default: processors); no result depends on it")
}

// kindsOfAttack lists the attacks for people.
func kindsOfAttack() string {
	var b strings.Builder
	for _, k := range simulate.Kinds() {
		fmt.Fprintf(&b, "  %-18s  %s\n", k.Name, k.About)
	}
	return strings.TrimRight(b.String(), "\n")
}

func (f *rehearseFlags) run(cmd *cobra.Command) error {
	r, err := f.rehearsal()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	bar := newBar()
	r.Progress = bar.draw
	r.Warning = func(err error) { bar.clear(); fmt.Fprintf(os.Stderr, "bellwether: warning: %v\n", err) }
	report, err := r.Run(cmd.Context())
	bar.clear()
	if err != nil {
		return err
	}
	return f.print(cmd.OutOrStdout(), report)
}

// rehearsal checks the flags.
func (f *rehearseFlags) rehearsal() (rehearse.Rehearsal, error) {
	config, err := f.settings()
	if err != nil {
		return rehearse.Rehearsal{}, err
	}
	r := rehearse.Rehearsal{Benign: f.benign, Learn: f.learn, Split: f.split, Times: f.times, Excerpt: f.excerpt,
		Seed: f.seed, Config: config, Dir: f.out, Compare: f.compare}
	if f.keep {
		r.Keep = f.out
	}
	if !isAll(f.attack) {
		r.Attacks = f.attack
	}
	for _, text := range f.who {
		if isAll(f.who) {
			break
		}
		mac, err := zone.ParseMAC(text)
		if err != nil {
			return r, usageError{fmt.Errorf("--device: %w", err)}
		}
		r.Devices = append(r.Devices, mac)
	}
	if len(f.who) == 0 || len(f.attack) == 0 {
		return r, usageError{errors.New("rehearse: give --device MAC or all, and --attack KIND or all")}
	}
	if err := r.Check(); err != nil {
		return r, usageError{err}
	}
	return r, nil
}

func isAll(list []string) bool { return len(list) == 1 && list[0] == "all" }

// print writes the report's files, and the report for people or as JSON.
func (f *rehearseFlags) print(w io.Writer, r *rehearse.Report) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	var page, table bytes.Buffer
	if err := errors.Join(r.WriteHTML(&page), r.WriteCSV(&table)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, file := range []struct {
		name string
		text []byte
	}{{"report.json", text}, {"report.html", page.Bytes()}, {"trials.csv", table.Bytes()}} {
		if err := durable.WriteFile(filepath.Join(f.out, file.name), file.text, 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	if f.json {
		_, err = w.Write(text)
		return err
	}
	if err := r.WriteTable(w); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "written: %s\n", filepath.Join(f.out, "report.html"))
	return err
}

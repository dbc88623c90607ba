package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"bellwether/internal/alert"
	"bellwether/internal/durable"
	"bellwether/internal/gateway"
	"bellwether/internal/monitor"
)

// replayFlags are the flags of the replay command.
type replayFlags struct {
	state, config, devices, report, alerts, log string
	learn, watch                                []string
	minSnapshots, batch, workers                int
	rule                                        string
	seed                                        uint64
	json, abandon                               bool
}

func replayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay --state DIR --learn CAPTURE… --watch CAPTURE…",
		Short: "Learn devices from captures and judge them on others",
		Long: `Learns every device from the first captures and judges it on the second, through
the same path as live traffic: snapshots go to the store, hashes and verdicts to
the ledger, alerts to you. Captures are pcap or pcapng, also gzip or zstd; globs
and directories work; each set is read in order of time.

A replay that was stopped goes on when the same command is given again, or is
given up with --abandon, so that another may follow. Without --learn, what the state
directory has learned before is used.`,
		Example: `  bellwether replay --state home --learn week1/*.pcap --watch week2/*.pcap --devices names.csv
  bellwether replay --state home --watch suspicious.pcapng --report report.json`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := c.Flags()
	stateFlag(c, &f.state)
	fl.StringArrayVar(&f.learn, "learn", nil, "captures to learn from")
	fl.StringArrayVar(&f.watch, "watch", nil, "captures to judge")
	fl.StringVar(&f.devices, "devices", "", "CSV file with the columns \"MAC Address,Device Name\"")
	fl.IntVar(&f.minSnapshots, "min-snapshots", 0, "snapshots that a device must have sent to be learned (default 2000)")
	fl.StringVar(&f.report, "report", "", "write the report as JSON to this file")
	fl.StringVar(&f.alerts, "alerts", "", "write alerts as JSON lines (EVE) to this file")
	fl.StringVar(&f.config, "config", "", "configuration file: subnets, gateways, detector and more")
	fl.StringVar(&f.rule, "rule", "", "threshold rule: calm (default), max, balanced, eq1, conformal or quantile")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of the training")
	fl.IntVar(&f.batch, "batch", 0, "snapshots scored together; no result depends on it")
	fl.IntVar(&f.workers, "workers", 0, "goroutines that score and train; no result depends on it")
	fl.BoolVar(&f.abandon, "abandon", false, "give up the replay that was stopped; its snapshots stay, nothing is learned from them")
	fl.BoolVar(&f.json, "json", false, "print the report as JSON")
	fl.StringVar(&f.log, "log", "", "log to standard error from this level: debug, info or warn")
	return c
}

// settings puts flags over the configuration file.
func (f *replayFlags) settings() (gateway.Config, error) {
	var c gateway.Config
	if f.config != "" {
		var err error
		if c, err = gateway.ReadConfig(f.config); err != nil {
			return c, err
		}
	}
	for _, n := range []struct {
		flag string
		from int
		to   *int
	}{{"--min-snapshots", f.minSnapshots, &c.Learn.Snapshots}, {"--batch", f.batch, &c.Batch}, {"--workers", f.workers, &c.Workers}} {
		if n.from < 0 {
			return c, usageError{fmt.Errorf("%s is %d: want 1 or more", n.flag, n.from)}
		}
		if n.from > 0 {
			*n.to = n.from
		}
	}
	if f.devices != "" {
		c.Devices.Names = f.devices
	}
	if f.rule != "" {
		c.Detector.Rule = f.rule
	}
	if f.seed != 0 {
		c.Detector.Seed = f.seed
	}
	if err := c.Validate(); err != nil {
		return c, usageError{err}
	}
	return c, nil
}

func (f *replayFlags) run(cmd *cobra.Command) error {
	if f.abandon {
		return f.giveUp(cmd)
	}
	if len(f.learn)+len(f.watch) == 0 {
		return usageError{errors.New("replay: give --learn CAPTURE, --watch CAPTURE or both")}
	}
	config, err := f.settings()
	if err != nil {
		return err
	}
	logger, err := newLogger(f.log)
	if err != nil {
		return err
	}
	boundMemory(config)
	bar := newBar()
	out := cmd.OutOrStdout()
	if f.json {
		out = io.Discard
	}
	var sink *alert.File
	var sinkErr error
	if f.alerts != "" {
		if sink, err = alert.OpenFile(f.alerts); err != nil {
			return err
		}
		defer sink.Close()
	}
	r := gateway.Replay{StateDir: f.state, Learn: f.learn, Watch: f.watch, Config: config, Log: logger,
		Events: gateway.Events{
			Progress: bar.draw,
			Warning:  func(err error) { bar.clear(); fmt.Fprintf(os.Stderr, "bellwether: warning: %v\n", err) },
			Alert: func(a gateway.Raised) error {
				bar.clear()
				alert.Write(out, &a.Alert, a.ID)
				if sink != nil {
					sinkErr = sink.Add(&a.Event)
				}
				return sinkErr
			},
		}}
	report, err := r.Run(cmd.Context())
	bar.clear()
	if err != nil {
		return err
	}
	return f.print(cmd.OutOrStdout(), report)
}

// giveUp abandons the replay that was stopped.
func (f *replayFlags) giveUp(cmd *cobra.Command) error {
	if len(f.learn)+len(f.watch) > 0 {
		return usageError{errors.New("replay: --abandon goes without --learn and --watch")}
	}
	config, err := f.settings()
	if err != nil {
		return err
	}
	a, err := gateway.Abandon(cmd.Context(), f.state, config)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "gave up the replay that learned %q and watched %q; of it stay ", a.Learn, a.Watch)
	if a.From > a.To {
		fmt.Fprintln(cmd.OutOrStdout(), "no snapshots")
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "the snapshots SEQ %d to %d\n", a.From, a.To)
	return nil
}

func (f *replayFlags) print(w io.Writer, r *gateway.Report) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if f.report != "" {
		if err := durable.WriteFile(f.report, b, 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	if f.json {
		_, err = w.Write(b)
		return err
	}
	printReport(w, r)
	return nil
}

// printReport writes a report for people.
func printReport(w io.Writer, r *gateway.Report) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "\nDEVICE\tMAC\tSTATE\tLEARNED\tWATCHED\tFLAGGED\tALERTS\tTRUST")
	for _, d := range r.Devices {
		state := d.State
		if d.Threshold == nil {
			state = fmt.Sprintf("%s of %s: still learning", monitor.Thousands(int64(d.LearnedSnapshots)), monitor.Thousands(int64(d.NeededSnapshots)))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%.2f\n", d.Name, d.MAC, state, d.LearnedSnapshots, d.WatchedSnapshots, d.FlaggedSnapshots, len(d.Alerts), d.Trust)
	}
	t.Flush()
	fmt.Fprintf(w, "\nzone %s: trust %.2f (uncertainty %.2f), %s asks for %.2f\n", r.Zone.Name, r.Zone.Trust, r.Zone.Uncertainty, r.Zone.From, r.Zone.Threshold)
	fmt.Fprintf(w, "%d packets in %.1f s (%.0f a second), %d dropped; ledger: %d blocks, head %s\n",
		r.Packets, r.Seconds, float64(r.Packets)/max(r.Seconds, 1e-9), r.Drops, r.Ledger.Height, r.Ledger.Head.Short())
}

// newLogger logs to standard error from a level on; "" logs nothing.
func newLogger(level string) (*slog.Logger, error) {
	if level == "" {
		return slog.New(slog.DiscardHandler), nil
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{fmt.Errorf("--log is %q: want debug, info, warn or error", level)}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
	"bellwether/internal/zone"
)

func storeCommand() *cobra.Command {
	var dir, output, device, format string
	var from, to uint64
	export := &cobra.Command{
		Use: "export --state DIR --from SEQ --to SEQ", Short: "Write stored snapshots as CSV, JSON lines or Parquet",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			x := gateway.Export{From: zone.SeqID(from), To: zone.SeqID(to), Format: formatOf(format, output)}
			if device != "" {
				m, err := zone.ParseMAC(device)
				if err != nil {
					return usageError{fmt.Errorf("--device: %w", err)}
				}
				x.Device = m
			}
			return withState(cmd, dir, func(s *gateway.State) error {
				return writeTo(output, func(w io.Writer) error { return s.Export(cmd.Context(), w, x) })
			})
		},
	}
	stateFlag(export, &dir)
	export.Flags().Uint64Var(&from, "from", 0, "first SEQ-ID (default: the oldest that is kept)")
	export.Flags().Uint64Var(&to, "to", 0, "last SEQ-ID (default: the newest)")
	export.Flags().StringVar(&device, "device", "", "only this MAC address")
	export.Flags().StringVar(&format, "format", "", "csv, jsonl or parquet (default: by the file's name, else csv)")
	export.Flags().StringVarP(&output, "output", "o", "", "file to write (default: standard output)")
	return group("store", "Read the stored snapshots", export)
}

func formatOf(format, output string) string {
	if format != "" {
		return format
	}
	for _, f := range []string{"jsonl", "parquet"} {
		if strings.HasSuffix(output, "."+f) {
			return f
		}
	}
	return "csv"
}

func deviceCommand() *cobra.Command {
	return group("device", "List the devices, or decide about one; each decision goes on the ledger",
		actionCommand("relearn MAC", "Let a device learn its behaviour anew", "relearn"),
		actionCommand("silence MAC|all", "Send no alerts that a device, or any, raises from now on for some time", "silence"),
		actionCommand("unsilence MAC|all", "Take a silence back", "unsilence"),
		renameCommand(), deviceListCommand(), adaptCommand(), rollbackCommand())
}

func actionCommand(use, short, action string) *cobra.Command {
	var dir, note string
	var duration time.Duration
	c := &cobra.Command{Use: use + " --state DIR", Short: short, Args: exactly(1, "one "+strings.TrimPrefix(use, action+" ")),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := subject(args[0], action)
			if err != nil {
				return usageError{err}
			}
			if action == "silence" && duration <= 0 {
				return usageError{errors.New("device silence: --for is missing: want a length of time like 2h")}
			}
			id, err := gateway.Decide(cmd.Context(), dir, m, gateway.Decision{Action: action, For: duration, Note: note, Now: zone.TimeOf(time.Now())})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, on the ledger as H-ID %s\n", args[0], action, id)
			return nil
		},
	}
	stateFlag(c, &dir)
	c.Flags().StringVar(&note, "note", "", "why, for whoever reads the ledger")
	if action == "silence" {
		c.Flags().DurationVar(&duration, "for", 0, "how long, like 2h")
	}
	return c
}

// subject is whom a decision is about; all devices are the zone, a zero address.
func subject(arg, action string) (zone.MAC, error) {
	if arg == "all" && action != "relearn" {
		return zone.MAC{}, nil
	}
	m, err := zone.ParseMAC(arg)
	if err == nil && m == (zone.MAC{}) {
		err = fmt.Errorf("%s is no device's address", arg)
	}
	return m, err
}

func renameCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{Use: "rename MAC NAME --state DIR", Short: "Give a device another name", Args: exactly(2, "a MAC address and a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := zone.ParseMAC(args[0])
			if err != nil {
				return usageError{err}
			}
			id, err := gateway.Decide(cmd.Context(), dir, m, gateway.Decision{Action: "rename", Name: args[1], Now: zone.TimeOf(time.Now())})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is called %q, on the ledger as H-ID %s\n", m, args[1], id)
			return nil
		},
	}
	stateFlag(c, &dir)
	return c
}

func configCommand() *cobra.Command {
	check := &cobra.Command{Use: "check FILE", Short: "Check a configuration file", Args: exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := gateway.ReadConfig(args[0])
			if err == nil {
				err = c.ValidateLive()
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is fine\n", args[0])
			return nil
		}}
	example := &cobra.Command{Use: "example", Short: "Print a configuration file to start from", Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), gateway.ExampleConfig)
			return err
		}}
	return group("config", "Check a configuration file, or print an example", check, example)
}

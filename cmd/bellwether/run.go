package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"bellwether/internal/alert"
	"bellwether/internal/gateway"
)

// whatRuns says what a configuration has the gateway do.
func whatRuns(c gateway.Config) string {
	var parts []string
	if c.Interface != "" {
		parts = append(parts, "watching "+c.Interface)
	}
	if c.Members.Listen != "" {
		parts = append(parts, "serving members on "+c.Members.Listen)
	}
	return strings.Join(parts, ", ")
}

func runCommand() *cobra.Command {
	var config, level string
	var asJSON bool
	c := &cobra.Command{
		Use: "run --config FILE", Short: "Watch a network interface, and serve the zone's members",
		Long: `Watches the zone's network: learns each device when it joins, judges it afterwards, and
raises an alert when one stops behaving like itself. Needs the right to capture: run as
root, or give the program CAP_NET_RAW. With members.listen it is the hub of the zone's
members, beside that or alone; docs/members.md tells about it. SIGTERM or Ctrl-C stops it; what was observed is
stored first.`,
		Example: "  bellwether config example > bellwether.yaml\n  sudo bellwether run --config bellwether.yaml",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := gateway.ReadConfig(config)
			if err != nil {
				return err
			}
			log, err := newLogger(level)
			if err != nil {
				return err
			}
			boundMemory(c)
			live := gateway.Live{Config: c, Log: log}
			var sink *alert.File
			if c.Alerts.File != "" {
				if sink, err = alert.OpenFile(c.Alerts.File); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, sink.Close()) }()
			}
			live.Events.Alert = func(a gateway.Raised) error {
				if asJSON {
					line, err := a.Event.Line()
					if err != nil {
						return err
					}
					if _, err := cmd.OutOrStdout().Write(line); err != nil {
						return err
					}
				} else {
					alert.Write(cmd.OutOrStdout(), &a.Alert, a.ID)
				}
				if sink == nil {
					return nil
				}
				return sink.Add(&a.Event)
			}
			fmt.Fprintf(os.Stderr, "bellwether: %s; Ctrl-C stops\n", whatRuns(c))
			return live.Run(cmd.Context())
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration file; `bellwether config example` prints one")
	c.MarkFlagRequired("config")
	c.Flags().StringVar(&level, "log", "info", "log to standard error from this level: debug, info or warn")
	c.Flags().BoolVar(&asJSON, "json", false, "print alerts as JSON lines (EVE)")
	return c
}

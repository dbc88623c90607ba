package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
	"bellwether/internal/monitor"
	"bellwether/internal/zone"
)

func adaptCommand() *cobra.Command {
	var dir string
	var try, asJSON bool
	c := &cobra.Command{
		Use: "adapt MAC --state DIR", Short: "Let a watched device's model follow its drift, within bounds",
		Long: `Learns a shadow model from what the device's first model was learned from and from
the newer snapshots that passed strict gates: labelled normal, at least 10 minutes
from any alarm of the device, and not within 5 minutes after the gateway began to
see packets again. Prints how it compares with the model in force, and lets it
take over: a model-accepted entry on the ledger, taken back by device rollback.

It is refused when, under the first model, a snapshot that passed scores more than
twice the threshold, or a majority of a minute's vote (TOGETHER) more than twice
what was USUAL while that model was calibrated; or when a plain limit (hosts,
ports, flows, peer, burst, rate, silent) would be more than twice the first model's. The first model is the one
since the device joined or learned anew, so that many small steps lead no further
than one. What goes beyond is for the operator: device relearn.

No gateway may be running on the state directory.`,
		Args: exactly(1, "one MAC address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withDevice(cmd, dir, args[0], func(s *gateway.State, m zone.MAC) error {
				a, err := s.Adapt(cmd.Context(), m, try)
				if a != nil {
					err = errors.Join(printAdaptation(cmd.OutOrStdout(), a, asJSON), err)
				}
				return err
			})
		},
	}
	stateFlag(c, &dir)
	c.Flags().BoolVar(&try, "try", false, "compare only: the model in force stays")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func rollbackCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "rollback MAC --state DIR", Short: "Put back the model that a device had before its model followed it",
		Long: `Puts back the model whose place the one in force took, by another model-accepted
entry on the ledger. No gateway may be running on the state directory.`,
		Args: exactly(1, "one MAC address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withDevice(cmd, dir, args[0], func(s *gateway.State, m zone.MAC) error {
				model, id, err := s.Rollback(cmd.Context(), m)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: model %s is in force again, learned from SEQ %d to %d, threshold %.4g; on the ledger as H-ID %s\n",
						m, model.Digest.Short(), model.First, model.Last, model.Threshold, id)
				}
				return err
			})
		},
	}
	stateFlag(c, &dir)
	return c
}

// withDevice opens a state directory for changes to a device of it.
func withDevice(cmd *cobra.Command, dir, arg string, f func(*gateway.State, zone.MAC) error) error {
	m, err := zone.ParseMAC(arg)
	if err != nil {
		return usageError{err}
	}
	s, err := gateway.OpenState(cmd.Context(), dir, gateway.StateOptions{Existing: true})
	if err != nil {
		return fmt.Errorf("%s needs the state directory for itself: %w", cmd.CommandPath(), err)
	}
	return errors.Join(f(s, m), s.Close())
}

func printAdaptation(w io.Writer, a *gateway.Adaptation, asJSON bool) error {
	if asJSON {
		return printJSON(w, a)
	}
	g := a.Gates
	fmt.Fprintf(w, "%d newer snapshots passed; not: %d flagged, %d near an alarm, %d after a gap, %d too recent\n", g.Passed, g.Flagged, g.NearAlarm, g.AfterGap, g.Recent)
	if a.Shadow.Rows == 0 {
		return nil // too few to learn from
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "MODEL\tDIGEST\tROWS\tTHRESHOLD\tABOVE IT\tHIGHEST\tTOGETHER\tUSUAL")
	for _, m := range []struct {
		name string
		is   monitor.Candidate
	}{{"first", a.Anchor}, {"in force", a.Present}, {"shadow", a.Shadow}} {
		fmt.Fprintf(t, "%s\t%s\t%d\t%.4g\t%.2f %%\t%.4g\t%.4g\t%.4g\n", m.name, m.is.Digest.Short(), m.is.Rows, m.is.Threshold, 100*m.is.Above, m.is.Highest, m.is.Together, m.is.Usual)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if a.ID != (zone.HID{}) {
		fmt.Fprintf(w, "%s: the shadow has taken over, on the ledger as H-ID %s\n", a.Device, a.ID)
	}
	return nil
}

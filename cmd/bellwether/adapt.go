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
scan, ports, flows, peer, burst, rate, silent) would be more than twice the first model's; or when, of
simulated attacks by the device, it would miss one that is twice as strong as the
weakest that the first model finds. The first model is the one
since the device joined or learned anew, so that many small steps lead no further
than one. What goes beyond is for the operator: device relearn.

Where a gateway runs on the state directory it does this, beside watching; the
command waits for it. A device that is called malicious or sent back to learning
meanwhile keeps its model.`,
		Args: exactly(1, "one MAC address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			change := monitor.Follow
			if try {
				change = monitor.Compare
			}
			a, err := changeModel(cmd, dir, args[0], change)
			if a != nil {
				err = errors.Join(printAdaptation(cmd.OutOrStdout(), a, asJSON), err)
			}
			return err
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
entry on the ledger. Under detector.adapt: auto nothing takes over by itself again
for 7 days, or until device adapt is given. It works beside a running gateway.`,
		Args: exactly(1, "one MAC address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := changeModel(cmd, dir, args[0], monitor.GoBack)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: model %s is in force again, learned from SEQ %d to %d, threshold %.4g; on the ledger as H-ID %s\n",
					a.Device, a.Model.Digest.Short(), a.Model.First, a.Model.Last, a.Model.Threshold, a.ID)
			}
			return err
		},
	}
	stateFlag(c, &dir)
	return c
}

func changeModel(cmd *cobra.Command, dir, arg string, change monitor.Change) (*monitor.Adaptation, error) {
	m, err := zone.ParseMAC(arg)
	if err != nil {
		return nil, usageError{err}
	}
	return gateway.ChangeModel(cmd.Context(), dir, m, change)
}

func printAdaptation(w io.Writer, a *monitor.Adaptation, asJSON bool) error {
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
	if n := a.Tried; n.Kinds > 0 {
		fmt.Fprintf(w, "%d kinds of simulated attacks: the first model finds %d by the scores, of which the shadow finds %d\n", n.Kinds, n.ByAnchor, n.ByShadow)
	}
	if a.ID != (zone.HID{}) {
		fmt.Fprintf(w, "%s: the shadow has taken over, on the ledger as H-ID %s\n", a.Device, a.ID)
	}
	return nil
}

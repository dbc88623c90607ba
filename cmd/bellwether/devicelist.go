package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
)

func deviceListCommand() *cobra.Command {
	var state string
	var asJSON bool
	c := &cobra.Command{
		Use: "list --state DIR", Short: "List the devices, how calm each promises to be, and whether it drifts",
		Long: `Lists the zone's devices: state, threshold, and what can be said of false alarms.

EXPECTED is how many alarms a week the threshold lets through, by the tail of what
the device did while it was learned. AT MOST is a bound with 95 % confidence by
what happened: every alarm counts as a false one. STILL TO SEE is how much longer
the device has to go on without an alarm until AT MOST is what is accepted
(detector.alarms_per_week, default 1).

DRIFT is the share of the newest 2,000 normal snapshots that score above the 99 %
quantile of what the model was calibrated on: 1 % of a device that does what it
did. From 5 % on it names the features that left their usual range: the device does
something else than it did, in no way that is an alarm. Below the table stands what
can be done then, and what the last change of a model came to: adapt and rollback by
the operator's word, auto by a gateway that may decide (detector.adapt).`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withState(cmd, state, func(s *gateway.State) error {
				devices, err := s.Calm(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), devices)
				}
				if err := printCalm(cmd.OutOrStdout(), devices); err != nil {
					return err
				}
				printModels(cmd.OutOrStdout(), devices, state)
				return nil
			})
		},
	}
	stateFlag(c, &state)
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func printCalm(w io.Writer, devices []gateway.Calm) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tMAC\tSTATE\tSNAPSHOTS\tTHRESHOLD\tWINDOW\tALARMS\tSEEN FOR\tEXPECTED/WEEK\tAT MOST/WEEK\tSTILL TO SEE\tDRIFT")
	for _, d := range devices {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t", d.Name, d.MAC, d.State, d.Snapshots)
		if d.Window == 0 {
			fmt.Fprintln(t, "\t\t\t\t\t\t\t")
			continue
		}
		fmt.Fprintf(t, "%.4g\t%d\t%d\t%s\t%.2g\t%.2g\t%s\t%s\n", d.Threshold, d.Window, d.Alarms, days(d.Seen), d.Expected, d.AtMost, days(d.Needed), drift(d.Drift))
	}
	return t.Flush()
}

// printModels says which devices drift, and what became of their models lately.
func printModels(w io.Writer, devices []gateway.Calm, state string) {
	for _, d := range devices {
		if t := d.Trial; t != nil {
			fmt.Fprintf(w, "%s (%s): %s, %s: %s\n", d.Name, d.MAC, t.Change, t.Time, t.Outcome)
		}
		if d.Drift != nil && d.Drift.Drifted {
			fmt.Fprintf(w, "%s (%s) drifts: `bellwether device adapt %s --state %s` lets its model follow, within bounds\n", d.Name, d.MAC, d.MAC, state)
		}
	}
}

// drift says how far a device has drifted, and where to.
func drift(d *gateway.Drift) string {
	if d == nil {
		return ""
	}
	text := fmt.Sprintf("%.1f %%", 100*d.High)
	if d.Drifted {
		for i, f := range d.Moved {
			text += []string{": ", ", "}[min(i, 1)] + f.Name
		}
	}
	return text
}

// days writes seconds as days, or as hours below two days.
func days(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < 48*time.Hour {
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}

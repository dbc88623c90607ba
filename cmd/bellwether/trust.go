package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
	"bellwether/internal/trust"
	"bellwether/internal/zone"
)

// trustFlags are the flags of trust show.
type trustFlags struct {
	state, at, config string
	threshold         float64
	json              bool
}

func trustCommand() *cobra.Command {
	var f trustFlags
	show := &cobra.Command{
		Use: "show --state DIR", Short: "Show the trust level of the zone and its devices",
		Long: `Folds the ledger from entry 0 into an opinion of each device (belief, disbelief,
uncertainty) and one level for the zone. Trust falls fast, rises slowly and without
evidence decays to uncertainty: --at now tells how it stands by today's clock.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	stateFlag(show, &f.state)
	fl := show.Flags()
	fl.StringVar(&f.at, "at", "", "moment: RFC 3339 or now (default: the newest entry's)")
	fl.Float64Var(&f.threshold, "threshold", 0, "the least level asked for, 0 to 1 (default: that of --config, else of the zone's use case)")
	fl.StringVar(&f.config, "config", "", "configuration file whose trust.threshold is asked for")
	fl.BoolVar(&f.json, "json", false, "print as JSON")
	return group("trust", "What the zone may claim of itself", show)
}

func (f *trustFlags) run(cmd *cobra.Command) error {
	when, err := parseMoment(f.at)
	if err != nil {
		return err
	}
	threshold, err := f.asked()
	if err != nil {
		return err
	}
	return withState(cmd, f.state, func(s *gateway.State) error {
		z, err := s.Trust(cmd.Context(), when, threshold)
		if err != nil {
			return err
		}
		if f.threshold > 0 {
			z.ThresholdFrom = "--threshold"
		}
		if f.json {
			return printJSON(cmd.OutOrStdout(), z)
		}
		return printTrust(cmd.OutOrStdout(), s.Zone.Name, z)
	})
}

// asked is the threshold of the flag, else of the configuration, 0 for that of
// the use case.
func (f *trustFlags) asked() (float64, error) {
	if !(f.threshold >= 0 && f.threshold <= 1) {
		return 0, usageError{fmt.Errorf("--threshold is %g: want 0 to 1", f.threshold)}
	}
	if f.threshold > 0 || f.config == "" {
		return f.threshold, nil
	}
	c, err := gateway.ReadConfig(f.config)
	return c.Trust.Threshold, err
}

func printTrust(w io.Writer, name string, z trust.Zone) error {
	fmt.Fprintf(w, "zone %s at %s: trust %.2f; %s asks for %.2f: %s\n", name, z.At, z.Trust, z.ThresholdFrom, z.Threshold,
		map[bool]string{true: "trusted", false: "not trusted"}[z.Trusted])
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tMAC\tSTATE\tTRUST\tBELIEF\tDISBELIEF\tUNCERTAINTY")
	for _, d := range z.Devices {
		state := d.State.String()
		if !d.Counts {
			state += ", does not count yet"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\n", d.Name, d.MAC, state, d.Trust, d.Belief, d.Disbelief, d.Uncertainty)
	}
	fmt.Fprintf(t, "zone\t\t\t%.2f\t%.2f\t%.2f\t%.2f\n", z.Trust, z.Belief, z.Disbelief, z.Uncertainty)
	return t.Flush()
}

func parseMoment(s string) (zone.Time, error) {
	switch s {
	case "":
		return 0, nil
	case "now":
		return zone.TimeOf(time.Now()), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, usageError{fmt.Errorf("--at is %q: want a time like 2026-01-31T12:00:00Z, or now", s)}
	}
	return zone.TimeOf(t), nil
}

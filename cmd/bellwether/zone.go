package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
	"bellwether/internal/zone"
)

func zoneCommand() *cobra.Command {
	return group("zone", "Make a zone, look at it, back it up and restore it; its members",
		append(memberCommands(), zoneInitCommand(), zoneShowCommand(), zoneBackupCommand(), zoneRestoreCommand())...)
}

func zoneInitCommand() *cobra.Command {
	var dir string
	var id gateway.Identity
	var asJSON bool
	c := &cobra.Command{
		Use: "init --state DIR --name NAME", Short: "Make a zone: its master's key and the first block of its ledger",
		Long: `Makes the state directory of a new zone: the master's key, readable by its owner only,
and a ledger whose first block creates the zone. The group ID follows from key, name and
moment. 'replay' and 'run' make a zone too, if their state directory is empty; here it has a
name from the beginning, and its anchor can be handed out before anything is recorded.

If the command was interrupted, give it again. For a ledger on Fabric let 'run' or
'replay' make the zone, with ledger.driver: fabric in the configuration.`,
		Example: "  bellwether zone init --state home --name Home",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			id.Created = zone.TimeOf(time.Now())
			s, again, err := gateway.FoundZone(cmd.Context(), dir, id)
			if err != nil {
				return err
			}
			defer s.Close()
			z, err := s.Overview(cmd.Context())
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if asJSON {
				return printJSON(w, z)
			}
			if again {
				fmt.Fprintln(w, "the zone was made before; nothing was changed")
			}
			printZone(w, z)
			fmt.Fprintf(w, `
Give the anchor to those who will check proofs, by another way than the proofs.
Next:
  bellwether run --config FILE                       with state: %s
  bellwether replay --state %s --learn A --watch B   from captures
  bellwether zone backup --state %s --shares 5 --threshold 3 -o zone.backup
`, dir, dir, dir)
			return nil
		},
	}
	stateFlag(c, &dir)
	c.Flags().StringVar(&id.Name, "name", "", "name of the zone")
	c.MarkFlagRequired("name")
	c.Flags().StringVar(&id.UseCase, "use-case", "smart-home", "grid, health-care, school or smart-home: what trust is asked for")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func zoneShowCommand() *cobra.Command {
	var dir string
	var asJSON bool
	c := &cobra.Command{
		Use: "show --state DIR", Short: "Show a zone's name, group ID, anchor and devices",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withState(cmd, dir, func(s *gateway.State) error {
				z, err := s.Overview(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), z)
				}
				printZone(cmd.OutOrStdout(), z)
				return printDevices(cmd.OutOrStdout(), z.Devices)
			})
		},
	}
	stateFlag(c, &dir)
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func printZone(w io.Writer, z *gateway.Overview) {
	fmt.Fprintf(w, "zone      %s (%s), created %s\ngroup ID  %s\nanchor    %s\nledger    %d blocks, the newest of %s\n",
		z.Name, z.UseCase, z.Created, z.ID, z.Anchor, z.Height, z.Newest)
}

func printDevices(w io.Writer, devices []gateway.OverviewDevice) error {
	if len(devices) == 0 {
		_, err := fmt.Fprintln(w, "devices   none yet")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tMAC\tSTATE\tSINCE\tSNAPSHOTS")
	for _, d := range devices {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\n", d.Name, d.MAC, d.State, d.Since, d.Snapshots)
	}
	return t.Flush()
}

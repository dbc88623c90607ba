package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
	"bellwether/internal/ledger/fabric"
)

func ledgerMigrateCommand() *cobra.Command {
	var m gateway.Migrate
	var config string
	var asJSON bool
	c := &cobra.Command{
		Use: "migrate --state DIR --config FILE", Short: "Carry the zone's embedded ledger over to a channel of Hyperledger Fabric",
		Long: `Hands the zone's chain over to the channel that the configuration names: the newest block's
header, the signed checkpoint of all blocks, and the state are the first thing of the zone
there, checked by every endorser, and the blocks go on from it. What was recorded before
stays in the state directory, where it can be read and proven as ever; keep a copy of its
ledger/blocks.log, since the channel cannot give those blocks back.

Stop the gateway first. Whatever stops this command, give it again to go on: until it has
ended the zone is an embedded one, and can be used as such. There is no way back to the
embedded ledger.

The same command takes back a state directory that was lost, after its master.key and a copy
of ledger/blocks.log were put in its place.`,
		Example: "  bellwether fabric up --dir net > bellwether.yaml\n  bellwether ledger migrate --state home --config bellwether.yaml --dry-run\n  bellwether ledger migrate --state home --config bellwether.yaml",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if m.Config, err = gateway.ReadConfig(config); err != nil {
				return err
			}
			bar := newBar()
			m.Progress = bar.draw
			out, err := m.Run(cmd.Context())
			bar.clear()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			return writeMigration(cmd.OutOrStdout(), out, m.Config.Ledger.Fabric)
		},
	}
	stateFlag(c, &m.StateDir)
	c.Flags().StringVar(&config, "config", "", "configuration file with ledger.driver: fabric")
	c.MarkFlagRequired("config")
	c.Flags().BoolVar(&m.Dry, "dry-run", false, "say what it would do, and change nothing")
	c.Flags().DurationVar(&m.Patience, "timeout", time.Minute, "how long to try to reach the channel")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

// writeMigration says for people what was done, or would be.
func writeMigration(w io.Writer, m *fabric.Migration, to gateway.FabricConfig) error {
	fmt.Fprintf(w, "zone %s: %d blocks, the newest is %s\n", m.Zone.Short(), m.Blocks, m.Head)
	if m.Found > 0 {
		fmt.Fprintf(w, "on the channel already: blocks up to %d\n", m.Found-1)
	}
	if m.Handover > 0 {
		fmt.Fprintf(w, "handed over with block %d: the state of the zone with %d devices, %d bytes\n", m.Blocks-1, m.Devices, m.Handover)
	}
	if m.Append > 0 {
		fmt.Fprintf(w, "appended: blocks %d to %d\n", m.Found, m.Blocks-1)
	}
	if m.More > 0 {
		fmt.Fprintf(w, "taken over from the channel: blocks %d to %d\n", m.Blocks, m.Blocks+m.More-1)
	}
	said := "this is what would be done; nothing was changed"
	if m.Done {
		said = fmt.Sprintf("the zone's ledger is on channel %s, chaincode %s", to.Channel, to.Chaincode)
	}
	_, err := fmt.Fprintln(w, said)
	return err
}

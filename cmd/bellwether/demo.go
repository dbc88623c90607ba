package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bellwether/internal/gateway"
)

func demoCommand() *cobra.Command {
	var dir, config string
	var seed uint64
	c := &cobra.Command{
		Use: "demo", Short: "Tell the story of a simulated home whose webcam is infected",
		Long: `Plays a simulated home of twelve devices through the real path: frames are decoded,
features extracted, models trained, verdicts recorded on a ledger. Half-way its webcam is
infected and scans for telnet as Mirai does, then floods. Ends with a proof of the alert,
checked as a stranger would. Takes less than a minute and sends nothing to a network.

With --config the home's ledger is the one that a configuration file names, which may
be on Fabric: then that is spoken to. The home's zone takes the chaincode of that name
for good; try it on a network made for it, as by bellwether fabric up.`,
		Example: `  bellwether demo
  bellwether fabric up --dir net > net.yaml && bellwether demo --config net.yaml`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			d := gateway.Demo{Dir: dir, Seed: seed, Say: teller(cmd.OutOrStdout())}
			if config != "" {
				c, err := gateway.ReadConfig(config)
				if err != nil {
					return err
				}
				d.Ledger = c.Ledger
			}
			kept := dir != ""
			if !kept {
				if d.Dir, err = os.MkdirTemp("", "bellwether-demo-"); err != nil {
					return err
				}
				defer os.RemoveAll(d.Dir)
			}
			began := time.Now()
			w := cmd.OutOrStdout()
			if err := d.Run(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(w, "\nSIMULATED: all of the above, in %.0f s. Now your own devices:\n", time.Since(began).Seconds())
			fmt.Fprintln(w, "  bellwether replay --state DIR --learn CAPTURE… --watch CAPTURE…")
			if kept {
				fmt.Fprintf(w, "the state directory is %s/state, the proof %s/proof.json\n", dir, dir)
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "keep", "", "keep state directory and proof in this directory, which must be empty or missing")
	c.Flags().StringVar(&config, "config", "", "configuration file: only its ledger is used")
	c.Flags().Uint64Var(&seed, "seed", 1, "of the simulated home")
	return c
}

// teller prints the story's lines, alerts in red on a terminal.
func teller(w io.Writer) func(gateway.DemoLine) {
	red, plain := "", ""
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		red, plain = "\x1b[31m", "\x1b[0m"
	}
	return func(l gateway.DemoLine) {
		colour, end := "", ""
		if l.Alert {
			colour, end = red, plain
		}
		m := int(l.At / time.Minute)
		fmt.Fprintf(w, "SIMULATED %02d:%02d  %s%s%s\n", m, int(l.At/time.Second)%60, colour, l.Text, end)
	}
}

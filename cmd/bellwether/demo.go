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
	var dir string
	var seed uint64
	c := &cobra.Command{
		Use: "demo", Short: "Tell the story of a simulated home whose webcam is infected",
		Long: `Plays a simulated home of twelve devices through the real path: frames are decoded,
features extracted, models trained, verdicts recorded on a ledger. Half-way its webcam is
infected and scans for telnet as Mirai does, then floods. Ends with a proof of the alert,
checked as a stranger would. Takes less than a minute and sends nothing to a network.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			kept := dir != ""
			if !kept {
				if dir, err = os.MkdirTemp("", "bellwether-demo-"); err != nil {
					return err
				}
				defer os.RemoveAll(dir)
			}
			began := time.Now()
			w := cmd.OutOrStdout()
			err = gateway.Demo{Dir: dir, Seed: seed, Say: teller(w)}.Run(cmd.Context())
			if err != nil {
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

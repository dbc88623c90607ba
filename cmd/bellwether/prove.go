package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
	"bellwether/internal/ledger/fabric/evidence"
	"bellwether/internal/proof"
)

func proveCommand() *cobra.Command {
	var dir, output string
	var without bool
	c := &cobra.Command{
		Use: "prove ALERT --state DIR -o FILE", Short: "Write a proof of an alert that a stranger can check offline",
		Long: `Writes a proof bundle of an alert: the snapshots, the model that judged them, and the
ledger's transactions with their Merkle paths and the zone's signatures.

Of a zone on Hyperledger Fabric it also holds what the channel's orderers, endorsers and a
peer signed about these transactions' blocks. That needs the peer; --without-channel
leaves it out.`,
		Args: exactly(1, "one ALERT, by its ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withState(cmd, dir, func(s *gateway.State) error {
				b, err := s.Prove(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if !without {
					if err := s.Attest(cmd.Context(), b, 10*time.Second); err != nil {
						return fmt.Errorf("%w\n  --without-channel writes the proof without what the channel signed", err)
					}
				}
				raw, err := b.Marshal()
				if err != nil {
					return err
				}
				if err := writeTo(output, func(f io.Writer) error { _, err := f.Write(raw); return err }); err != nil {
					return err
				}
				fmt.Fprintf(os.Stderr, "the anchor to check it with: %s\n", b.Anchor)
				return nil
			})
		},
	}
	stateFlag(c, &dir)
	c.Flags().StringVarP(&output, "output", "o", "", "file to write (default: standard output)")
	c.Flags().BoolVar(&without, "without-channel", false, "leave out what a channel of Fabric signed")
	return c
}

func verifyCommand() *cobra.Command {
	var anchor, channel string
	c := &cobra.Command{
		Use: "verify FILE", Short: "Check a proof of an alert, offline",
		Long: `Checks a proof bundle with nothing but this program and the zone's public key: that the
zone signed it, that its ledger holds the verdict, the model and the hashes of the
snapshots, that the model gives these snapshots their scores, and that the alert
says what they show. Names the field that does not hold, if one does not.

With --channel also what a channel of Hyperledger Fabric signed: that its orderers signed
each block of Fabric, that peers of more than half of its organisations endorsed the zone's
block in it, and that a peer says it is valid. Who orders and who endorses follows from the
channel's configuration block: compare its digest with one that somebody you trust gives
you.`,
		Args: exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return verify(cmd.OutOrStdout(), args[0], anchor, channel)
		},
	}
	c.Flags().StringVar(&anchor, "anchor", "", "the zone's public key, or a file that holds it")
	c.Flags().StringVar(&channel, "channel", "", "configuration block of the zone's channel: genesis.block of `fabric up`, or by peer channel fetch config")
	return c
}

func verify(w io.Writer, path, anchor, channel string) error {
	key, err := readAnchor(anchor)
	if err != nil {
		return err
	}
	of, err := readChannel(channel)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := proof.Read(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	steps, err := proof.Verify(b, key, of)
	for _, s := range steps {
		mark := "ok  "
		if s.Warning {
			mark = "WARN"
		}
		fmt.Fprintf(w, "%s %-9s %s\n", mark, s.Name, strings.ReplaceAll(s.Says, "\n", "\n               "))
	}
	if err != nil {
		return fmt.Errorf("%s does not hold: %w", path, err)
	}
	fmt.Fprintf(w, "\n%s (%s): %s\n", b.Alert.Name, b.Alert.Device, b.Alert.Text)
	if key == nil {
		fmt.Fprintln(os.Stderr, "bellwether: warning: checked against the key in the bundle only: give --anchor KEY to know whose it is")
	}
	return nil
}

// readChannel reads a configuration block, nil without a path.
func readChannel(path string) (*evidence.Channel, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := evidence.ParseChannel(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

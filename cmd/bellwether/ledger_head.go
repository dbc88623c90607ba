package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
)

func ledgerHeadCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "head --state DIR", Short: "Print the signed head of the ledger, for others to keep",
		Long: `Prints the checkpoint of the newest block (c2sp.org/tlog-checkpoint), signed by the zone's
master: the number of blocks and the root over all of them. Whoever keeps it can tell
later, with 'ledger compare', whether a ledger was cut or rewritten since.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withState(cmd, dir, func(s *gateway.State) error {
				head, err := s.Head(cmd.Context())
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(head)
				return err
			})
		},
	}
	stateFlag(c, &dir)
	return c
}

func ledgerCompareCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "compare HEAD --state DIR", Short: "Hold a head that somebody kept against the ledger",
		Long: `Reads a head that 'ledger head' printed, at any time and on any machine, and says whether
the ledger goes on from it. Otherwise the exit code is 1: the ledger lacks blocks that
the zone has signed, or it has forked, since two masters wrote. Of a fork it prints the
ledger's own head of the same size: two heads of one size with different roots under one key are the
proof, to anybody who has the anchor.`,
		Args: exactly(1, "one HEAD, a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			return withState(cmd, dir, func(s *gateway.State) error {
				size, ours, err := s.CompareHead(cmd.Context(), raw)
				if errors.Is(err, gateway.ErrFork) {
					fmt.Fprintf(cmd.OutOrStdout(), "%s", ours)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "the ledger goes on from this head: block %d of %d\n", size, s.Ledger.Height())
				return nil
			})
		},
	}
	stateFlag(c, &dir)
	return c
}

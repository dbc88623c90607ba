package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"bellwether/internal/follower/command"
)

// followerCommand is the small program bellwether-follower in this one.
func followerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "follower COMMAND", Short: "A member of a zone on this machine, as the small program bellwether-follower",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			p := command.Program{Name: "bellwether follower", Stdin: cmd.InOrStdin(), Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()}
			if code := p.Main(cmd.Context(), args); code != 0 {
				return exitError(code)
			}
			return nil
		},
	}
}

// exitError is an exit code whose reason was told already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

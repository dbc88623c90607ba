// Bellwether learns how each IoT device of a zone behaves on the network, says
// when one stops behaving like itself, and proves it to strangers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
)

// usageError is a wrong use of the command line: exit code 2.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx = gateway.WithNotice(ctx, func(notice string) { fmt.Fprintf(os.Stderr, "bellwether: %s\n", notice) })
	root := rootCommand()
	root.SetArgs(spreadLists(os.Args[1:]))
	os.Exit(exitCode(root.ExecuteContext(ctx)))
}

// exitCode prints the error, if any: 0 without one, 2 for wrong usage, else 1.
func exitCode(err error) int {
	var usage usageError
	var told exitError
	var taken *gateway.InUseError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &told):
		return int(told)
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "bellwether: %v\n  see `bellwether help`\n", err)
		return 2
	case errors.Is(err, context.Canceled) && !errors.As(err, &taken):
		fmt.Fprintln(os.Stderr, "bellwether: stopped; run the same command again to go on")
		return 1
	}
	fmt.Fprintf(os.Stderr, "bellwether: %v\n", err)
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "bellwether",
		Short: "Knows whether each IoT device of a zone still behaves like itself, and proves it",
		Long: `Bellwether learns each device of a network from its packets while it is clean, says
within a second and with a reason when one stops behaving like itself, and hands
out a proof that a stranger can check offline.

Start with:
  bellwether demo                                    a simulated home, told as it happens
  bellwether replay --state DIR --learn A --watch B  learn from captures, judge others
  bellwether run --config FILE                       watch a network`,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(demoCommand(), replayCommand(), runCommand(), zoneCommand(), rehearseCommand(), featuresCommand(), storeCommand(), ledgerCommand(),
		trustCommand(), alertsCommand(), explainCommand(), proveCommand(), verifyCommand(), deviceCommand(), policyCommand(), mudCommand(), configCommand(), evaluateCommand(), fabricCommand(), followerCommand(), chaincodeCommand())
	return root
}

// exactly takes n arguments and says what they are. Missing flags are wrong
// usage too.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cmd.ValidateRequiredFlags(); err != nil {
			return usageError{fmt.Errorf("%s: %w", cmd.CommandPath(), err)}
		}
		if len(args) != n {
			return usageError{fmt.Errorf("%s: want %s, got %d arguments", cmd.CommandPath(), what, len(args))}
		}
		return nil
	}
}

// group is a command that only has others below it.
func group(use, short string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q", cmd.CommandPath()+" "+args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(sub...)
	return c
}

// stateFlag adds the flag that names the state directory.
func stateFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "state", "", "state directory of the zone")
	c.MarkFlagRequired("state")
}

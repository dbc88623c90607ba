package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/alert"
	"bellwether/internal/gateway"
	"bellwether/internal/identity"
	"bellwether/internal/proof"
	"bellwether/internal/zone"
)

// withState opens an existing state directory for a command.
func withState(cmd *cobra.Command, dir string, f func(*gateway.State) error) error {
	s, err := gateway.OpenState(cmd.Context(), dir, gateway.StateOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func ledgerCommand() *cobra.Command {
	return group("ledger", "Look into the zone's ledger and check it", ledgerShowCommand(), ledgerVerifyCommand())
}

func ledgerShowCommand() *cobra.Command {
	var dir string
	var from uint64
	var asJSON bool
	c := &cobra.Command{
		Use: "show --state DIR", Short: "List the ledger's blocks and transactions",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withState(cmd, dir, func(s *gateway.State) error {
				for e, err := range s.Entries(cmd.Context(), from) {
					if err != nil {
						return err
					}
					if asJSON {
						if err := json.NewEncoder(cmd.OutOrStdout()).Encode(e); err != nil {
							return err
						}
						continue
					}
					if e.Index == 0 {
						fmt.Fprintf(cmd.OutOrStdout(), "block %d  %s  %s\n", e.Block, e.BlockTime, e.BlockHash)
					}
					fmt.Fprintf(cmd.OutOrStdout(), "  %-3d %s  %-16s %-17s %s\n", e.Index, e.ID.Short(), e.Kind, e.Device, e.Says)
				}
				return nil
			})
		},
	}
	stateFlag(c, &dir)
	c.Flags().Uint64Var(&from, "from", 0, "first block to list")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object for each transaction")
	return c
}

func ledgerVerifyCommand() *cobra.Command {
	var dir, anchor string
	var asJSON bool
	c := &cobra.Command{
		Use: "verify --state DIR", Short: "Check every byte of the state directory, from the ledger's entry 0 on",
		Long: `Recomputes every hash, signature, Merkle root and state of the ledger from entry 0, then
checks every snapshot in the store against it, every model, alert and record. Says for
each damage where it is: block, transaction, segment, row.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := readAnchor(anchor)
			if err != nil {
				return err
			}
			bar := newBar()
			a, err := gateway.VerifyState(cmd.Context(), dir, key, bar.draw)
			bar.clear()
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if asJSON {
				if err := printJSON(w, a); err != nil {
					return err
				}
			} else {
				for _, f := range a.Findings {
					fmt.Fprintln(w, f)
				}
				fmt.Fprintf(w, "zone %s: %d blocks, %d transactions, %d segments (%d not on the ledger yet, %d receipts to come), %d models, %d alerts\n",
					a.Zone.Short(), a.Blocks, a.Txs, a.Segments, a.Waiting, a.Unreceipted, a.Models, a.Alerts)
			}
			if len(a.Findings) > 0 {
				return fmt.Errorf("%s: %d findings: the state directory is damaged", dir, len(a.Findings))
			}
			if !asJSON {
				fmt.Fprintln(w, "every byte is as it was written")
			}
			return nil
		},
	}
	stateFlag(c, &dir)
	c.Flags().StringVar(&anchor, "anchor", "", "the zone's public key, or a file that holds it (default: the one the ledger names)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

// readAnchor reads a public key from the flag or from the file it names.
func readAnchor(text string) (ed25519.PublicKey, error) {
	if text == "" {
		return nil, nil
	}
	if b, err := os.ReadFile(text); err == nil {
		text = strings.TrimSpace(string(b))
	}
	_, key, err := identity.ParseAnchor(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("--anchor: %w", err)}
	}
	return key, nil
}

func trustCommand() *cobra.Command {
	var dir, at string
	var threshold float64
	var asJSON bool
	show := &cobra.Command{
		Use: "show --state DIR", Short: "Show the trust level of the zone and its devices",
		Long: `Folds the ledger from entry 0 into an opinion of each device (belief, disbelief,
uncertainty) and one level for the zone. Trust falls fast, rises slowly and without
evidence decays to uncertainty: --at now tells how it stands by today's clock.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if threshold < 0 || threshold > 1 {
				return usageError{fmt.Errorf("--threshold is %g: want 0 to 1", threshold)}
			}
			when, err := parseMoment(at)
			if err != nil {
				return err
			}
			return withState(cmd, dir, func(s *gateway.State) error {
				z, err := s.Trust(cmd.Context(), when, threshold)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), z)
				}
				w := cmd.OutOrStdout()
				fmt.Fprintf(w, "zone %s at %s: trust %.2f; %s asks for %.2f: %s\n", s.Zone.Name, z.At, z.Trust, z.UseCase, z.Threshold,
					map[bool]string{true: "trusted", false: "not trusted"}[z.Trusted])
				t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
				fmt.Fprintln(t, "DEVICE\tMAC\tSTATE\tTRUST\tBELIEF\tDISBELIEF\tUNCERTAINTY")
				for _, d := range z.Devices {
					fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\n", d.Name, d.MAC, d.State, d.Trust, d.Belief, d.Disbelief, d.Uncertainty)
				}
				fmt.Fprintf(t, "zone\t\t\t%.2f\t%.2f\t%.2f\t%.2f\n", z.Trust, z.Belief, z.Disbelief, z.Uncertainty)
				return t.Flush()
			})
		},
	}
	stateFlag(show, &dir)
	show.Flags().StringVar(&at, "at", "", "moment: RFC 3339 or now (default: the newest entry's)")
	show.Flags().Float64Var(&threshold, "threshold", 0, "the least level asked for, 0 to 1 (default: that of the zone's use case)")
	show.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return group("trust", "What the zone may claim of itself", show)
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

func alertsCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "alerts --state DIR", Short: "List the alerts that were raised",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withState(cmd, dir, func(s *gateway.State) error {
				raised, err := s.Raised(cmd.Context())
				if err != nil {
					return err
				}
				for _, digest := range raised {
					a, err := s.Alerts.ByDigest(digest)
					if err != nil {
						return err
					}
					alert.Write(cmd.OutOrStdout(), &a, zone.AlertID(digest))
				}
				return nil
			})
		},
	}
	stateFlag(c, &dir)
	return c
}

func explainCommand() *cobra.Command {
	var dir string
	var asJSON bool
	c := &cobra.Command{
		Use: "explain ALERT --state DIR", Short: "Say why an alert was raised",
		Args: exactly(1, "one ALERT, by its ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withState(cmd, dir, func(s *gateway.State) error {
				a, digest, err := s.Alerts.Find(args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), a)
				}
				alert.Write(cmd.OutOrStdout(), &a, zone.AlertID(digest))
				alert.WriteFeatures(cmd.OutOrStdout(), &a)
				fmt.Fprintf(cmd.OutOrStdout(), "  snapshots SEQ %d to %d; model %s\n", a.First, a.Last, a.Model.Short())
				return nil
			})
		},
	}
	stateFlag(c, &dir)
	c.Flags().BoolVar(&asJSON, "json", false, "print the alert record as JSON")
	return c
}

func proveCommand() *cobra.Command {
	var dir, output string
	c := &cobra.Command{
		Use: "prove ALERT --state DIR -o FILE", Short: "Write a proof of an alert that a stranger can check offline",
		Args: exactly(1, "one ALERT, by its ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withState(cmd, dir, func(s *gateway.State) error {
				b, err := s.Prove(cmd.Context(), args[0])
				if err != nil {
					return err
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
	return c
}

func verifyCommand() *cobra.Command {
	var anchor string
	c := &cobra.Command{
		Use: "verify FILE", Short: "Check a proof of an alert, offline",
		Long: `Checks a proof bundle with nothing but this program and the zone's public key: that the
zone signed it, that its ledger holds the verdict, the model and the hashes of the
snapshots, that the model gives these snapshots their scores, and that the alert
says what they show. Names the field that does not hold, if one does not.`,
		Args: exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := readAnchor(anchor)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			b, err := proof.Read(f)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			steps, err := proof.Verify(b, key)
			for _, s := range steps {
				mark := "ok  "
				if s.Warning {
					mark = "WARN"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %-9s %s\n", mark, s.Name, s.Says)
			}
			if err != nil {
				return fmt.Errorf("%s does not hold: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "\n%s (%s): %s\n", b.Alert.Name, b.Alert.Device, b.Alert.Text)
			if key == nil {
				fmt.Fprintln(os.Stderr, "bellwether: warning: checked against the key in the bundle only: give --anchor KEY to know whose it is")
			}
			return nil
		},
	}
	c.Flags().StringVar(&anchor, "anchor", "", "the zone's public key, or a file that holds it")
	return c
}

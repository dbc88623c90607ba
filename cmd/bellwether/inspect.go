package main

import (
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"bellwether/internal/alert"
	"bellwether/internal/gateway"
	"bellwether/internal/identity"
	"bellwether/internal/store"
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
	return group("ledger", "Look into the zone's ledger and check it", ledgerShowCommand(), ledgerVerifyCommand(), ledgerHeadCommand(), ledgerCompareCommand(), ledgerMigrateCommand())
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
					fmt.Fprintf(cmd.OutOrStdout(), "  %-3d %s  %-16s %-17s %s\n", e.Index, e.ID.Short(), e.Kind, cmp.Or(e.Device, e.Member), e.Says)
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
				return explainMUD(cmd, s, &a)
			})
		},
	}
	stateFlag(c, &dir)
	c.Flags().BoolVar(&asJSON, "json", false, "print the alert record as JSON")
	return c
}

// explainMUD names what of an alert's evidence lies outside the network policy that
// the device had, or has been given since.
func explainMUD(cmd *cobra.Command, s *gateway.State, a *zone.Alert) error {
	w := cmd.OutOrStdout()
	if n := a.Network; n != nil {
		fmt.Fprintf(w, "  held against its network policy %s when it was raised:\n", n.SHA256.Short())
		printStanding(w, n.Evidence, "    ")
		return nil
	}
	r, m, ok, err := s.AlertMUD(cmd.Context(), a)
	if removed := (*store.RemovedError)(nil); errors.As(err, &removed) {
		fmt.Fprintf(w, "  its network policy %s was given to it later, and the snapshots are not kept any more: they were removed at %s\n", m.SHA256.Short(), removed.At)
		return nil
	}
	if err != nil || !ok {
		return err
	}
	fmt.Fprintf(w, "  held against its network policy %s, given to it later, signed by %s:\n", m.SHA256.Short(), cmp.Or(m.Signer, "nobody"))
	printStanding(w, r, "    ")
	return nil
}

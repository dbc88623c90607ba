package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/backup"
	"bellwether/internal/gateway"
	"bellwether/internal/zone"
)

func zoneBackupCommand() *cobra.Command {
	var dir string
	var o gateway.BackupOptions
	var asJSON bool
	var to []string
	c := &cobra.Command{
		Use: "backup --state DIR --shares N --threshold K -o FILE", Short: "Write an encrypted backup of the zone, and shares of its key",
		Long: `Writes the zone's key, ledger, models, alerts and journals, encrypted with a fresh random
key, to FILE, and that key as N shares to FILE.share-1 and so on. Any K shares open the
backup, fewer tell nothing. Give the shares to different holders, keep no copies beside the
backup, and delete the files. A share is a few lines of text that can be printed and typed.

With --to the shares go to members of the zone instead, one to each, encrypted to it and
over the ledger, and no file of them is left here; the gateway has to run. A follower keeps
its shares and prints them with 'bellwether-follower shares'.

A gateway may run meanwhile: the backup is what the directory held at one moment.

The stored snapshots are left out, since they can be gigabytes: a restored zone judges as
before and keeps its ledger and alerts, but cannot prove old alerts, and a device that was
still learning begins again. --with-store takes them along; an unfinished replay needs it.
The private keys by which a ledger on Fabric is reached are not in the state directory, and
so not in the backup.`,
		Example: "  bellwether zone backup --state home --shares 5 --threshold 3 -o home.backup",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Shares == 0 {
				o.Shares = len(to)
			}
			if len(to) > 0 && len(to) != o.Shares {
				return usageError{fmt.Errorf("%d shares to %d members: want as many", o.Shares, len(to))}
			}
			if o.Threshold < 1 || o.Shares < o.Threshold || o.Shares > backup.MaxShares {
				return usageError{fmt.Errorf("--threshold %d of --shares %d: want 1 to the number of shares, which is at most %d", o.Threshold, o.Shares, backup.MaxShares)}
			}
			o.Now = zone.TimeOf(time.Now())
			r, err := gateway.Backup(cmd.Context(), dir, o)
			if err != nil {
				return err
			}
			if err := gateway.HandOut(cmd.Context(), dir, r, to); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			printBackup(cmd.OutOrStdout(), r)
			return nil
		},
	}
	stateFlag(c, &dir)
	c.Flags().StringVarP(&o.File, "output", "o", "", "file to write")
	c.Flags().IntVar(&o.Shares, "shares", 0, "how many shares the key is split into")
	c.Flags().IntVar(&o.Threshold, "threshold", 0, "how many of them open the backup")
	c.Flags().StringSliceVar(&to, "to", nil, "members that get one share each, separated by commas")
	for _, name := range []string{"output", "threshold"} {
		c.MarkFlagRequired(name)
	}
	c.Flags().BoolVar(&o.Store, "with-store", false, "the stored snapshots too")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func printBackup(w io.Writer, r *gateway.BackupReport) {
	fmt.Fprintf(w, "backup %s of zone %s (%s): %s, %d bytes, %d files, in %.2f s\n", r.ID, r.Name, r.Zone.Short(), r.File, r.Bytes, r.Files, r.Seconds)
	if !r.Store {
		fmt.Fprintln(w, "the stored snapshots are not in it (--with-store)")
	}
	if len(r.Holders) > 0 {
		fmt.Fprintf(w, "any %d of the shares open it; they are on the ledger for %s\n", r.Threshold, strings.Join(r.Holders, ", "))
	} else {
		fmt.Fprintf(w, "any %d of these shares open it; give them to different holders, then delete them here:\n", r.Threshold)
	}
	for _, s := range r.Shares {
		fmt.Fprintf(w, "  %s\n", s)
	}
	if r.Threshold == 1 {
		fmt.Fprintln(w, "with a threshold of 1 each of them alone opens the backup")
	}
	fmt.Fprintf(w, "try it, before it is needed: bellwether zone restore %s --share … --drill\n", r.File)
}

func zoneRestoreCommand() *cobra.Command {
	var o gateway.RestoreOptions
	var drill, asJSON bool
	c := &cobra.Command{
		Use: "restore FILE --share S1 --share S2 --state NEWDIR", Short: "Restore a zone from a backup and shares of its key, or try to",
		Long: `Decrypts a backup with shares of its key, makes the state directory NEWDIR, verifies every
byte of it as 'ledger verify' does, and says how long that took. NEWDIR is there when
all of it holds, or not at all. With --drill everything is done and measured in a temporary
directory, which is then removed.

A zone has one master. Before the restored one is started, make sure that the old machine
never writes again: remove its state directory, or at least its master.key. What the
old one wrote after the backup is lost, and if both write, the ledger forks. Whoever kept a
head of the ledger (bellwether ledger head) finds either with
  bellwether ledger compare HEAD --state NEWDIR`,
		Example: "  bellwether zone restore home.backup --share a.txt --share b.txt --share c.txt --state home\n  bellwether zone restore home.backup --share a.txt --share b.txt --share c.txt --drill",
		Args:    exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if drill == (o.Dir != "") {
				return usageError{errors.New("zone restore: give either --state NEWDIR or --drill")}
			}
			o.File, o.Now = args[0], zone.TimeOf(time.Now())
			bar := newBar()
			o.Progress = bar.draw
			r, err := gateway.Restore(cmd.Context(), o)
			bar.clear()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			printRestore(cmd.OutOrStdout(), r)
			return nil
		},
	}
	c.Flags().StringArrayVar(&o.Shares, "share", nil, "file with a share of the key; give it once for each share")
	c.MarkFlagRequired("share")
	c.Flags().StringVar(&o.Dir, "state", "", "state directory to make; it must not exist")
	c.Flags().BoolVar(&drill, "drill", false, "try it in a temporary directory and keep nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func printRestore(w io.Writer, r *gateway.RestoreReport) {
	fmt.Fprintf(w, "zone %s (%s) from backup %s of %s\n", r.Name, r.Zone.Short(), r.ID, r.Made)
	fmt.Fprintf(w, "%d blocks, the newest of %s; %d transactions, %d models, %d alerts; every byte is as it was written\n", r.Blocks, r.Newest, r.Txs, r.Models, r.Alerts)
	if !r.Store {
		fmt.Fprintln(w, "the stored snapshots were not in it and count as removed by retention")
	}
	if r.Stranded {
		fmt.Fprintln(w, "a replay was under way and cannot go on without them: give it up with `bellwether replay --state DIR --abandon`")
	}
	if r.Members {
		fmt.Fprintf(w, "open invites were taken back; who was revoked after %s, and epochs and policies since, are not in it: decide them again\n", r.Made)
	}
	fmt.Fprintf(w, "anchor %s\n", r.Anchor)
	if r.Drill {
		fmt.Fprintf(w, "the drill succeeded: %d bytes restored and verified in %.2f s; nothing was kept\n", r.Bytes, r.Seconds)
		return
	}
	fmt.Fprintf(w, "restored to %s: %d bytes, verified, in %.2f s\n", r.Dir, r.Bytes, r.Seconds)
	fmt.Fprintf(w, `
Before you start it: the old machine must never write this zone again. Remove its
state directory, or at least its master.key. Blocks that it made after %s are
not in this ledger; whoever has a head of the ledger from then will see a fork:
  bellwether ledger compare HEAD --state %s
`, r.Newest, r.Dir)
}

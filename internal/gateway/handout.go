package gateway

import (
	"context"
	"fmt"
	"os"

	"bellwether/internal/bus"
	"bellwether/internal/zone"
)

// HandOut gives one share of a backup to each of the members, in order: encrypted
// to it, and over the ledger. A share that is on its way is removed here; what could
// not be handed out stays, and so the error says for whom. Without members it
// does nothing.
func HandOut(ctx context.Context, dir string, r *BackupReport, to []string) error {
	for _, name := range to {
		path := r.Shares[0]
		id, err := zone.ParseMemberID(name)
		if err != nil {
			return fmt.Errorf("share %s: %w", path, err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, err := OrderMembers(ctx, dir, MemberOrder{Do: DoSay, Say: &bus.Say{To: id, Content: text, Seal: true}}); err != nil {
			return fmt.Errorf("the backup is written, and %d of its shares are with members; %s was not handed out to %s: %w", len(r.Holders), path, name, err)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		r.Shares, r.Holders = r.Shares[1:], append(r.Holders, name)
	}
	return nil
}

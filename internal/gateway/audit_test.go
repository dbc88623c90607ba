package gateway

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/feature"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// withReceipts makes the store of a state directory anew: the same rows, with
// receipts as change leaves them.
func withReceipts(t *testing.T, dir string, change func([]store.Receipt) []store.Receipt) {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{ReadOnly: true})
	defer s.Close()
	other := filepath.Join(t.TempDir(), "store")
	anew, err := store.Open(other, store.Options{Zone: s.Zone.ID.String(), Names: feature.Names()})
	if err != nil {
		t.Fatal(err)
	}
	for _, seg := range s.Store.Segments() {
		var rows []zone.Snapshot
		for row, err := range s.Store.Rows(t.Context(), seg.First, seg.Last, zone.MAC{}) {
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, *row)
		}
		if _, err := anew.Append(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := anew.AddReceipts(change(s.Store.Receipts())); err != nil {
		t.Fatal(err)
	}
	if err := anew.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, storeDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, filepath.Join(dir, storeDir)); err != nil {
		t.Fatal(err)
	}
}

// What the store says of where its rows stand on the ledger is held against the
// ledger, also when every checksum is right.
func TestReceiptsAreHeldAgainstTheLedger(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func([]store.Receipt) []store.Receipt
		want    string // in the one finding; "" for none
		waiting bool
	}{
		{"as they were", func(r []store.Receipt) []store.Receipt { return r }, "", false},
		{"another H-ID", func(r []store.Receipt) []store.Receipt { r[3].ID[5] ^= 1; return r }, "the receipt names H-ID", false},
		{"another block", func(r []store.Receipt) []store.Receipt { r[3].Block++; return r }, "the receipt names H-ID", false},
		{"another transaction", func(r []store.Receipt) []store.Receipt { r[3].Index++; return r }, "the receipt names H-ID", false},
		{"one is missing", func(r []store.Receipt) []store.Receipt { return slices.Delete(r, 3, 4) }, "the receipt is missing", false},
		{"the newest block's are missing", func(r []store.Receipt) []store.Receipt {
			newest := slices.MaxFunc(r, func(a, b store.Receipt) int { return int(a.Block) - int(b.Block) }).Block
			return slices.DeleteFunc(r, func(r store.Receipt) bool { return r.Block == newest })
		}, "", true},
	} {
		dir, _ := finished(t)
		var changed store.Receipt
		withReceipts(t, dir, func(r []store.Receipt) []store.Receipt {
			changed = r[3]
			return c.change(r)
		})
		a, err := VerifyState(t.Context(), dir, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c.want == "" && len(a.Findings) != 0, c.want != "" && len(a.Findings) != 1:
			t.Errorf("%s: found %q", c.name, a.Findings)
		case c.want != "" && (!strings.Contains(a.Findings[0], c.want) || !strings.Contains(a.Findings[0], changed.Device.String())):
			t.Errorf("%s: found %q, want %q of %s", c.name, a.Findings[0], c.want, changed.Device)
		}
		if (a.Unreceipted > 0) != c.waiting {
			t.Errorf("%s: %d receipts are to come", c.name, a.Unreceipted)
		}
	}
}

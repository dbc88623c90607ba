package gateway

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/feature"
	"bellwether/internal/monitor"
	"bellwether/internal/store"
	"bellwether/internal/trust"
	"bellwether/internal/zone"
)

// Entry is one transaction of the ledger, for people.
type Entry struct {
	Block     uint64    `json:"block"`
	BlockHash zone.Hash `json:"block_hash"`
	BlockTime string    `json:"block_time"`
	Index     int       `json:"index"`
	ID        zone.HID  `json:"h_id"`
	Kind      string    `json:"kind"`
	Device    string    `json:"device"` // empty: the zone itself, its roll of members, or Member
	Member    string    `json:"member,omitempty"`
	Time      string    `json:"time"`
	N         uint64    `json:"n"`
	Says      string    `json:"says"`
	Body      any       `json:"body"`
}

// Entries gives the ledger's transactions from a block on.
func (s *State) Entries(ctx context.Context, from uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for tx, err := range monitor.Transactions(ctx, s.Ledger, from) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			b := &tx.Block.Header
			e := Entry{Block: tx.At.Block, BlockHash: b.Hash(), BlockTime: b.Time.String(), Index: int(tx.At.Index), ID: tx.ID,
				Kind: tx.Kind.String(), Member: string(tx.Member), Time: tx.Time.String(), N: tx.N, Says: says(tx.Body), Body: tx.Body}
			if tx.Device != (zone.MAC{}) {
				e.Device = tx.Device.String()
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// says puts a transaction's body in words.
func says(body contract.Body) string {
	switch b := body.(type) {
	case *contract.ZoneCreated:
		return fmt.Sprintf("zone %q for %s", b.Name, b.UseCase)
	case *contract.DeviceSeen:
		return fmt.Sprintf("%q joined", b.Name)
	case *contract.DeviceRenamed:
		return fmt.Sprintf("is called %q", b.Name)
	case *contract.ModelAccepted:
		return fmt.Sprintf("learned from %d snapshots, SEQ %d to %d; threshold %.4g (%s), window %d", b.Rows, b.First, b.Last, b.Threshold, b.Rule, b.Window)
	case *contract.SegmentRecorded:
		return fmt.Sprintf("SEQ %d to %d: %d normal, %d malicious, %d unjudged; root %s", b.First, b.Last, b.Normal, b.Malicious, b.Unjudged, b.Root.Short())
	case *contract.VerdictChanged:
		return fmt.Sprintf("%s → %s (%s), score %.4g, threshold %.4g, SEQ %d to %d", b.From, b.To, b.Reason, b.Score, b.Threshold, b.First, b.Last)
	case *contract.OperatorAction:
		if b.Until != 0 {
			return fmt.Sprintf("%s until %s %s", b.Action, b.Until, b.Note)
		}
		return b.Action + " " + b.Note
	}
	return saysOfMembers(body)
}

// saysOfMembers puts what members say, and what is said of them, in words.
func saysOfMembers(body contract.Body) string {
	switch b := body.(type) {
	case *contract.Associated:
		t, _, err := contract.ParseTicket(b.Ticket)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("associated as %s with ticket %d, for epoch %d and blocks up to %d", t.Role, t.Serial, t.Epoch, t.Until)
	case *contract.Message:
		about := ""
		switch {
		case b.Op.OnData():
			about = fmt.Sprintf(" %q of", b.Object)
		case b.Op == contract.OpReply:
			about = " to " + b.Ref.Short() + " of"
		default:
			about = " to"
		}
		sealed := ""
		if b.Sealed {
			sealed = ", sealed"
		}
		return fmt.Sprintf("%s%s %s, %d bytes%s", b.Op, about, b.To, b.Size, sealed)
	case *contract.MemberAction:
		return strings.TrimSpace(fmt.Sprintf("%s %s %s", b.Action, b.Member, b.Note))
	case *contract.EpochBegun:
		return strings.TrimSpace(fmt.Sprintf("epoch %d %s", b.Epoch, b.Note))
	case *contract.PolicySet:
		return strings.TrimSpace(fmt.Sprintf("policy of %d bytes %s", len(b.Text), b.Note))
	case *contract.NetworkPolicySet:
		if b.Digest == (zone.Hash{}) {
			return strings.TrimSpace("no network policy " + b.Note)
		}
		return strings.TrimSpace(fmt.Sprintf("network policy %s %s", b.Digest.Short(), b.Note))
	}
	return ""
}

// Raised names the alerts that the ledger has verdicts for, oldest first.
func (s *State) Raised(ctx context.Context) ([]zone.Hash, error) {
	var out []zone.Hash
	for e, err := range s.Entries(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if v, ok := e.Body.(*contract.VerdictChanged); ok && v.To == zone.StateMalicious {
			out = append(out, v.Alert)
		}
	}
	return out, nil
}

// Trust folds the ledger into the zone's trust at a moment; 0 is the newest
// entry's time. threshold 0 is the use case's preset.
func (s *State) Trust(ctx context.Context, at zone.Time, threshold float64) (trust.Zone, error) {
	fold, err := foldTrust(ctx, s.Ledger)
	if err != nil {
		return trust.Zone{}, err
	}
	return fold.At(max(at, fold.Newest()), threshold), nil
}

// Export says which snapshots to write, and how.
type Export struct {
	From, To zone.SeqID // 0: the oldest kept, the newest
	Device   zone.MAC   // zero: all
	Format   string     // csv, jsonl or parquet
}

// Export writes stored snapshots.
func (s *State) Export(ctx context.Context, w io.Writer, x Export) error {
	if last := s.Store.Last(); x.From > last || x.To > last {
		return fmt.Errorf("SEQ %d to %d: the store ends with SEQ %d", x.From, x.To, last)
	}
	_, err := store.Export(w, s.Store.Rows(ctx, x.From, x.To, x.Device), feature.Names(), x.Format)
	return err
}

// Decision is what an operator decides about a device.
type Decision struct {
	Action string        `json:"action"` // relearn, silence, unsilence, rename or network
	For    time.Duration `json:"for"`
	Note   string        `json:"note"`
	Name   string        `json:"name"`
	Now    zone.Time     `json:"-"`

	Network zone.Hash `json:"network,omitzero"` // of a MUD file; zeros: none any more
}

// actionNetwork gives a device another network policy.
const actionNetwork = "network"

// Decide records an operator's decision about a device or, with a zero address,
// the zone on the ledger; it is durable on return.
func (s *State) Decide(ctx context.Context, mac zone.MAC, d Decision) (zone.HID, error) {
	if err := s.runs.unfinished(); err != nil {
		return zone.HID{}, err
	}
	n, err := s.newest(mac)
	if err != nil {
		return zone.HID{}, err
	}
	return s.submit(ctx, contract.Tx{Zone: s.Zone.ID, Time: d.Now, Device: mac, N: n + 1, Body: d.body()})
}

// submit signs a transaction and makes it durable on the ledger.
func (s *State) submit(ctx context.Context, tx contract.Tx) (zone.HID, error) {
	raw, err := tx.Sign(s.Key)
	if err != nil {
		return zone.HID{}, err
	}
	if err := s.Ledger.Submit(ctx, raw); err != nil {
		return zone.HID{}, err
	}
	if err := s.Ledger.Commit(ctx); err != nil {
		return zone.HID{}, err
	}
	return contract.ID(raw)
}

// newest is the number of the newest transaction about a device or the zone.
func (s *State) newest(mac zone.MAC) (uint64, error) {
	world := s.Ledger.State()
	if mac == (zone.MAC{}) {
		z, _, err := contract.ReadZone(world)
		return z.N, err
	}
	dev, ok, err := contract.ReadDevice(world, mac)
	if err == nil && !ok {
		err = fmt.Errorf("%s is not a device of zone %s", mac, s.Zone.Name)
	}
	return dev.N, err
}

func (d Decision) body() contract.Body {
	switch d.Action {
	case actionNetwork:
		return &contract.NetworkPolicySet{Digest: d.Network, Note: d.Note}
	case "rename":
		return &contract.DeviceRenamed{Name: d.Name}
	case contract.ActionSilence:
		return &contract.OperatorAction{Action: d.Action, Until: d.Now.Add(d.For), Note: d.Note}
	}
	return &contract.OperatorAction{Action: d.Action, Note: d.Note}
}

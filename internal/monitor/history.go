package monitor

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// History is what the ledger says of a device's models and alarms.
type History struct {
	Device zone.MAC
	// Models are those that the device had since it joined or was last sent back
	// to learning, but for those that were rolled back: the anchor first, the
	// one in force last. None while it learns.
	Models []contract.ModelAccepted
	alarms []interval
	back   zone.Time // when a model was rolled back and none was learned since; 0: not
}

// heldFor is how long after a rollback no shadow takes over by rule.
const heldFor = 7 * 24 * time.Hour

type interval struct{ from, to zone.Time }

// ReadHistory reads the whole ledger for it.
func ReadHistory(ctx context.Context, l ledger.Ledger, mac zone.MAC) (*History, error) {
	h := &History{Device: mac}
	for tx, err := range Records(ctx, l, 0) {
		if err != nil {
			return nil, err
		}
		if tx.Device == mac {
			h.apply(&tx.Tx)
		}
	}
	return h, nil
}

func (h *History) apply(tx *contract.Tx) {
	switch b := tx.Body.(type) {
	case *contract.ModelAccepted:
		h.back = 0
		again := func(m contract.ModelAccepted) bool { return m.Digest == b.Digest }
		if i := slices.IndexFunc(h.Models, again); i >= 0 {
			h.Models, h.back = h.Models[:i], tx.Time
		}
		h.Models = append(h.Models, *b)
	case *contract.VerdictChanged:
		if b.To == zone.StateMalicious {
			h.alarms = append(h.alarms, interval{b.Since, math.MaxInt64})
		} else {
			h.closeAlarm(tx.Time)
		}
	case *contract.OperatorAction:
		if b.Action == contract.ActionRelearn {
			h.Models, h.back = nil, 0
			h.closeAlarm(tx.Time)
		}
	}
}

// closeAlarm ends the newest alarm if it lasts.
func (h *History) closeAlarm(at zone.Time) {
	if n := len(h.alarms); n > 0 {
		h.alarms[n-1].to = min(h.alarms[n-1].to, at)
	}
}

// Former is the model that the one in force took the place of.
func (h *History) Former() (contract.ModelAccepted, error) {
	if len(h.Models) < 2 {
		return contract.ModelAccepted{}, fmt.Errorf("%s has no former model: %d in force since it joined or learned anew", h.Device, len(h.Models))
	}
	return h.Models[len(h.Models)-2], nil
}

// held says that the operator went back to a former model less than heldFor before
// now: what was taken back is not to come again by itself.
func (h *History) held(now zone.Time) error {
	if h.back == 0 || now.Sub(h.back) >= heldFor {
		return nil
	}
	return fmt.Errorf("the model was rolled back at %s: nothing takes over by itself before %s, unless `bellwether device adapt %s` is given", h.back, h.back.Add(heldFor), h.Device)
}

// alarmed reports a moment that is near one at which the device was malicious.
func (h *History) alarmed(at zone.Time, near time.Duration) bool {
	return slices.ContainsFunc(h.alarms, func(x interval) bool {
		return at.Sub(x.from) >= -near && (x.to == math.MaxInt64 || at.Sub(x.to) <= near)
	})
}

package monitor

import (
	"context"
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

// ErrNoDevice says that a decision is about no device of the zone.
var ErrNoDevice = errors.New("it is not a device of the zone")

// Decide takes an operator's decision about a device or, with a zero address,
// the zone: it goes on the ledger,
// is durable on return, and holds from now on.
func (m *Monitor) Decide(ctx context.Context, mac zone.MAC, at zone.Time, body contract.Body) (zone.HID, error) {
	if err := m.Flush(ctx); err != nil {
		return zone.HID{}, err
	}
	d := m.known(mac)
	if mac == (zone.MAC{}) {
		d = m.itself
	} else if d == nil || d.state == zone.StateUnseen {
		return zone.HID{}, fmt.Errorf("%s: %w", mac, ErrNoDevice)
	}
	if err := m.record.submit(ctx, d, at, body); err != nil {
		return zone.HID{}, err
	}
	switch b := body.(type) {
	case *contract.DeviceRenamed:
		d.name = b.Name
	case *contract.OperatorAction:
		if b.Action == contract.ActionRelearn {
			m.sources.release(d)
			d.forget(at)
			if err := m.giveUp(d, "was sent back to learning"); err != nil {
				return m.record.newest, err
			}
		}
	}
	return m.record.newest, m.record.commit(ctx)
}

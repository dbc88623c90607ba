package monitor

import (
	"cmp"
	"slices"

	"bellwether/internal/zone"
)

// admit gives a sender that has no place among the devices one, nil if it gets
// none. Devices that the operator listed or named always get one. Of the others
// at most Options.MaxDevices have; when that many do, one that sent MinSnapshots
// packets takes the place of a phantom, and is none itself: no more devices are
// evicted than there are places.
func (m *Monitor) admit(mac zone.MAC) *device {
	d := m.evicted[mac]
	if d == nil {
		d = &device{mac: mac, name: m.p.Roster.Name(mac)}
	}
	if len(m.devices) >= m.o.MaxDevices && !m.p.Roster.Known(mac) {
		if m.waiting.count(mac)%MinSnapshots != 0 || !m.evict() {
			m.drops.OverMaxDevices++
			return nil
		}
		d.sent += MinSnapshots
		m.waiting.forget(mac)
		m.drops.EvictedDevices++
	}
	delete(m.evicted, mac)
	m.devices[mac] = d
	return d
}

// evict takes the place of the phantom that has been silent for longest. The
// ledger has it for good; should it send again, it goes on where it was.
func (m *Monitor) evict() bool {
	var worst *device
	for _, d := range m.devices {
		if m.phantom(d) && (worst == nil || d.silentLonger(worst)) {
			worst = d
		}
	}
	if worst == nil {
		return false
	}
	delete(m.devices, worst.mac)
	m.evicted[worst.mac] = worst
	return true
}

func (d *device) silentLonger(than *device) bool {
	return cmp.Or(cmp.Compare(d.newest, than.newest), slices.Compare(d.mac[:], than.mac[:])) < 0
}

// phantom reports a device that may never have been there: it has sent less
// than can be learned from, as when somebody makes up addresses.
func (m *Monitor) phantom(d *device) bool {
	return d.model == nil && d.sent < MinSnapshots && !m.p.Roster.Known(d.mac)
}

// known is the device with this address, also one that was evicted; nil if there is none.
func (m *Monitor) known(mac zone.MAC) *device {
	if d := m.devices[mac]; d != nil {
		return d
	}
	return m.evicted[mac]
}

// waiting counts the packets of senders without a place, of the last so many
// senders that came.
type waiting struct {
	ring []waiter
	at   map[zone.MAC]int // in ring
	next int              // the next slot that is used anew
}

type waiter struct {
	mac     zone.MAC
	packets int
}

func newWaiting(n int) waiting { return waiting{make([]waiter, n), map[zone.MAC]int{}, 0} }

// count takes note of a packet and gives the sender's number of them.
func (w *waiting) count(mac zone.MAC) int {
	i, ok := w.at[mac]
	if !ok {
		i = w.next
		w.next = (w.next + 1) % len(w.ring)
		w.forget(w.ring[i].mac)
		w.ring[i], w.at[mac] = waiter{mac: mac}, i
	}
	w.ring[i].packets++
	return w.ring[i].packets
}

func (w *waiting) forget(mac zone.MAC) {
	if i, ok := w.at[mac]; ok {
		w.ring[i] = waiter{}
		delete(w.at, mac)
	}
}

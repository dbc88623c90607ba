package monitor

import (
	"fmt"
	"net/netip"
	"slices"

	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// LeasesKind marks the journal of DHCP leases.
const LeasesKind = "leases"

// maxLeases bounds what forged DHCP answers can make the monitor remember.
const maxLeases = 4096

// Lease is an IPv4 address that a DHCP server gave to a device.
type Lease struct {
	MAC  zone.MAC
	Addr netip.Addr
}

// leaseBytes is the length of a lease's record: MAC address, IPv4 address.
const leaseBytes = 6 + 4

func (l Lease) append(b []byte) []byte {
	a := l.Addr.As4()
	return append(append(b, l.MAC[:]...), a[:]...)
}

// ParseLease reads a lease's record, and nothing else.
func ParseLease(b []byte) (Lease, error) {
	if len(b) != leaseBytes {
		return Lease{}, fmt.Errorf("lease record of %d bytes: want %d", len(b), leaseBytes)
	}
	l := Lease{zone.MAC(b[:6]), netip.AddrFrom4([4]byte(b[6:]))}
	if l.Addr.IsUnspecified() {
		return Lease{}, fmt.Errorf("lease record of %s without an address", l.MAC)
	}
	return l, nil
}

// Leases keeps on disk which addresses a zone's DHCP servers gave away, so that
// a device may still use them after a restart. Each is kept once, at most 4,096
// of them, in the order in which they were first given.
type Leases struct {
	journal *journal.Journal
	known   map[Lease]bool
	all     []Lease // the last waiting ones are not on disk yet
	waiting int
}

// OpenLeases opens the journal of leases, or makes an empty one.
func OpenLeases(path string) (*Leases, error) {
	s := &Leases{known: map[Lease]bool{}}
	j, err := journal.Open(path, LeasesKind, func(rec int, payload []byte) error {
		l, err := ParseLease(payload)
		if err == nil && rec >= maxLeases {
			err = fmt.Errorf("more than %d leases", maxLeases)
		}
		if err != nil {
			return fmt.Errorf("%s, record %d: %w", path, rec, err)
		}
		s.note(l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.journal = j
	return s, nil
}

func (s *Leases) note(l Lease) {
	s.known[l] = true
	s.all = append(s.all, l)
}

// Len is the number of leases, also of those that wait for Sync.
func (s *Leases) Len() int { return len(s.all) }

// First gives the n oldest leases.
func (s *Leases) First(n int) []Lease { return slices.Clone(s.all[:min(n, len(s.all))]) }

// Add takes a lease, once; it is durable after the next Sync.
func (s *Leases) Add(l Lease) {
	if s.known[l] || len(s.all) >= maxLeases {
		return
	}
	s.note(l)
	s.waiting++
}

// Sync makes what was added durable.
func (s *Leases) Sync() error {
	if s.waiting == 0 {
		return nil
	}
	var records [][]byte
	for _, l := range s.all[len(s.all)-s.waiting:] {
		records = append(records, l.append(nil))
	}
	if err := s.journal.Append(records...); err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	s.waiting = 0
	return nil
}

// Close closes the journal. What was not synced is lost.
func (s *Leases) Close() error { return s.journal.Close() }

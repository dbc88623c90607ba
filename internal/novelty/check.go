package novelty

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// Check counts again, in the snapshots of a finding: all of a device's from the
// first to the last that counts for ReasonRate, the contacts alone for the
// others. It gives the count, or says why the snapshots do not show more than the
// limit. That no host answered is not to be seen in them.
func Check(p *detect.Profile, reason string, rows []zone.Snapshot) (int, error) {
	limit := LimitOf(p, reason, rows)
	switch {
	case limit == 0:
		return 0, fmt.Errorf("%q is no count that this device is judged by", reason)
	case len(rows) <= limit:
		return 0, fmt.Errorf("%d snapshots do not exceed the limit of %d", len(rows), limit)
	}
	span := ContactSpan
	switch reason {
	case zone.ReasonFlows, zone.ReasonPeer:
		span = FlowSpan
	case zone.ReasonBurst, zone.ReasonRate, zone.ReasonSilent:
		span = RateSpan
	}
	last := &rows[len(rows)-1]
	different := map[any]bool{}
	for i := range rows {
		s := &rows[i]
		if !within(s.Time, last.Time, span) {
			return 0, fmt.Errorf("SEQ %d is more than %s from the last", s.Seq, span)
		}
		if reason == zone.ReasonRate {
			different[i] = true
			continue
		}
		if err := checkContact(p, reason, s); err != nil {
			return 0, err
		}
		if v := ServiceOf(s); reason == zone.ReasonScan && v != ServiceOf(last) {
			return 0, fmt.Errorf("SEQ %d is %s, the last %s", s.Seq, v, ServiceOf(last))
		}
		if (reason == zone.ReasonSilent || reason == zone.ReasonPeer) && s.Dst != last.Dst {
			return 0, fmt.Errorf("SEQ %d is to %s, the last to %s", s.Seq, s.Dst, last.Dst)
		}
		different[counted(reason, s)] = true
	}
	if len(different) != len(rows) {
		return 0, errors.New("a host, service, flow or packet is counted twice")
	}
	return len(rows), nil
}

// counted is what a snapshot adds to the count of a reason.
func counted(reason string, s *zone.Snapshot) any {
	switch reason {
	case zone.ReasonHosts, zone.ReasonScan:
		return host(s.Dst)
	case zone.ReasonPorts:
		return ServiceOf(s)
	case zone.ReasonSilent:
		return s.Seq
	}
	if reason == zone.ReasonBurst {
		return socketOf(s)
	}
	return flowOf(s)
}

// used reports a service that the device used while it was learned.
func used(p *detect.Profile, v Service) bool {
	_, ok := p.Use(v.Proto, v.Port)
	return ok
}

// knownFor gives the hosts that are not counted for a reason.
func knownFor(p *detect.Profile, reason string) []netip.Addr {
	if reason == zone.ReasonPeer || reason == zone.ReasonSilent {
		return p.FirstKnown()
	}
	return p.Known
}

// strange reports a reason whose contacts are with hosts that the device did not
// know.
func strange(reason string) bool {
	switch reason {
	case zone.ReasonHosts, zone.ReasonScan, zone.ReasonPeer, zone.ReasonSilent:
		return true
	}
	return false
}

// checkContact says why a snapshot is no contact that was new to the device.
func checkContact(p *detect.Profile, reason string, s *zone.Snapshot) error {
	turns := Opens(s)
	if reason == zone.ReasonSilent {
		turns = provokes(s)
	}
	if !turns || s.SrcMAC != s.Device {
		return fmt.Errorf("SEQ %d does not turn to a host", s.Seq)
	}
	v := ServiceOf(s)
	switch {
	case strange(reason) && slices.Contains(knownFor(p, reason), s.Dst):
		return fmt.Errorf("SEQ %d is to %s, which the device knew", s.Seq, s.Dst)
	case reason == zone.ReasonPorts && used(p, v):
		return fmt.Errorf("SEQ %d is %s, which the device used", s.Seq, v)
	case reason == zone.ReasonPorts && !v.countable(), (reason == zone.ReasonFlows || reason == zone.ReasonBurst) && !v.flows(), reason == zone.ReasonPeer && v.Proto != protoTCP:
		return fmt.Errorf("SEQ %d is %s, which does not count", s.Seq, v)
	}
	return nil
}

package proof

import (
	"fmt"
	"net/netip"
	"slices"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/monitor"
	"bellwether/internal/zone"
)

// sparse reports evidence that is not every snapshot of its range, but the
// contacts that were counted: leaving one out only weakens it.
func (c *checker) sparse() bool {
	switch c.verdict.Reason {
	case zone.ReasonHosts, zone.ReasonScan, zone.ReasonPorts, zone.ReasonFlows, zone.ReasonPeer, zone.ReasonBurst, zone.ReasonSilent:
		return true
	}
	return false
}

// checkSegments checks that the rows are the device's snapshots from the
// verdict's first to its last: the complete run, unless the evidence is sparse.
func (c *checker) checkSegments() (string, error) {
	numbers := map[uint64]bool{}
	for i := range c.b.Segments {
		n, err := c.checkSegment(i)
		if err != nil {
			return "", err
		}
		numbers[n] = true
	}
	if len(c.rows) == 0 {
		return "", failf("segments", "there are none")
	}
	first, last := c.rows[0].Seq, c.rows[len(c.rows)-1].Seq
	if first != c.verdict.First {
		return "", failf("segments[0].rows", "they begin with SEQ %d, the verdict says %d", first, c.verdict.First)
	}
	if last != c.verdict.Last {
		return "", failf(fmt.Sprintf("segments[%d].rows", len(c.b.Segments)-1), "they end with SEQ %d, the verdict says %d", last, c.verdict.Last)
	}
	if c.sparse() {
		if len(c.b.Between) > 0 {
			return "", failf("between[0]", "evidence of this kind needs none")
		}
		if err := c.checkContacts("segments", c.rows, 0, ^zone.SeqID(0)); err != nil {
			return "", err
		}
		return fmt.Sprintf("%d snapshots, SEQ %d to %d, are what the ledger has hashes of", len(c.rows), first, last), nil
	}
	if err := c.checkBetween(numbers); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d snapshots, SEQ %d to %d, are all that the ledger has hashes of", len(c.rows), first, last), nil
}

// checkContacts checks that the rows of a field are the contacts that the alert
// names from one SEQ-ID to another. It blames the alert's list only if the
// verdict is about another alert.
func (c *checker) checkContacts(field string, rows []zone.Snapshot, from, to zone.SeqID) error {
	var named []zone.SeqID
	for _, seq := range c.b.Alert.Contacts {
		if from <= seq && seq <= to {
			named = append(named, seq)
		}
	}
	if slices.EqualFunc(named, rows, func(seq zone.SeqID, s zone.Snapshot) bool { return seq == s.Seq }) {
		return nil
	}
	if digest, err := c.b.Alert.Digest(); err != nil || digest != c.verdict.Alert {
		return failf("alert.contacts", "it does not name the rows that are there")
	}
	return failf(field, "they are not the contacts that the alert names")
}

// checkSegment checks one segment's transaction and rows, and gives the
// transaction's number.
func (c *checker) checkSegment(i int) (uint64, error) {
	field := fmt.Sprintf("segments[%d]", i)
	seg := &c.b.Segments[i]
	s, err := c.entry(field+".recorded", &seg.Recorded)
	if err != nil {
		return 0, err
	}
	body, ok := s.Tx.Body.(*contract.SegmentRecorded)
	switch {
	case !ok || s.Tx.Device != c.vtx.Device:
		return 0, failf(field+".recorded.tx", "it records no segment of %s", c.vtx.Device)
	case len(seg.Rows) == 0:
		return 0, failf(field+".rows", "there are none")
	case i > 0 && body.First <= c.rows[len(c.rows)-1].Seq:
		return 0, failf(field, "it does not follow on the one before")
	}
	for k := range seg.Rows {
		if err := c.checkRow(fmt.Sprintf("%s.rows[%d]", field, k), seg, k, body); err != nil {
			return 0, err
		}
	}
	switch {
	case c.sparse():
		err = c.checkContacts(field+".rows", c.rows[len(c.rows)-len(seg.Rows):], body.First, body.Last)
	case i > 0 && seg.Rows[0].Index != 0:
		return 0, failf(field+".rows", "those at the segment's beginning are missing")
	case i < len(c.b.Segments)-1 && seg.Rows[len(seg.Rows)-1].Index != body.Rows-1:
		return 0, failf(field+".rows", "those at the segment's end are missing")
	}
	return s.Tx.N, err
}

func (c *checker) checkRow(field string, seg *Segment, k int, body *contract.SegmentRecorded) error {
	r := &seg.Rows[k]
	s := &r.Snapshot
	switch {
	case k > 0 && !c.sparse() && r.Index != seg.Rows[k-1].Index+1:
		return failf(field+".index", "it does not follow on the row before")
	case !plain(s.Src):
		return failf(field+".snapshot.src", "%s is not in the form that is hashed", s.Src)
	case !plain(s.Dst):
		return failf(field+".snapshot.dst", "%s is not in the form that is hashed", s.Dst)
	}
	path := make([][]byte, len(r.Path))
	for i := range r.Path {
		path[i] = r.Path[i][:]
	}
	if err := ledger.VerifyInclusion(body.Root, r.Index, body.Rows, s.LeafHash(), path); err != nil {
		if misplaced(body.Root, body.Rows, s.LeafHash(), path) {
			return failf(field+".index", "SEQ %d is not at this index: %v", s.Seq, err)
		}
		return failf(field, "snapshot and path do not lead to the hash that the ledger has: %v", err)
	}
	switch {
	case s.Device != c.vtx.Device:
		return failf(field+".snapshot.device", "it is a row of %s", s.Device)
	case s.Seq < body.First || s.Seq > body.Last || k > 0 && s.Seq <= seg.Rows[k-1].Snapshot.Seq:
		return failf(field+".snapshot.seq", "SEQ %d is out of order in a segment from %d to %d", s.Seq, body.First, body.Last)
	}
	c.rows = append(c.rows, *s)
	c.fields = append(c.fields, field+".snapshot")
	return nil
}

// plain reports an address that has one form in text and hash: no IPv4 address
// in an IPv6 one, no scope.
func plain(a netip.Addr) bool { return !a.Is4In6() && a.Zone() == "" }

// checkBetween checks that the device's transactions from the first segment to
// the last are all there: numbers are those of the segments. What is between
// may be anything but a segment.
func (c *checker) checkBetween(numbers map[uint64]bool) error {
	low, high := ^uint64(0), uint64(0)
	for n := range numbers {
		low, high = min(low, n), max(high, n)
	}
	for i := range c.b.Between {
		field := fmt.Sprintf("between[%d]", i)
		s, err := c.entry(field, &c.b.Between[i])
		if err != nil {
			return err
		}
		_, segment := s.Tx.Body.(*contract.SegmentRecorded)
		switch n := s.Tx.N; {
		case s.Tx.Device != c.vtx.Device || segment:
			return failf(field+".tx", "it is %s of %s: a segment, or of another device", s.Tx.Kind, s.Tx.Device)
		case n < low || n > high || numbers[n]:
			return failf(field, "transaction %d has no place between those of the segments", n)
		}
		numbers[s.Tx.N] = true
	}
	for n := low; n < high; n++ {
		if !numbers[n] {
			return failf("segments or between", "transaction %d of the device is missing: it may be a segment", n)
		}
	}
	return nil
}

// foreign reports a snapshot whose source the device did not have while learning.
func (c *checker) foreign(s *zone.Snapshot) bool {
	return s.SrcMAC != s.Device || monitor.Bindable(s.Src) && !c.model.Profile.Owns(s.Src)
}

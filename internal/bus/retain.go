package bus

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"bellwether/internal/durable"
	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// What is kept of payloads. By age, a segment goes as a whole. By size, whoever has
// most in the store loses its oldest, down to where others have as much, and nobody
// who has less loses anything: so nobody's flood takes what another one sent.
//
// Room is made when all but one part in roomParts is used, until twice that is free:
// one segment after the other is written anew without what has to go. For every byte
// that comes meanwhile roomParts bytes of segments are gone through, so that it is
// done before the rest is used up, and whoever floods waits.
const roomParts = 8

// sender is who has payloads in the store.
type sender struct {
	name   zone.MemberID
	bytes  int64
	excess int64 // of them that have to go
}

// share is what a segment has of one sender, with what the journal adds.
type share struct{ records, bytes uint32 }

// count counts something of a sender into a segment.
func (p *payloads) count(s *segment, name zone.MemberID, more share) {
	from := p.senders[name]
	if from == nil {
		from = &sender{name: name}
		p.senders[name] = from
	}
	has := s.tally[from]
	s.tally[from] = share{has.records + more.records, has.bytes + more.bytes}
	s.records += int(more.records)
	from.bytes += int64(more.bytes)
}

// uncount takes away all that a segment has.
func (p *payloads) uncount(s *segment) {
	for from, has := range s.tally {
		if from.bytes -= int64(has.bytes); from.bytes == 0 {
			delete(p.senders, from.name)
		}
	}
	p.bytes -= s.bytes
}

// countAll counts what is there: a head says it of its own segment or the one
// before, else it is read.
func (p *payloads) countAll() error {
	for i, s := range p.segments {
		list := s.head.Own
		if i+1 < len(p.segments) && len(list) == 0 && p.segments[i+1].number == s.through()+1 {
			list = p.segments[i+1].head.Before
		}
		p.bytes += s.bytes
		for _, t := range list {
			p.count(s, t.From, share{t.Records, t.Bytes})
		}
		if len(list) > 0 {
			continue
		}
		err := p.survivors(s, func(one stored, raw []byte) {
			p.count(s, one.from, share{1, uint32(len(raw) + journal.Overhead)})
			p.next = max(p.next, one.seq+1)
		})
		if err != nil {
			return err
		}
	}
	if n := len(p.segments); n > 0 {
		last := p.segments[n-1]
		p.next = max(p.next, last.head.Base+zone.SeqID(last.records))
	}
	return nil
}

func listed(tally map[*sender]share) []tallied {
	list := []tallied{}
	for from, has := range tally {
		list = append(list, tallied{From: from.name, Records: has.records, Bytes: has.bytes})
	}
	slices.SortFunc(list, func(a, b tallied) int { return cmp.Compare(a.From, b.From) })
	return list
}

// survivors gives what can be read of a segment.
func (p *payloads) survivors(s *segment, yield func(one stored, raw []byte)) error {
	for rec, err := range journal.Scan(p.path(s), payloadKind) {
		damage, torn := (*journal.DamageError)(nil), (*journal.TornError)(nil)
		one := stored{}
		switch {
		case errors.As(err, &torn):
			return nil
		case errors.As(err, &damage):
		case err != nil:
			return err
		case rec.Number == 0:
			continue
		default:
			one, err = parseStored(rec.Payload)
		}
		if err != nil {
			p.tell(s, err)
			continue
		}
		yield(one, rec.Payload)
	}
	return nil
}

// expire removes the segments that are too old. How old one is that was begun before
// the clock was set, that clock cannot say: it goes with those that came behind it.
func (p *payloads) expire(now zone.Time) error {
	n := 0
	for i := 1; p.keep > 0 && i < len(p.segments); i++ {
		begun := p.segments[i].head.Begun
		if known := begun >= clockSet || now < clockSet; known && now.Sub(begun) > p.keep {
			n = i
		}
	}
	return p.drop(0, n)
}

// drop removes the segments from lo on and before hi.
func (p *payloads) drop(lo, hi int) error {
	for _, s := range p.segments[lo:hi] {
		for from, has := range s.tally {
			from.excess -= int64(has.bytes)
		}
	}
	return p.replace(lo, hi, nil)
}

// replace puts one segment, or nothing, in the place of those from lo on and before
// hi. It is counted, and its file is there, under the number of their first.
func (p *payloads) replace(lo, hi int, by *segment) error {
	gone := slices.Clone(p.segments[lo:hi])
	dropped := 0
	for _, s := range gone {
		dropped += s.records
		p.uncount(s)
	}
	var errs []error
	p.mu.Lock()
	p.old.Lock()
	for _, s := range gone {
		s.into = by
		errs = append(errs, p.forget(s))
	}
	p.segments = slices.Delete(p.segments, lo, hi)
	if by != nil {
		dropped -= by.records
		p.segments = slices.Insert(p.segments, lo, by)
		gone = gone[1:] // whose file is by's now
	}
	p.dropped += int64(dropped)
	p.old.Unlock()
	p.mu.Unlock()
	for _, s := range gone {
		errs = append(errs, os.Remove(p.path(s)))
	}
	return errors.Join(errs...)
}

// makeRoom goes on with making room, as much as is due for so many bytes that come.
func (p *payloads) makeRoom(height uint64, now zone.Time, size int64) error {
	part := p.keepMax / roomParts
	if !p.making {
		if p.bytes <= p.keepMax-part {
			return nil
		}
		p.overdraw(p.bytes - p.keepMax + 2*part)
		p.making, p.work = true, 0
	}
	for p.work += roomParts * size; p.making && p.work > 0; {
		if err := p.cut(height, now); err != nil {
			return err
		}
	}
	return nil
}

// overdraw says what senders have to lose so that so many bytes become free: those
// with most of them, down to the same for each.
func (p *payloads) overdraw(free int64) {
	all := slices.SortedFunc(maps.Values(p.senders), func(a, b *sender) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.name, b.name))
	})
	sum := int64(0)
	for i, s := range all {
		sum += s.bytes
		level := max(0, sum-free) / int64(i+1)
		if i+1 < len(all) && level < all[i+1].bytes {
			continue
		}
		for j, s := range all {
			if s.excess = 0; j <= i {
				s.excess = s.bytes - level
			}
		}
		return
	}
}

// cut writes the oldest segment anew that has something to lose.
func (p *payloads) cut(height uint64, now zone.Time) error {
	at := slices.IndexFunc(p.segments, (*segment).loses)
	if at < 0 {
		p.making = false
		return nil
	}
	if at == len(p.segments)-1 {
		if _, err := p.begin(height, now); err != nil {
			return err
		}
	}
	lo, hi := p.around(at)
	if _, left := p.segments[at].remains(); left == 0 && hi-lo == 1 {
		return p.drop(lo, hi)
	}
	for _, s := range p.segments[lo:hi] {
		p.work -= s.bytes
	}
	return p.rewrite(lo, hi)
}

// loses reports a segment with something of a sender that has to lose some.
func (s *segment) loses() bool {
	for from := range s.tally {
		if from.excess > 0 {
			return true
		}
	}
	return false
}

// remains is what may be left of a segment, at most.
func (s *segment) remains() (bytes int64, records int) {
	bytes, records = s.bytes, s.records
	for from, has := range s.tally {
		if from.excess >= int64(has.bytes) {
			records -= int(has.records)
		}
		bytes -= max(0, min(from.excess, int64(has.bytes)))
	}
	return bytes, records
}

// around gives the segments, from lo on and before hi, that what remains of one can be
// merged with, so that there are never many small ones: all of it has to fit into
// one, by age too.
func (p *payloads) around(at int) (lo, hi int) {
	lo, hi = at, at+1
	bytes, left := p.segments[at].remains()
	records := left
	fits := func(more *segment, lo, hi int) bool {
		age := p.segments[hi].head.Begun.Sub(p.segments[lo].head.Begun)
		if bytes+more.bytes > p.full || records+more.records > segmentRecords || p.keep > 0 && age > p.keep/8 {
			return false
		}
		bytes, records = bytes+more.bytes, records+more.records
		return true
	}
	if at > 0 && fits(p.segments[at-1], at-1, hi) {
		lo--
	}
	if hi+1 < len(p.segments) && fits(p.segments[hi], lo, hi+1) {
		hi++
	}
	if left == 0 && hi-lo == 2 {
		return at, at + 1 // a neighbour alone needs no copy
	}
	return lo, hi
}

// rewrite writes the segments from lo on and before hi as one, without what has to
// go of them. A crash leaves them, or the one, and then perhaps some of them too,
// which the next start removes: its head says which.
func (p *payloads) rewrite(lo, hi int) error {
	first, last := p.segments[lo], p.segments[hi-1]
	by := &segment{number: first.number, head: first.head, tally: map[*sender]share{}}
	by.head.Through = last.through()
	kept := [][]byte{nil} // the head
	for _, s := range p.segments[lo:hi] {
		err := p.survivors(s, func(one stored, raw []byte) {
			size := uint32(len(raw) + journal.Overhead)
			if from := p.senders[one.from]; from != nil && from.excess > 0 {
				from.excess -= int64(size)
				return
			}
			kept = append(kept, raw)
			p.count(by, one.from, share{1, size})
		})
		if err != nil {
			return err
		}
	}
	if len(kept) == 1 {
		return p.replace(lo, hi, nil)
	}
	if by.head.Own = nil; hi < len(p.segments) { // nothing will be added
		by.head.Own = listed(by.tally)
	}
	kept[0] = by.head.bytes()
	j, err := renew(p.path(by), payloadKind, durable.SyncDir, func(j *journal.Journal) error {
		to := appender{journal: j}
		for _, raw := range kept {
			if err := to.add(raw); err != nil {
				return err
			}
		}
		return to.flush()
	})
	if j != nil {
		err = errors.Join(err, j.Close())
	}
	if err != nil {
		return fmt.Errorf("making room in %s: %w", p.path(by), err)
	}
	info, err := os.Stat(p.path(by))
	if err != nil {
		return err
	}
	by.bytes = info.Size()
	p.bytes += by.bytes
	return p.replace(lo, hi, by)
}

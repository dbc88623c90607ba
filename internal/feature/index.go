package feature

import "math/bits"

// index finds entry numbers by hash: open addressing with linear probing, at
// most half full. It is ready after the first reserve.
type index struct {
	slots []slot // as many as a power of two
}

// slot is one place of an index; entry 0 marks a free one.
type slot struct{ hash, entry uint32 }

const (
	minSlots  = 2 * slabLen
	slotBytes = 8
)

// slotsFor gives how many slots n entries need.
func slotsFor(n uint32) int { return max(minSlots, 1<<bits.Len32(2*n-1)) }

// indexBytes is the most memory that an index for n entries holds, which is
// while it moves from one size to the next.
func indexBytes(n uint32) int64 { return int64(slotsFor(n)) * slotBytes * 3 / 2 }

// reserve makes room for n entries in all.
func (x *index) reserve(n uint32) {
	if want := slotsFor(n); want > len(x.slots) {
		old := x.slots
		x.slots = make([]slot, want)
		for _, s := range old {
			if s.entry != 0 {
				x.insert(s.hash, s.entry)
			}
		}
	}
}

// insert adds an entry that is not there. There must be room.
func (x *index) insert(hash, entry uint32) {
	mask := uint32(len(x.slots) - 1)
	i := hash & mask
	for x.slots[i].entry != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = slot{hash, entry}
}

// remove takes out an entry that is there, and closes the gap: every later slot
// of the run that may stand in the gap moves into it.
func (x *index) remove(hash, entry uint32) {
	mask := uint32(len(x.slots) - 1)
	gap := hash & mask
	for x.slots[gap].entry != entry {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; x.slots[i].entry != 0; i = (i + 1) & mask {
		home := x.slots[i].hash & mask
		if (i-home)&mask >= (i-gap)&mask {
			x.slots[gap] = x.slots[i]
			gap = i
		}
	}
	x.slots[gap] = slot{}
}

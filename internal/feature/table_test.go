package feature

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTable holds a table against a list that keeps its keys by recency.
func TestTable(t *testing.T) {
	for _, limit := range []int{1, 2, 63, 64, 65, 300} {
		r := rand.New(rand.NewPCG(uint64(limit), 7))
		table := newTable[int32, int32](limit)
		var recent []int32 // newest last
		for i := range 20_000 {
			k := r.Int32N(int32(2*limit + 1))
			at := slices.Index(recent, k)
			v, fresh := table.touch(k)
			if fresh != (at < 0) {
				t.Fatalf("limit %d, step %d: key %d fresh is %t", limit, i, k, fresh)
			}
			switch {
			case fresh:
				*v = -k
			case *v != -k:
				t.Fatalf("limit %d, step %d: key %d has the value %d", limit, i, k, *v)
			}
			if at >= 0 {
				recent = slices.Delete(recent, at, at+1)
			}
			if recent = append(recent, k); len(recent) > limit {
				recent = recent[1:]
			}
		}
		if s := table.stats(); s.Live != limit || s.Limit != limit || s.Evicted == 0 {
			t.Errorf("limit %d: %+v", limit, s)
		}
	}
}

// TestIndexWrapsAround removes from runs that cross the end of the slots.
func TestIndexWrapsAround(t *testing.T) {
	const n = minSlots / 2
	for _, step := range []uint32{0, 1, 7} {
		var x index
		x.reserve(n)
		home := func(entry uint32) uint32 { return uint32(minSlots-5) + entry*step }
		for entry := uint32(1); entry <= n; entry++ {
			x.insert(home(entry), entry)
		}
		for entry := uint32(1); entry <= n; entry += 2 {
			x.remove(home(entry), entry)
		}
		for entry := uint32(1); entry <= n; entry++ {
			if got, want := indexHolds(&x, home(entry), entry), entry%2 == 0; got != want {
				t.Fatalf("step %d: entry %d is found: %t, want %t", step, entry, got, want)
			}
		}
	}
}

// indexHolds probes as a table does: from the hash's home to the first gap.
func indexHolds(x *index, hash, entry uint32) bool {
	mask := uint32(len(x.slots) - 1)
	for i := hash & mask; x.slots[i].entry != 0; i = (i + 1) & mask {
		if x.slots[i].entry == entry {
			return true
		}
	}
	return false
}

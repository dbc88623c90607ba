package feature

import (
	"hash/maphash"
	"unsafe"
)

// slabLen is the number of entries that a table allocates at once.
const slabLen = 64

// maxEntries is the most entries that a table takes, whatever its limit says.
const maxEntries = 1 << 26

// table maps keys to values in place and holds at most limit of them: a new key
// in a full table takes the entry that was touched longest ago. Which entry
// goes depends on the order of the calls alone; the random seed of the index
// decides only how fast a key is found, so that nobody can choose keys that
// collide.
//
// Entries are numbered from 1 and never move. Memory grows in slabs up to a
// bound that the limit fixes; a full table allocates nothing.
type table[K comparable, V any] struct {
	seed    maphash.Seed
	index   index
	slabs   []*slab[K, V]
	limit   uint32
	live    uint32
	evicted uint64
}

// slab holds neighbouring entries. The links stand apart from the entries:
// moving one entry to the front touches three others.
type slab[K comparable, V any] struct {
	links   [slabLen]links
	entries [slabLen]entry[K, V]
}

// links chain the entries in a ring by how recently they were touched. Entry 0
// is no entry but the ring's seam: its next is the newest, its previous the
// oldest.
type links struct{ next, previous uint32 }

type entry[K comparable, V any] struct {
	key   K
	value V
}

// newTable returns an empty table for at most limit entries.
func newTable[K comparable, V any](limit int) *table[K, V] {
	t := &table[K, V]{seed: maphash.MakeSeed(), limit: clampLimit(limit)}
	t.grow()
	return t
}

// touch finds or makes the value of a key and marks it as the newest. A fresh
// value holds whatever its entry held before. The pointer is good until the
// next call.
func (t *table[K, V]) touch(k K) (v *V, fresh bool) {
	hash := uint32(maphash.Comparable(t.seed, k))
	id := t.find(k, hash)
	if id != 0 {
		t.unlink(id)
	} else {
		id, fresh = t.claim(), true
		t.entry(id).key = k
		t.index.insert(hash, id)
	}
	t.linkNewest(id)
	return &t.entry(id).value, fresh
}

// find gives the number of the key's entry, or 0.
func (t *table[K, V]) find(k K, hash uint32) uint32 {
	slots := t.index.slots
	mask := uint32(len(slots) - 1)
	i := hash & mask
	for slots[i].entry != 0 && (slots[i].hash != hash || t.entry(slots[i].entry).key != k) {
		i = (i + 1) & mask
	}
	return slots[i].entry
}

// claim gives an entry that is neither linked nor indexed.
func (t *table[K, V]) claim() uint32 {
	if t.live < t.limit {
		t.live++
		t.grow()
		return t.live
	}
	id := t.links(0).previous
	t.unlink(id)
	t.index.remove(uint32(maphash.Comparable(t.seed, t.entry(id).key)), id)
	t.evicted++
	return id
}

// grow makes room for entry number t.live.
func (t *table[K, V]) grow() {
	if uint32(len(t.slabs))*slabLen <= t.live {
		t.slabs = append(t.slabs, new(slab[K, V]))
	}
	t.index.reserve(max(t.live, 1))
}

func (t *table[K, V]) entry(id uint32) *entry[K, V] {
	return &t.slabs[id/slabLen].entries[id%slabLen]
}

func (t *table[K, V]) links(id uint32) *links {
	return &t.slabs[id/slabLen].links[id%slabLen]
}

func (t *table[K, V]) unlink(id uint32) {
	l := t.links(id)
	t.links(l.next).previous = l.previous
	t.links(l.previous).next = l.next
}

func (t *table[K, V]) linkNewest(id uint32) {
	seam := t.links(0)
	*t.links(id) = links{next: seam.next}
	t.links(seam.next).previous = id
	seam.next = id
}

func (t *table[K, V]) stats() TableStats {
	return TableStats{Live: int(t.live), Limit: int(t.limit), Evicted: t.evicted}
}

// clampLimit gives how many entries a table with the limit really takes.
func clampLimit(limit int) uint32 { return uint32(min(max(limit, 1), maxEntries)) }

// tableBytes is the most memory that a table with the limit ever holds.
func tableBytes[K comparable, V any](limit int) int64 {
	n := clampLimit(limit)
	slabs := int64(n)/slabLen + 1
	directory := 3 * slabs * int64(unsafe.Sizeof(uintptr(0))) // while append copies
	return slabs*allocated(int64(unsafe.Sizeof(slab[K, V]{}))) + directory + indexBytes(n)
}

// allocated bounds what the Go allocator takes for an object: up to 32 KiB it
// wastes less than an eighth, beyond it rounds up to pages of 8 KiB.
func allocated(size int64) int64 {
	const small, page = 32 << 10, 8 << 10
	if size <= small {
		return size + size/8
	}
	return (size + page - 1) / page * page
}

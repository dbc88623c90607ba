package contract

import (
	"slices"
	"strings"
)

// World is a State in memory that keeps its keys in order, for who asks for the
// digest again and again: with thousands of members, sorting them is most of its
// cost. Its zero value is empty and ready. It is not safe for concurrent use.
type World struct {
	memory Memory
	keys   []string // sorted
}

var _ State = (*World)(nil)

// Get gives the value itself; the caller leaves it as it is.
func (w *World) Get(key string) ([]byte, error) { return w.memory.Get(key) }

// Put keeps a copy of value.
func (w *World) Put(key string, value []byte) error {
	if w.memory == nil {
		w.memory = Memory{}
	}
	at, there := slices.BinarySearch(w.keys, key)
	switch {
	case value == nil && there:
		w.keys = slices.Delete(w.keys, at, at+1)
	case value != nil && !there:
		w.keys = slices.Insert(w.keys, at, key)
	}
	return w.memory.Put(key, value)
}

// Keys gives those with the prefix, in order.
func (w *World) Keys(prefix string) ([]string, error) {
	from, _ := slices.BinarySearch(w.keys, prefix)
	to := from
	for to < len(w.keys) && strings.HasPrefix(w.keys[to], prefix) {
		to++
	}
	return slices.Clone(w.keys[from:to]), nil
}

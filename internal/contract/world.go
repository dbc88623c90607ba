package contract

import (
	"bytes"
	"slices"
	"strings"
)

// World is a State in memory that keeps its keys in order, for who asks for the
// digest again and again: with thousands of members, sorting them is most of its
// cost. Its zero value is empty and ready. It is not safe for concurrent use.
type World struct {
	byKey   map[string]*entry
	inOrder []*entry // by key
}

type entry struct {
	key   string
	value []byte
}

var _ State = (*World)(nil)

// Get gives the value itself; the caller leaves it as it is.
func (w *World) Get(key string) ([]byte, error) {
	if e := w.byKey[key]; e != nil {
		return e.value, nil
	}
	return nil, nil
}

// Put keeps a copy of value.
func (w *World) Put(key string, value []byte) error {
	e := w.byKey[key]
	switch {
	case e != nil && value != nil:
		e.value = bytes.Clone(value)
	case e != nil:
		at, _ := w.find(key)
		w.inOrder = slices.Delete(w.inOrder, at, at+1)
		delete(w.byKey, key)
	case value != nil:
		if w.byKey == nil {
			w.byKey = map[string]*entry{}
		}
		e = &entry{key, bytes.Clone(value)}
		at, _ := w.find(key)
		w.inOrder = slices.Insert(w.inOrder, at, e)
		w.byKey[key] = e
	}
	return nil
}

func (w *World) find(key string) (int, bool) {
	return slices.BinarySearchFunc(w.inOrder, key, func(e *entry, key string) int { return strings.Compare(e.key, key) })
}

// Keys gives those with the prefix, in order.
func (w *World) Keys(prefix string) ([]string, error) {
	from, _ := w.find(prefix)
	var keys []string
	for _, e := range w.inOrder[from:] {
		if !strings.HasPrefix(e.key, prefix) {
			break
		}
		keys = append(keys, e.key)
	}
	return keys, nil
}

// pairs calls f for every key in order.
func (w *World) pairs(f func(key string, value []byte)) {
	for _, e := range w.inOrder {
		f(e.key, e.value)
	}
}

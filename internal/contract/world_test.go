package contract

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestWorld: whatever is put and taken away, it is the State that Memory is.
func TestWorld(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w, m := &World{}, Memory{}
	for range 5000 {
		key := fmt.Sprintf("%c/%d", 'a'+rng.IntN(3), rng.IntN(200))
		var value []byte
		if rng.IntN(3) > 0 {
			value = []byte(fmt.Sprint(rng.IntN(1000)))
		}
		if err := w.Put(key, value); err != nil {
			t.Fatal(err)
		}
		m.Put(key, value)
	}
	for _, prefix := range []string{"", "a", "b/", "b/1", "c/199", "d", "\x00"} {
		got, _ := w.Keys(prefix)
		want, _ := m.Keys(prefix)
		if !slices.Equal(got, want) || len(want) == 0 && prefix < "d" && prefix != "\x00" {
			t.Errorf("%q: %d keys, want %d", prefix, len(got), len(want))
		}
		for _, key := range want {
			a, _ := w.Get(key)
			b, _ := m.Get(key)
			if !bytes.Equal(a, b) {
				t.Errorf("%s: %q, want %q", key, a, b)
			}
		}
	}
	a, err := Digest(w)
	b, _ := Digest(m)
	if err != nil || a != b {
		t.Errorf("digest %s, want %s (%v)", a.Short(), b.Short(), err)
	}
}

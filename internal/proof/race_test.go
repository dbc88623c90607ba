//go:build race

package proof

// sampled thins what is tried many times over: the race detector makes it
// fifteen times as slow, and there is one goroutine to look at.
const sampled = 16

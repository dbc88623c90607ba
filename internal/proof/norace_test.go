//go:build !race

package proof

// sampled is 1: every change is tried.
const sampled = 1

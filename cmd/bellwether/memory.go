package main

import (
	"os"
	"runtime/debug"

	"bellwether/internal/gateway"
)

// ownBytes are the pages of the program itself, which the garbage collector
// does not count.
const ownBytes = 32 << 20

// boundMemory has the garbage collector keep the program below what its
// configuration bounds it to. An operator's GOMEMLIMIT goes before.
func boundMemory(c gateway.Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(c.MemoryBound() - ownBytes)
	}
	if c.Members.Listen != "" && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // thousands of sessions are mostly buffers that stay
	}
}

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
}

//go:build !unix

package store

import "os"

// lockDir has no lock to offer on this system.
func lockDir(dir string) (*os.File, error) { return nil, nil }

//go:build unix

package follower

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// lockDir keeps any other follower from opening the directory until it is closed,
// which the end of the process does too.
func lockDir(dir string) (io.Closer, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("a follower is running on it: stop that one first")
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}

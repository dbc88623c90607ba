package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes the file's bytes and its length durable; unlike Sync it
// leaves out the times, which saves a write of the inode.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

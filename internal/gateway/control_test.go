package gateway

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The control socket is private without anything being done to it after it is
// there, whatever the umask.
func TestControlSocketIsPrivate(t *testing.T) {
	for _, mask := range []int{0, 0o022} {
		path := filepath.Join(t.TempDir(), socketFile)
		before := unix.Umask(mask)
		l, err := listenPrivately(t.Context(), path)
		unix.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("umask %03o: the socket's mode is %s", mask, info.Mode())
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

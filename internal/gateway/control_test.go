package gateway

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The control socket is private without anything being done to it after it is
// there, whatever the umask.
func TestControlSocketIsPrivate(t *testing.T) {
	for _, mask := range []int{0, 0o022} {
		dir := t.TempDir()
		before := unix.Umask(mask)
		l, err := listenPrivately(t.Context(), dir)
		unix.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(filepath.Join(dir, socketFile))
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

// TestLongStateDirectory: a gateway takes orders whose socket's path does not fit into
// an address, to the last byte that does and beyond it, and leaves no socket.
func TestLongStateDirectory(t *testing.T) {
	base := t.TempDir()
	for _, size := range []int{maxSocketPath - len("/"+socketFile), maxSocketPath - len(socketFile), 150, 400} {
		at := base
		for size-len(at) > 200 {
			at = filepath.Join(at, strings.Repeat("d", 150))
		}
		if size <= len(at)+1 {
			t.Logf("a directory for tests has %d bytes already", len(at))
			continue
		}
		dir := filepath.Join(at, strings.Repeat("d", size-len(at)-1))
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		s, _, err := FoundZone(t.Context(), dir, Identity{Name: "home", UseCase: "school", Created: homeStart})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		cmd, wait := locker{State: dir}.start(t)
		answers(t, dir)
		a, err := OrderMembers(t.Context(), dir, MemberOrder{Do: DoList})
		if err != nil || a.Hub == nil {
			t.Errorf("%d bytes: no answer of a running gateway: %v", len(dir), err)
		}
		if info, err := os.Lstat(filepath.Join(dir, socketFile)); err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("%d bytes: %v, %v", len(dir), info, err)
		}
		if err := errors.Join(cmd.Process.Signal(unix.SIGTERM), wait()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, socketFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d bytes: the socket stayed: %v", len(dir), err)
		}
		verifies(t, dir)
	}
}

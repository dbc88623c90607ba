package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSocketPath is how many bytes the path in a socket's address has: 107 on Linux
// (unix(7)), behind which a zero stands.
const maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// errLongPath says that nothing leads to the control socket.
var errLongPath = errors.New("the state directory's path is too long for its control socket")

// atSocket uses a path to the control socket of a state directory that fits into an
// address. To one that does not fit a shorter one leads, through the open directory.
func atSocket(dir string, use func(path string) error) error {
	path := filepath.Join(dir, socketFile)
	if len(path) <= maxSocketPath {
		return use(path)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	short := fmt.Sprintf("/proc/self/fd/%d", d.Fd())
	if _, err := os.Stat(short); err != nil {
		return fmt.Errorf("%w: %s has %d bytes, and without /proc at most %d are possible; give another --state (%w)", errLongPath, path, len(path), maxSocketPath, err)
	}
	return use(short + "/" + socketFile)
}

// dial connects to the gateway that runs on a state directory, if one does.
func dial(dir string) (conn net.Conn, err error) {
	err = atSocket(dir, func(path string) error {
		conn, err = net.Dial("unix", path)
		return err
	})
	return conn, err
}

// listenPrivately makes a socket to which the owner alone can connect, from its
// first moment: Linux gives it the permissions that its descriptor has at bind
// (unix_bind_bsd in net/unix/af_unix.c), less the umask. Closing it leaves its file.
func listenPrivately(ctx context.Context, dir string) (l net.Listener, err error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var mode error
		err := raw.Control(func(fd uintptr) { mode = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, mode)
	}}
	err = atSocket(dir, func(path string) error {
		l, err = c.Listen(ctx, "unix", path)
		return err
	})
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the path may be of that moment
	}
	return l, err
}

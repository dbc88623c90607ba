package capture

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// withoutCapabilities runs f on a thread without capabilities. The thread stays
// locked, so that the runtime ends it with the calling goroutine.
func withoutCapabilities(f func() error) error {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return err
	}
	return f()
}

// ipv4UDP is an IPv4 packet with n bytes of UDP payload.
func ipv4UDP(n int) []byte {
	b := make([]byte, 28+n)
	copy(b, []byte{0x45, 0, byte((28 + n) >> 8), byte(28 + n), 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
	copy(b[20:], []byte{0x30, 0x39, 0, 53, byte((8 + n) >> 8), byte(8 + n)})
	return b
}

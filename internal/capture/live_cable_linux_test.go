package capture

import (
	"encoding/binary"
	"errors"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// cable lays a veth pair and gives a live capture at one end and a socket that
// sends frames from the other.
func cable(t *testing.T, opts LiveOptions) (l *Live, send func([]byte)) {
	t.Helper()
	ip(t, "link", "add", "near", "type", "veth", "peer", "name", "far")
	t.Cleanup(func() { exec.Command("ip", "link", "del", "far").Run() })
	ip(t, "link", "set", "near", "mtu", "9000", "up")
	ip(t, "link", "set", "far", "mtu", "9000", "up")
	l = openLive(t, "near", opts)
	return l, sender(t, "far")
}

func openLive(t *testing.T, iface string, opts LiveOptions) *Live {
	t.Helper()
	l, err := OpenLive(iface, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func sender(t *testing.T, iface string) func([]byte) {
	t.Helper()
	dev, err := net.InterfaceByName(iface)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	to := &unix.SockaddrLinklayer{Ifindex: dev.Index}
	return func(b []byte) {
		if err := unix.Sendto(fd, b, 0, to); err != nil {
			t.Errorf("send %d bytes: %v", len(b), err)
		}
	}
}

// numbered is an Ethernet frame of n bytes, at least 18, of an experimental
// EtherType (IEEE 802) with a number at its front.
func numbered(number uint32, n int) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}
	b = binary.BigEndian.AppendUint32(b, number)
	for len(b) < n {
		b = append(b, byte(number)+byte(len(b)))
	}
	return b
}

// receive waits up to five seconds for a frame, and fails the test without.
func receive(t *testing.T, l *Live, fr *Frame) {
	t.Helper()
	for range 25 {
		err := l.Next(fr)
		if err == nil {
			return
		}
		if !errors.Is(err, ErrTimeout) {
			t.Fatal(err)
		}
	}
	t.Fatal("no frame within five seconds")
}

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

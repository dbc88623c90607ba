package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bellwether/internal/packet"
)

// inNamespace marks the child process that runs TestLive in a network
// namespace of its own.
const inNamespace = "BELLWETHER_TEST_NAMESPACE"

// TestLive runs itself again in a new network namespace (and a new user
// namespace where it is not root), so that it can lay cables without touching
// the machine's.
func TestLive(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		testLive(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLive$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		cannotLive(t, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("in the namespace: %v\n%s", err, &out)
	}
	if strings.Contains(out.String(), "--- SKIP: TestLive (") {
		t.Skipf("%s", &out)
	}
	t.Logf("%s", &out)
}

// cannotLive skips, except where CI=true.
func cannotLive(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no network namespace: %v", err)
	}
	t.Skipf("no network namespace: %v", err)
}

func testLive(t *testing.T) {
	// Without IPv6 the cable carries nothing but what the test sends.
	os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		cannotLive(t, fmt.Errorf("%w: %s", err, out))
	}
	t.Run("counts", testLiveCounts)
	t.Run("VLAN", testLiveVLAN)
	t.Run("snap length", testLiveSnap)
	t.Run("drops", testLiveDrops)
	t.Run("both ways", testLiveOutgoing)
	t.Run("loopback once", testLiveLoopback)
	t.Run("close", testLiveClose)
	t.Run("down", testLiveDown)
	t.Run("tunnel", testLiveTunnel)
	t.Run("no permission", testLivePermission)
	t.Run("zero allocations", testLiveAllocs)
}

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

func testLiveCounts(t *testing.T) {
	const count = 20_000
	l, send := cable(t, LiveOptions{Promiscuous: true})
	var fr Frame
	if err := l.Next(&fr); !errors.Is(err, ErrTimeout) {
		t.Fatalf("Next on a silent cable: %v, want ErrTimeout", err)
	}
	before := time.Now()
	go func() {
		for i := range uint32(count) {
			send(numbered(i, 18+int(i%1400)))
			if i%64 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	for i := range uint32(count) {
		receive(t, l, &fr)
		if want := numbered(i, 18+int(i%1400)); !bytes.Equal(fr.Data, want) || fr.Length != len(want) {
			t.Fatalf("frame %d: %d bytes of %d, % x…", i, len(fr.Data), fr.Length, fr.Data[:18])
		}
		if fr.Link != packet.LinkEthernet {
			t.Fatalf("link type %v", fr.Link)
		}
		if at := fr.Time.Std(); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Fatalf("frame %d has time %v", i, at)
		}
	}
	stats, err := l.Stats()
	if want := (LiveStats{Received: count, Delivered: count}); err != nil || stats != want {
		t.Errorf("stats %+v, %v; want %+v", stats, err, want)
	}
}

func testLiveVLAN(t *testing.T) {
	l, send := cable(t, LiveOptions{})
	tag := func(b []byte, tpid, tci uint16) []byte {
		var four [4]byte
		binary.BigEndian.PutUint16(four[:], tpid)
		binary.BigEndian.PutUint16(four[2:], tci)
		return slices.Insert(b, 12, four[:]...)
	}
	frames := [][]byte{
		tag(numbered(1, 100), 0x8100, 3<<13|101),
		tag(numbered(2, 100), 0x88a8, 42),
		tag(tag(numbered(3, 100), 0x8100, 7), 0x88a8, 600),
		numbered(4, 100),
	}
	for _, want := range frames {
		send(want)
		var fr Frame
		receive(t, l, &fr)
		if !bytes.Equal(fr.Data, want) || fr.Length != len(want) {
			t.Errorf("got  % x (%d)\nwant % x (%d)", fr.Data[:26], fr.Length, want[:26], len(want))
		}
	}
}

func testLiveSnap(t *testing.T) {
	l, send := cable(t, LiveOptions{SnapLen: 60})
	send(numbered(1, 1000))
	send(numbered(2, 30))
	var fr Frame
	for _, want := range []struct{ captured, length int }{{60, 1000}, {30, 30}} {
		if receive(t, l, &fr); len(fr.Data) != want.captured || fr.Length != want.length {
			t.Errorf("got %d of %d bytes, want %d of %d", len(fr.Data), fr.Length, want.captured, want.length)
		}
	}
}

func testLiveDrops(t *testing.T) {
	const count = 5000
	l, send := cable(t, LiveOptions{RingBytes: 1})
	for i := range uint32(count) {
		send(numbered(i, 1400))
	}
	var fr Frame
	n := uint64(0)
	for l.Next(&fr) == nil {
		n++
	}
	stats, err := l.Stats()
	if err != nil || stats.Received != count || stats.Delivered != n || stats.KernelDrops != count-n {
		t.Errorf("%d frames delivered of %d; stats %+v, %v", n, count, stats, err)
	}
	if stats.KernelDrops == 0 || stats.RingFreezes == 0 || n == 0 {
		t.Errorf("a ring of two blocks took 7 MB: %+v", stats)
	}
	send(numbered(9, 100))
	if receive(t, l, &fr); binary.BigEndian.Uint32(fr.Data[14:]) != 9 {
		t.Errorf("after drops got frame % x", fr.Data[:18])
	}
}

func testLiveOutgoing(t *testing.T) {
	l, send := cable(t, LiveOptions{})
	sender(t, "near")(numbered(1, 64))
	var fr Frame
	if receive(t, l, &fr); !bytes.Equal(fr.Data, numbered(1, 64)) {
		t.Errorf("own frame: % x", fr.Data)
	}
	send(numbered(2, 64))
	if receive(t, l, &fr); !bytes.Equal(fr.Data, numbered(2, 64)) {
		t.Errorf("the other's frame: % x", fr.Data)
	}
}

func testLiveLoopback(t *testing.T) {
	l := openLive(t, "lo", LiveOptions{})
	conn, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("once")); err != nil {
		t.Fatal(err)
	}
	sent := 0
	var fr Frame
	var p packet.Packet
	for l.Next(&fr) == nil {
		packet.Decode(fr.Link, fr.Data, &p)
		if p.Proto == packet.ProtoUDP && p.DstPort == 9 && string(p.Payload) == "once" {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("a datagram on the loopback interface was seen %d times", sent)
	}
}

func testLiveClose(t *testing.T) {
	l, _ := cable(t, LiveOptions{})
	done := make(chan error)
	go func() {
		var fr Frame
		err := ErrTimeout
		for errors.Is(err, ErrTimeout) {
			err = l.Next(&fr)
		}
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("Next after Close: %v, want os.ErrClosed", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Close did not end Next")
	}
	if _, err := l.Stats(); err != nil {
		t.Errorf("stats after Close: %v", err)
	}
}

func testLiveDown(t *testing.T) {
	l, send := cable(t, LiveOptions{})
	var fr Frame
	ip(t, "link", "set", "near", "down")
	if err := l.Next(&fr); !errors.Is(err, unix.ENETDOWN) || !strings.Contains(err.Error(), "went down") {
		t.Fatalf("interface down: %v", err)
	}
	if _, err := OpenLive("near", LiveOptions{}); err == nil || !strings.Contains(err.Error(), "is down") {
		t.Errorf("OpenLive on an interface that is down: %v", err)
	}
	ip(t, "link", "set", "near", "up")
	send(numbered(1, 64))
	if receive(t, l, &fr); len(fr.Data) != 64 {
		t.Errorf("after up: %d bytes", len(fr.Data))
	}
	ip(t, "link", "del", "far")
	for range 2 {
		if err := l.Next(&fr); err == nil || !strings.Contains(err.Error(), "was removed") {
			t.Errorf("interface removed: %v", err)
		}
	}
}

// testLiveTunnel sends a bare IP packet into a tun interface.
func testLiveTunnel(t *testing.T) {
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer tun.Close()
	req, err := unix.NewIfreq("tunnel")
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(int(tun.Fd()), unix.TUNSETIFF, req); err != nil {
		t.Skip(err)
	}
	ip(t, "link", "set", "tunnel", "up")
	l := openLive(t, "tunnel", LiveOptions{})
	want := ipv4UDP(40)
	if _, err := tun.Write(want); err != nil {
		t.Fatal(err)
	}
	var fr Frame
	if receive(t, l, &fr); fr.Link != packet.LinkRaw || !bytes.Equal(fr.Data, want) {
		t.Errorf("link %v, % x, want % x", fr.Link, fr.Data, want)
	}
}

// testLivePermission needs a capture attempt without CAP_NET_RAW: it drops the
// capabilities of one thread, which ends with its goroutine.
func testLivePermission(t *testing.T) {
	errs := make(chan error)
	go func() {
		errs <- withoutCapabilities(func() error { _, err := OpenLive("lo", LiveOptions{}); return err })
	}()
	err := <-errs
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "setcap cap_net_raw+ep") {
		t.Errorf("without permission: %v", err)
	}
}

func testLiveAllocs(t *testing.T) {
	l, send := cable(t, LiveOptions{})
	for i := range uint32(300) {
		send(numbered(i, 200))
	}
	var fr Frame
	var p packet.Packet
	receive(t, l, &fr)
	allocs := testing.AllocsPerRun(200, func() {
		if err := l.Next(&fr); err != nil {
			t.Fatal(err)
		}
		packet.Decode(fr.Link, fr.Data, &p)
	})
	if allocs != 0 {
		t.Errorf("%v allocations per frame, want 0", allocs)
	}
}

func TestOpenLiveRefuses(t *testing.T) {
	for _, c := range []struct {
		iface string
		opts  LiveOptions
		want  string
	}{
		{"no-such-interface", LiveOptions{}, "no such interface: there are lo"},
		{"lo", LiveOptions{SnapLen: MaxFrame + 1}, "snap length"},
		{"lo", LiveOptions{SnapLen: -1}, "snap length"},
		{"lo", LiveOptions{RingBytes: -1}, "ring of -1 bytes"},
	} {
		l, err := OpenLive(c.iface, c.opts)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("OpenLive(%q, %+v): %v, want %q", c.iface, c.opts, err, c.want)
		}
	}
}

package capture

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bellwether/internal/packet"
)

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
	if resumed(t, l, send, &fr); len(fr.Data) != 64 {
		t.Errorf("after up: %d bytes", len(fr.Data))
	}
	ip(t, "link", "del", "far")
	for range 2 {
		if err := l.Next(&fr); err == nil || !strings.Contains(err.Error(), "was removed") {
			t.Errorf("interface removed: %v", err)
		}
	}
}

// resumed sends frames until one arrives: a cable that was brought up loses
// what is sent before the kernel's link watch, which comes up to a second
// later, has seen its carrier.
func resumed(t *testing.T, l *Live, send func([]byte), fr *Frame) {
	t.Helper()
	for range 100 {
		send(numbered(1, 64))
		err := l.Next(fr)
		if err == nil {
			return
		}
		if !errors.Is(err, ErrTimeout) {
			t.Fatal(err)
		}
	}
	t.Fatal("no frame of a hundred after the interface was up again")
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

package gateway

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"bellwether/internal/zone"
)

// TestOrderWithoutAnswer: who asked a gateway that does not answer hears that it may
// have done it, whether he stops waiting or the gateway ends.
func TestOrderWithoutAnswer(t *testing.T) {
	for name, then := range map[string]func(stop func(), conn net.Conn){
		"stopped waiting":   func(stop func(), _ net.Conn) { stop() },
		"the gateway ended": func(_ func(), conn net.Conn) { conn.Close() },
	} {
		dir := t.TempDir()
		l, err := net.Listen("unix", filepath.Join(dir, socketFile))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				_, err = bufio.NewReader(conn).ReadBytes('\n')
				then(stop, conn)
			}
			gone <- err
		}()
		_, err = OrderMembers(ctx, dir, MemberOrder{Do: DoEpoch})
		if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "all the same") {
			t.Errorf("%s: %v", name, err)
		}
		stop()
		if err := errors.Join(<-gone, l.Close()); err != nil {
			t.Error(err)
		}
	}
}

// crowded is a listener that has no descriptor left at first.
type crowded struct {
	net.Listener
	full int
}

func (c *crowded) Accept() (net.Conn, error) {
	if c.full--; c.full >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", unix.EMFILE)}
	}
	return c.Listener.Accept()
}

// TestNoDescriptorLeft: an order waits, and the gateway does not end.
func TestNoDescriptorLeft(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, socketFile))
	if err != nil {
		t.Fatal(err)
	}
	w := &watching{Live: Live{Log: slog.New(slog.DiscardHandler)}, asked: make(chan request)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.takeOrders(ctx, &crowded{l, 2}) }()
	go func() {
		select {
		case r := <-w.asked:
			r.reply <- outcome{ID: zone.HID{7}}
		case <-ctx.Done():
		}
	}()
	id, err := Decide(ctx, dir, zone.MAC{2}, Decision{Action: "relearn"})
	if err != nil || id != (zone.HID{7}) {
		t.Errorf("%s, %v", id, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

package gateway

import (
	"bufio"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
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

package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bellwether/internal/contract"
	"bellwether/internal/monitor"
	"bellwether/internal/zone"
)

// socketFile is where a running gateway takes an operator's decisions: one
// JSON object a connection, answered by one.
const socketFile = "control.sock"

// Bounds of a conversation on the control socket.
const (
	controlTimeout = 10 * time.Second
	controlBytes   = 4096
)

// order is what goes over the socket.
type order struct {
	Device   zone.MAC `json:"device"`
	Decision Decision `json:"decision"`
}

// outcome is what comes back.
type outcome struct {
	ID    zone.HID `json:"h_id"`
	Error string   `json:"error,omitempty"`
}

// request is an order on its way to the packet loop.
type request struct {
	order
	reply chan outcome // has room for one
}

// control serves the control socket until ctx ends. Only the owner of the
// state directory can connect.
func (w *watching) control(ctx context.Context) error {
	path := w.state.path(socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("control socket: %w", err)
	}
	l, err := listenPrivately(ctx, path)
	if err != nil {
		w.Log.Warn("no control socket: decisions about devices have to wait until the gateway is stopped", "error", err)
		return nil
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
		if err := w.converse(ctx, conn); err != nil {
			w.Log.Warn("control socket", "error", err)
		}
	}
}

// listenPrivately makes a socket to which the owner alone can connect, from its
// first moment: Linux gives it the permissions that its descriptor has at bind
// (unix_bind_bsd in net/unix/af_unix.c), less the umask.
func listenPrivately(ctx context.Context, path string) (net.Listener, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var mode error
		err := raw.Control(func(fd uintptr) { mode = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, mode)
	}}
	return c.Listen(ctx, "unix", path)
}

// converse takes one order and answers it.
func (w *watching) converse(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return err
	}
	r := request{reply: make(chan outcome, 1)}
	line, err := bufio.NewReaderSize(conn, controlBytes).ReadSlice('\n')
	if err == nil {
		err = json.Unmarshal(line, &r.order)
	}
	if err != nil {
		return errors.Join(err, json.NewEncoder(conn).Encode(outcome{Error: "the order is not a JSON object on one line: " + err.Error()}))
	}
	select {
	case w.asked <- r:
	case <-ctx.Done():
		return nil
	}
	select {
	case out := <-r.reply:
		return json.NewEncoder(conn).Encode(out)
	case <-ctx.Done():
		return nil
	}
}

// answer carries out an order that waits, if one does. An order that the
// contract refuses is the operator's error, anything else the gateway's.
func (w *watching) answer(ctx context.Context, now zone.Time) error {
	select {
	case r := <-w.asked:
		r.Decision.Now = now
		id, err := w.monitor.Decide(ctx, r.Device, now, r.Decision.body())
		out := outcome{ID: id}
		if err != nil {
			out.Error = err.Error()
		}
		r.reply <- out
		var refused *contract.RejectError
		if err != nil && !errors.As(err, &refused) && !errors.Is(err, monitor.ErrNoDevice) {
			return err
		}
	default:
	}
	return nil
}

// Decide records an operator's decision about a device of the zone, or with a zero
// address about all of it, whose state directory is dir: through the gateway that runs there, or, if none
// does, on the ledger itself.
func Decide(ctx context.Context, dir string, mac zone.MAC, d Decision) (zone.HID, error) {
	conn, err := net.Dial("unix", filepath.Join(dir, socketFile))
	if err == nil {
		return ask(conn, order{mac, d})
	}
	s, err := OpenState(ctx, dir, StateOptions{Existing: true})
	if err != nil {
		return zone.HID{}, err
	}
	id, err := s.Decide(ctx, mac, d)
	return id, errors.Join(err, s.Close())
}

func ask(conn net.Conn, o order) (zone.HID, error) {
	defer conn.Close()
	var out outcome
	err := conn.SetDeadline(time.Now().Add(controlTimeout))
	if err == nil {
		err = json.NewEncoder(conn).Encode(o)
	}
	if err == nil {
		err = json.NewDecoder(conn).Decode(&out)
	}
	if err != nil {
		return zone.HID{}, fmt.Errorf("asking the running gateway: %w", err)
	}
	if out.Error != "" {
		return zone.HID{}, errors.New(out.Error)
	}
	return out.ID, nil
}

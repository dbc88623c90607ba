package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
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

// Bounds of a conversation on the control socket: how long it takes to ask and
// to be answered, what is done in between aside.
const (
	controlTimeout = 10 * time.Second
	controlBytes   = 256 << 10
)

// order is what goes over the socket: a decision, a change of the device's model, or
// an order about members.
type order struct {
	Device   zone.MAC       `json:"device"`
	Decision Decision       `json:"decision"`
	Change   monitor.Change `json:"change,omitempty"`
	Members  *MemberOrder   `json:"members,omitempty"`
}

// outcome is what comes back.
type outcome struct {
	ID         zone.HID            `json:"h_id"`
	Adaptation *monitor.Adaptation `json:"adaptation,omitempty"` // of a change, as far as it came
	Members    *MemberAnswer       `json:"members,omitempty"`
	Error      string              `json:"error,omitempty"`
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
	var talks sync.WaitGroup
	defer talks.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
		talks.Go(func() {
			if err := w.converse(ctx, conn); err != nil {
				w.Log.Warn("control socket", "error", err)
			}
		})
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

// converse takes one order and answers it, which may take as long as a model is
// learned. Who asked may go away meanwhile: what was ordered is done all the same.
func (w *watching) converse(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	r := request{reply: make(chan outcome, 1)}
	line, err := bufio.NewReader(io.LimitReader(conn, controlBytes)).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r.order)
	}
	if err != nil {
		return errors.Join(err, json.NewEncoder(conn).Encode(outcome{Error: "the order is not a JSON object on one line: " + err.Error()}))
	}
	out := outcome{Error: "the gateway was stopped before the order was carried out"}
	if r.Members != nil {
		out = w.orderMembers(ctx, *r.Members)
		if err := conn.SetWriteDeadline(time.Now().Add(controlTimeout)); err != nil {
			return err
		}
		return json.NewEncoder(conn).Encode(out)
	}
	select {
	case w.asked <- r:
		out.Error = "the gateway is being stopped: the order may have been carried out all the same, `bellwether ledger show` tells"
		select {
		case out = <-r.reply:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	if err := conn.SetWriteDeadline(time.Now().Add(controlTimeout)); err != nil {
		return err
	}
	return json.NewEncoder(conn).Encode(out)
}

// answer carries out an order that waits, if one does. An order that is refused
// is the operator's error, anything else the gateway's.
func (w *watching) answer(ctx context.Context, now zone.Time) error {
	select {
	case r := <-w.asked:
		if r.Change != "" {
			return w.monitor.ChangeModel(ctx, r.Device, r.Change, func(a *monitor.Adaptation, err error) { r.reply <- outcomeOf(a, err) })
		}
		r.Decision.Now = now
		id, err := w.monitor.Decide(ctx, r.Device, now, r.Decision.body())
		out := outcomeOf(nil, err)
		out.ID = id
		r.reply <- out
		var refused *contract.RejectError
		if err != nil && !errors.As(err, &refused) && !errors.Is(err, monitor.ErrNoDevice) {
			return err
		}
	default:
	}
	return nil
}

// orderMembers carries out an order about members, whatever the packet loop does.
func (w *watching) orderMembers(ctx context.Context, o MemberOrder) outcome {
	answer, err := w.members.carryOut(context.WithoutCancel(ctx), o, time.Now())
	out := outcomeOf(nil, err)
	if err == nil {
		out.Members = &answer
	}
	return out
}

func outcomeOf(a *monitor.Adaptation, err error) outcome {
	out := outcome{Adaptation: a}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

// Decide records an operator's decision about a device of the zone, or with a zero
// address about all of it, whose state directory is dir: through the gateway that runs there, or, if none
// does, on the ledger itself.
func Decide(ctx context.Context, dir string, mac zone.MAC, d Decision) (zone.HID, error) {
	conn, err := net.Dial("unix", filepath.Join(dir, socketFile))
	if err == nil {
		out, err := ask(ctx, conn, order{Device: mac, Decision: d})
		return out.ID, err
	}
	s, err := OpenState(ctx, dir, StateOptions{Existing: true})
	if err != nil {
		return zone.HID{}, err
	}
	id, err := s.Decide(ctx, mac, d)
	return id, errors.Join(err, s.Close())
}

// ask gives an order to a running gateway and waits for its answer, or until ctx
// ends.
func ask(ctx context.Context, conn net.Conn, o order) (out outcome, err error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err = conn.SetWriteDeadline(time.Now().Add(controlTimeout)); err == nil {
		err = json.NewEncoder(conn).Encode(o)
	}
	if err == nil {
		err = json.NewDecoder(conn).Decode(&out)
	}
	switch {
	case ctx.Err() != nil:
		return out, fmt.Errorf("the running gateway was asked and may still do it: %w", ctx.Err())
	case err != nil:
		return out, fmt.Errorf("asking the running gateway: %w", err)
	case out.Error != "":
		return out, errors.New(out.Error)
	}
	return out, nil
}

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
	"sync"
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
	controlBytes   = 4 << 20 // a MUD file and the addresses of its names
)

// acceptEvery is how often it is looked whether there is a descriptor again.
const acceptEvery = time.Second

// order is what goes over the socket: a decision, a change of the device's model, an
// order about members, or a network policy.
type order struct {
	Device   zone.MAC       `json:"device"`
	Decision Decision       `json:"decision"`
	Change   monitor.Change `json:"change,omitempty"`
	Members  *MemberOrder   `json:"members,omitempty"`
	MUD      *MUDOrder      `json:"mud,omitempty"`
}

// outcome is what comes back.
type outcome struct {
	ID         zone.HID            `json:"h_id"`
	Adaptation *monitor.Adaptation `json:"adaptation,omitempty"` // of a change, as far as it came
	Members    *MemberAnswer       `json:"members,omitempty"`
	MUD        *MUDAnswer          `json:"mud,omitempty"`
	Error      string              `json:"error,omitempty"`
	// Undone says that the gateway is being stopped and has not begun to carry it
	// out: what is asked again is not done twice.
	Undone bool `json:"undone,omitempty"`
}

// errTooOld is what an answer without its part means.
var errTooOld = errors.New("the running gateway does not know such an order: it is of an older version")

// request is an order on its way to the packet loop.
type request struct {
	order
	policy MUD          // checked, of an order that gives one
	reply  chan outcome // has room for one
}

// control serves the control socket until ctx ends. Only the owner of the
// state directory can connect.
func (w *watching) control(ctx context.Context) error {
	path := w.state.path(socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("control socket: %w", err)
	}
	l, err := listenPrivately(ctx, w.state.Dir)
	if errors.Is(err, errLongPath) {
		return err
	}
	if err != nil {
		w.Log.Warn("no control socket: orders have to wait until the gateway is stopped", "error", err)
		return nil
	}
	defer os.Remove(path) // what stays is nobody's
	return w.takeOrders(ctx, l)
}

// takeOrders talks with all who connect until ctx ends. Where there are no descriptors
// left, as strangers on the network may see to, orders wait.
func (w *watching) takeOrders(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var talks sync.WaitGroup
	defer talks.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close() // what it asks was not read, which it sees
			}
			return nil
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			w.Log.Warn("control socket: orders wait", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(acceptEvery):
			}
			continue
		case err != nil:
			return fmt.Errorf("control socket: %w", err)
		}
		talks.Go(func() {
			if err := w.converse(ctx, conn); err != nil {
				w.Log.Warn("control socket", "error", err)
			}
		})
	}
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
	if len(line) == 0 && errors.Is(err, io.EOF) { // looked only whether somebody is here
		return nil
	}
	if err == nil {
		err = json.Unmarshal(line, &r.order)
	}
	var out outcome
	switch {
	case err != nil && ctx.Err() != nil:
		out, err = stopping(), nil
	case err != nil:
		out.Error = "the order is not a JSON object on one line: " + err.Error()
	default:
		out = w.carryOut(ctx, r)
	}
	if wrong := conn.SetWriteDeadline(time.Now().Add(controlTimeout)); wrong != nil {
		return wrong
	}
	return errors.Join(err, json.NewEncoder(conn).Encode(out))
}

func stopping() outcome {
	return outcome{Error: "the gateway was stopped before the order was carried out", Undone: true}
}

// carryOut has an order carried out and waits until it is.
func (w *watching) carryOut(ctx context.Context, r request) outcome {
	if r.Members != nil {
		return w.orderMembers(ctx, *r.Members)
	}
	if r.MUD != nil {
		var err error
		if r.policy, err = w.state.readMUD(*r.MUD); err != nil {
			return outcomeOf(nil, err)
		}
	}
	select {
	case w.asked <- r:
	case <-ctx.Done():
		return stopping()
	}
	if r.Change == "" {
		return <-r.reply // whoever takes it answers at once
	}
	select {
	case out := <-r.reply:
		return out
	case <-ctx.Done():
		return outcome{Error: "the gateway is being stopped: the order may have been carried out all the same, `bellwether ledger show` tells"}
	}
}

// answer carries out an order that waits, if one does. An order that is refused
// is the operator's error, anything else the gateway's.
func (w *watching) answer(ctx context.Context, now zone.Time) (err error) {
	select {
	case r := <-w.asked:
		if r.Change != "" {
			return w.monitor.ChangeModel(ctx, r.Device, r.Change, func(a *monitor.Adaptation, err error) { r.reply <- outcomeOf(a, err) })
		}
		var out outcome
		if r.MUD != nil {
			out, err = w.setMUD(ctx, now, r.policy)
		} else {
			r.Decision.Now = now
			out.ID, err = w.monitor.Decide(ctx, r.Device, now, r.Decision.body())
		}
		if err != nil {
			out.Error = err.Error()
		}
		r.reply <- out
		return unlessRefused(err)
	default:
	}
	return nil
}

func unlessRefused(err error) error {
	var refused *contract.RejectError
	if errors.As(err, &refused) || errors.Is(err, monitor.ErrNoDevice) {
		return nil
	}
	return err
}

// setMUD puts a network policy in force from the next alert on. The error is the
// gateway's own, what is wrong with the order stands in the outcome.
func (w *watching) setMUD(ctx context.Context, now zone.Time, m MUD) (outcome, error) {
	if err := w.monitor.Flush(ctx); err != nil {
		return outcome{}, err
	}
	m.Time = now
	var failed error
	err := w.state.setMUD(m, func(d Decision) error {
		_, err := w.monitor.Decide(ctx, m.Device, now, d.body())
		failed = err
		return err
	})
	out := outcomeOf(nil, err)
	if err == nil {
		out.MUD = m.answer()
		w.Log.Info("network policy", "mac", m.Device, "rules", m.rules(), "signer", m.Signer)
	}
	return out, failed
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
	out, err := carry(ctx, dir, order{Device: mac, Decision: d}, func(s *State) (outcome, error) {
		id, err := s.Decide(ctx, mac, d)
		return outcome{ID: id}, err
	})
	return out.ID, err
}

// maxAsked is how often a gateway is asked that is being stopped, or started.
const maxAsked = 100

// carry has an order carried out on the zone whose state directory is dir: by the
// gateway that runs there, or, if none does, by alone. For another program that has
// the directory, or a gateway that is still opening it, it waits as lockDir does.
func carry(ctx context.Context, dir string, o order, alone func(*State) (outcome, error)) (out outcome, err error) {
	for range maxAsked {
		if conn, dialErr := dial(dir); dialErr == nil {
			out, err = ask(ctx, conn, o)
			if !errors.Is(err, errUndone) {
				return out, err
			}
		}
		s, openErr := OpenState(ctx, dir, StateOptions{Existing: true})
		var taken *InUseError
		if errors.As(openErr, &taken) && taken.Gateway {
			err = openErr
			continue // it answers now
		}
		if openErr != nil {
			return outcome{}, openErr
		}
		out, err = alone(s)
		return out, errors.Join(err, s.Close())
	}
	return out, err
}

// errUndone says that a gateway did not begin to carry out an order.
var errUndone = errors.New("the gateway that runs there is being stopped")

// ask gives an order to a running gateway and waits for its answer, or until ctx
// ends.
func ask(ctx context.Context, conn net.Conn, o order) (out outcome, err error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	line, err := json.Marshal(o)
	if err != nil {
		return out, err
	}
	if len(line) >= controlBytes {
		return out, fmt.Errorf("the order has more than the %d MiB that a running gateway takes: stop it first", controlBytes>>20)
	}
	if err = conn.SetWriteDeadline(time.Now().Add(controlTimeout)); err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err == nil {
		err = json.NewDecoder(conn).Decode(&out)
	}
	switch {
	case ctx.Err() != nil:
		return out, errors.New("stopped waiting: the running gateway was asked, and may do it all the same")
	case out.Undone, errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE): // Linux says so where not all of it was read
		return out, errUndone
	case errors.Is(err, io.EOF):
		return out, errors.New("the gateway ended before it answered: it was asked, and may have done it all the same")
	case err != nil:
		return out, fmt.Errorf("asking the running gateway: %w", err)
	case out.Error != "":
		return out, errors.New(out.Error)
	}
	return out, nil
}

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"bellwether/internal/follower"
)

// app is an application beside a follower: it gives orders over the follower's
// socket, message after message to one other member, takes what comes from there,
// and goes on where it was when the follower is killed. What it knows is its own,
// as if it were durable.
type app struct {
	follower *memberFollower
	to       string
	pause    time.Duration // between two messages

	mu    sync.Mutex
	limit int    // of orders; -1: none
	given int    // orders that the follower has answered as durable
	got   int    // messages, in order
	at    uint64 // position of the newest
	wrong []string
	conn  net.Conn
	stop  chan struct{}
	ended chan struct{}
}

// newApp starts an application.
func newApp(f *memberFollower, to string, pause time.Duration) *app {
	a := &app{follower: f, to: to, pause: pause, limit: -1, stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		for {
			a.talk()
			select {
			case <-a.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return a
}

// close ends the application.
func (a *app) close() {
	close(a.stop)
	a.mu.Lock()
	if a.conn != nil {
		a.conn.Close()
	}
	a.mu.Unlock()
	<-a.ended
}

// enough has it give no more orders than it has given, or is about to.
func (a *app) enough() (given int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limit = a.given + 1
	return a.limit
}

func (a *app) counts() (given, got int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.given, a.got
}

// talk is one connection to the follower. One order at a time is without an answer
// that it is durable.
func (a *app) talk() {
	c, err := net.Dial("unix", filepath.Join(a.follower.dir, follower.SocketFile))
	if err != nil {
		return
	}
	defer c.Close()
	a.mu.Lock()
	a.conn = c
	from := a.at + 1
	a.mu.Unlock()
	fmt.Fprintf(c, `{"from": %d, "follow": true}`+"\n", from)
	durable := make(chan struct{}, 1)
	durable <- struct{}{}
	over := make(chan struct{})
	defer close(over)
	go a.give(c, durable, over)
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r follower.Reply
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			return // cut off by a kill
		}
		if a.take(&r) {
			durable <- struct{}{}
		}
	}
}

// give gives the orders that were not answered as durable.
func (a *app) give(c net.Conn, durable, over <-chan struct{}) {
	for {
		select {
		case <-durable:
		case <-over:
			return
		}
		a.mu.Lock()
		i, limit := a.given, a.limit
		a.mu.Unlock()
		if limit >= 0 && i >= limit {
			return
		}
		if _, err := fmt.Fprintf(c, `{"send": {"to": %q, "text": "%s %d", "seal": %t}, "id": "order-%d"}`+"\n", a.to, a.follower.name, i, i%3 == 0, i); err != nil {
			return
		}
		time.Sleep(a.pause)
	}
}

// take takes a reply, and says whether an order is durable by it.
func (a *app) take(r *follower.Reply) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.Received != nil:
		a.receive(r.Received)
	case r.Receipt != nil:
	case r.Order > 0 && r.Refused == "":
		if i, err := strconv.Atoi(strings.TrimPrefix(r.ID, "order-")); err != nil || i != a.given {
			a.complain("order %q is durable, want %d", r.ID, a.given)
		}
		a.given++
		return true
	default:
		a.complain("%+v", *r)
	}
	return false
}

// receive takes a message, which has to be the next one.
func (a *app) receive(l *follower.ReceivedLine) {
	text := l.Problem
	if l.Text != nil {
		text = *l.Text
	}
	if want := fmt.Sprintf("%s %d", l.From, a.got); text != want || l.Position <= a.at {
		a.complain("got %q at position %d after %d, want %q", text, l.Position, a.at, want)
	}
	a.at = l.Position
	a.got++
}

// complain keeps what is wrong, as far as anybody would read it.
func (a *app) complain(format string, args ...any) {
	if len(a.wrong) < 5 {
		a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
	}
}

// settle ends the orders of applications that talk with each other and waits until
// everything has come; then it says what is wrong.
func settle(o *outcome, a, b *app) error {
	wants := [2]int{a.enough(), b.enough()}
	err := until("every message has come", func() bool {
		aGiven, aGot := a.counts()
		bGiven, bGot := b.counts()
		return aGiven == wants[0] && bGiven == wants[1] && aGot >= wants[1] && bGot >= wants[0]
	})
	time.Sleep(time.Second) // for what would come twice
	a.close()
	b.close()
	for _, one := range []struct {
		app  *app
		want int
	}{{a, wants[1]}, {b, wants[0]}} {
		given, got := one.app.counts()
		o.need(got == one.want && len(one.app.wrong) == 0, "%s gave %d orders, and of %d messages to it got %d, each once and in order; wrong: %q",
			one.app.follower.name, given, one.want, got, one.app.wrong)
	}
	return err
}

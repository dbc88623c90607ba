package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
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

	mu      sync.Mutex
	limit   int    // of orders; -1: none
	given   int    // orders that the follower has answered as durable
	refused []int  // of these, since the recipient or the sender may not speak
	got     int    // messages
	next    int    // the number of the next one
	missing []int  // numbers that were left out
	at      uint64 // position of the newest
	wrong   []string
	conn    net.Conn
	stop    chan struct{}
	ended   chan struct{}
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
func (a *app) enough() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limit = a.given + 1
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
	case r.Order > 0 && r.Refused != "":
		i, _ := strconv.Atoi(strings.TrimPrefix(r.ID, "order-"))
		a.refused = append(a.refused, i)
	case r.Order > 0:
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

// receive takes a message. Numbers may be left out, and never come again.
func (a *app) receive(l *follower.ReceivedLine) {
	text, n := l.Problem, -1
	if l.Text != nil {
		text = *l.Text
	}
	if _, err := fmt.Sscanf(text, string(l.From)+" %d", &n); err != nil || n < a.next || l.Position <= a.at {
		a.complain("got %q at position %d after %d, want number %d", text, l.Position, a.at, a.next)
	}
	for ; a.next < n; a.next++ {
		a.missing = append(a.missing, a.next)
	}
	a.next++
	a.at = l.Position
	a.got++
}

// complain keeps what is wrong, as far as anybody would read it.
func (a *app) complain(format string, args ...any) {
	if len(a.wrong) < 5 {
		a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
	}
}

// missed gives what the application b lacks of what a ordered and was not refused.
func missed(a, b *app) (lacks []int, all bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range a.given {
		if (i >= b.next || slices.Contains(b.missing, i)) && !slices.Contains(a.refused, i) {
			lacks = append(lacks, i)
		}
	}
	return lacks, a.given == a.limit && len(lacks) == 0 && b.got == a.given-len(a.refused)
}

// settle ends the orders of applications that talk with each other, waits until
// everything has come, and says what is wrong.
func settle(o *outcome, a, b *app) error {
	a.enough()
	b.enough()
	err := until("every message has come", func() bool {
		_, there := missed(a, b)
		_, back := missed(b, a)
		return there && back
	})
	time.Sleep(time.Second) // for what would come twice
	a.close()
	b.close()
	for _, way := range [][2]*app{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		lacks, all := missed(from, to)
		o.need(all && len(to.wrong) == 0, "%s to %s: %d orders were acknowledged as durable, of them %d refused and the sender told; %d came, each once and in order; lost %v; wrong %q",
			from.follower.name, to.follower.name, from.given, len(from.refused), to.got, lacks[:min(5, len(lacks))], to.wrong)
	}
	return err
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bellwether/internal/message"
)

// load is many followers in one program.
type load struct {
	plan       loadPlan
	began      time.Time
	going      atomic.Int64 // when this phase began, as what is behind began
	talkers    []*talker
	handshakes chan struct{} // one for each connection that is being opened
}

// talker is one follower of the load. It sends to one other, and hears one.
type talker struct {
	*client
	load  *load
	index int

	mu        sync.Mutex // guards what follows
	pending   []flying
	sent      uint64 // messages
	heard     uint64 // position
	next, due uint64 // Seq of the next delivery, and of the one behind the last that was sent
	result    loadResult
	alive     bool
	problem   error

	turn sync.Mutex // one frame at a time is written, in the order of numbers
}

// flying is a message without a receipt.
type flying struct {
	n               uint64
	object, payload []byte
}

// runLoad is the program of the load: it says when all are connected, measures for
// a while when it is told to go, and again until everything is delivered.
func runLoad(text string) error {
	l := &load{began: time.Now(), handshakes: make(chan struct{}, 32)}
	if err := json.Unmarshal([]byte(text), &l.plan); err != nil {
		return err
	}
	i, err := message.ParseInvite(l.plan.Invite)
	if err != nil {
		return err
	}
	for n := range l.plan.Followers {
		l.talkers = append(l.talkers, &talker{client: newClient(i, loadName(n)), load: l, index: n, next: 1, due: 1})
	}
	ctx := context.Background()
	tell := json.NewEncoder(os.Stdout)
	told := bufio.NewScanner(os.Stdin)
	for _, t := range l.talkers {
		go t.keep(ctx)
	}
	err = l.until(10*time.Minute, "it is connected", func(t *talker) bool { return t.alive })
	for _, phase := range []time.Duration{l.plan.For, l.plan.Restart} {
		if err := tell.Encode(l.results(err)); err != nil {
			return err
		}
		if !told.Scan() {
			return nil
		}
		began := time.Now()
		l.going.Store(int64(began.Sub(l.began)))
		l.send(ctx, phase)
		took := time.Since(began)
		err = l.until(5*time.Minute, "everything has its receipt", func(t *talker) bool { return len(t.pending) == 0 })
		if err == nil {
			err = l.until(5*time.Minute, "everything is delivered", func(t *talker) bool { return t.next == t.due })
		}
		for _, t := range l.talkers {
			t.result.Seconds = took.Seconds()
		}
	}
	return tell.Encode(l.results(err))
}

// hears is the follower that hears this one, and from the one that it hears.
func (t *talker) hears() *talker { return t.load.talkers[(t.index+1)%len(t.load.talkers)] }
func (t *talker) from() int      { return (t.index + len(t.load.talkers) - 1) % len(t.load.talkers) }

// until waits until something holds of every follower.
func (l *load) until(within time.Duration, what string, holds func(*talker) bool) error {
	began := time.Now()
	for _, t := range l.talkers {
		for {
			t.mu.Lock()
			ok, err := holds(t), t.problem
			state := fmt.Sprintf("connected %v, %d without a receipt, message %d comes next of %d", t.alive, len(t.pending), t.next, t.due-1)
			t.mu.Unlock()
			if err != nil {
				return err
			}
			if ok {
				break
			}
			if time.Since(began) > within {
				return fmt.Errorf("%s waited in vain until %s: %s", t.name, what, state)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	return nil
}

// results adds up what the followers have, and has them begin anew.
func (l *load) results(err error) (sum loadResult) {
	sum.Ends, sum.Slow = map[string]int{}, map[int]int{}
	for _, t := range l.talkers {
		t.mu.Lock()
		r := t.result
		t.result = loadResult{}
		t.mu.Unlock()
		sum.Sent, sum.Acknowledged, sum.Delivered = sum.Sent+r.Sent, sum.Acknowledged+r.Acknowledged, sum.Delivered+r.Delivered
		sum.Lost, sum.Twice, sum.Refused = sum.Lost+r.Lost, sum.Twice+r.Twice, sum.Refused+r.Refused
		for second, n := range r.Slow {
			sum.Slow[second] += n
		}
		for why, n := range r.Ends {
			sum.Ends[why] += n
		}
		sum.Sessions, sum.Late, sum.Seconds = sum.Sessions+r.Sessions, sum.Late+r.Late, r.Seconds
		sum.FromSent, sum.FromDue = append(sum.FromSent, r.FromSent...), append(sum.FromDue, r.FromDue...)
	}
	slices.Sort(sum.FromSent)
	slices.Sort(sum.FromDue)
	sum.FromSent, sum.FromDue = sum.FromSent.percentiles(), sum.FromDue.percentiles()
	if err != nil {
		sum.Problem = err.Error()
	}
	return sum
}

// percentiles gives a hundred of them.
func (d durations) percentiles() (out durations) {
	for p := 1; p <= 100 && len(d) > 0; p++ {
		out = append(out, d.at(p))
	}
	return out
}

// send has every follower send its share for a while, each at its own moments.
func (l *load) send(ctx context.Context, while time.Duration) {
	every := time.Duration(len(l.talkers)) * time.Second / time.Duration(l.plan.Rate)
	began := time.Now()
	var all sync.WaitGroup
	for _, t := range l.talkers {
		all.Go(func() {
			due := began.Add(time.Duration(rand.Int64N(int64(every))))
			for ; due.Before(began.Add(while)); due = due.Add(every) {
				time.Sleep(time.Until(due))
				if time.Since(began) > while {
					return // it could not keep up
				}
				t.message(ctx, due)
			}
		})
	}
	all.Wait()
}

// message sends one message, or keeps it for when there is a connection.
func (t *talker) message(ctx context.Context, due time.Time) {
	for t.waits() { // as a follower does that may have no more under way
		time.Sleep(time.Millisecond)
	}
	t.turn.Lock()
	defer t.turn.Unlock()
	now := time.Now()
	to := t.hears()
	t.mu.Lock()
	t.sent++
	seq := t.sent
	t.mu.Unlock()
	s := stamp{uint64(t.index), seq, due.Sub(t.load.began), now.Sub(t.load.began)}
	body, payload := letter(string(to.name), s.content(t.load.plan.Size))
	t.n++
	object, err := t.sign(t.n, body)
	if err != nil {
		t.fail(err)
		return
	}
	t.mu.Lock()
	t.pending = append(t.pending, flying{t.n, object, payload})
	t.result.Sent++
	if now.Sub(due) > loadWithin {
		t.result.Late++
	}
	alive := t.alive
	t.mu.Unlock()
	to.mu.Lock()
	to.due++
	to.mu.Unlock()
	if alive {
		t.say(ctx, &message.Submit{Object: object, Payload: payload}) // what is lost is sent again
	}
}

func (t *talker) waits() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pending) >= message.Credit
}

func (t *talker) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.problem == nil {
		t.problem = fmt.Errorf("%s: %w", t.name, err)
	}
}

// keep keeps a session, and opens another one when it is lost.
func (t *talker) keep(ctx context.Context) {
	for wait := time.Duration(0); ; wait = min(2*wait+100*time.Millisecond, 2*time.Second) {
		time.Sleep(wait/2 + time.Duration(rand.Int64N(int64(wait/2)+1)))
		t.load.handshakes <- struct{}{}
		err := t.connect(ctx)
		<-t.load.handshakes
		if err != nil {
			t.lost(err)
			continue
		}
		wait = 0
		for err == nil {
			var f message.Frame
			if f, err = t.client.next(ctx); err == nil {
				err = t.hear(ctx, f)
			}
		}
		t.lost(err)
	}
}

// lost ends a session, and counts why.
func (t *talker) lost(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alive = false
	if t.result.Ends == nil {
		t.result.Ends = map[string]int{}
	}
	why := err.Error()
	t.result.Ends[why[strings.LastIndex(why, ": ")+1:]]++ // what is before it names addresses
	t.close()
}

// connect opens a session and sends again what may not have arrived.
func (t *talker) connect(ctx context.Context) error {
	t.turn.Lock()
	defer t.turn.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	n := t.n
	if err := t.enter(ctx); err != nil {
		return err
	}
	stands := t.n
	t.n = max(n, t.n)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.Sessions++
	t.alive = true
	t.stands(stands)
	for _, f := range t.pending {
		if err := t.say(ctx, &message.Submit{Object: f.object, Payload: f.payload}); err != nil {
			return err
		}
	}
	if t.heard > 0 {
		return t.say(ctx, &message.Ack{Position: t.heard})
	}
	return nil
}

// stands takes what has its receipt off what is pending.
func (t *talker) stands(n uint64) {
	for len(t.pending) > 0 && t.pending[0].n <= n {
		t.pending = t.pending[1:]
		t.result.Acknowledged++
	}
}

// hear takes a frame.
func (t *talker) hear(ctx context.Context, f message.Frame) error {
	switch f := f.(type) {
	case *message.Receipt:
		t.mu.Lock()
		t.stands(f.N)
		t.mu.Unlock()
	case *message.Delivery:
		if err := t.delivered(f); err != nil {
			t.fail(err)
		}
		return t.say(ctx, &message.Ack{Position: f.Position})
	case *message.Refusal:
		t.mu.Lock()
		t.result.Refused++
		t.mu.Unlock()
		t.fail(fmt.Errorf("message %d was refused: %s", f.N, f.Code))
	case *message.Bye:
		return errors.New(string(f.Code))
	}
	return nil
}

// delivered counts a message of the one that it hears.
func (t *talker) delivered(f *message.Delivery) error {
	now := time.Since(t.load.began)
	s, err := parseStamp(f.Payload)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.Position <= t.heard {
		return nil // it was seen before
	}
	t.heard = f.Position
	switch {
	case int(s.From) != t.from():
		return fmt.Errorf("a message of follower %d", s.From)
	case s.Seq < t.next:
		t.result.Twice++
	case s.Seq > t.next:
		t.result.Lost += int(s.Seq - t.next)
	}
	t.next = max(t.next, s.Seq+1)
	t.result.Delivered++
	if now-s.Sent > loadWithin {
		if t.result.Slow == nil {
			t.result.Slow = map[int]int{}
		}
		t.result.Slow[int((s.Sent-time.Duration(t.load.going.Load())).Seconds())]++
	}
	t.result.FromSent = append(t.result.FromSent, now-s.Sent)
	t.result.FromDue = append(t.result.FromDue, now-s.Due)
	return nil
}

package follower

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode/utf8"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

// Command is a line of JSON from the application. One of its fields is set, with
// an ID if it gives an order. Whoever writes many has to read the replies
// meanwhile: while they are not read, no further command is.
//
//	{"send": {"to": "hub", "text": "hello"}, "id": "greeting-1"}
//	{"request": {"to": "hub", "base64": "AAEC", "seal": true}}
//	{"reply": {"to": "hub", "ref": H-ID, "text": "yes"}}
//	{"create": {"object": "state.door", "text": "open"}}     of its own data; "to": another's
//	{"read": {"to": "hub", "object": "plan"}}                also update, delete
//	{"from": 1, "follow": true}                              messages from position 1 on
//	{"done": 17}                                             those up to 17 are needed no more
//	{"status": true}
type Command struct {
	ID      string  `json:"id,omitempty"` // given again, it is the same order
	Send    *Letter `json:"send,omitempty"`
	Request *Letter `json:"request,omitempty"`
	Reply   *Letter `json:"reply,omitempty"`
	Create  *Letter `json:"create,omitempty"`
	Read    *Letter `json:"read,omitempty"`
	Update  *Letter `json:"update,omitempty"`
	Delete  *Letter `json:"delete,omitempty"`
	From    *uint64 `json:"from,omitempty"`
	Follow  bool    `json:"follow,omitempty"` // with from: go on with those that come
	Done    *uint64 `json:"done,omitempty"`
	Status  bool    `json:"status,omitempty"`
}

// Letter is what an order is about.
type Letter struct {
	To     zone.MemberID `json:"to,omitempty"`
	Object string        `json:"object,omitempty"`
	Ref    *zone.HID     `json:"ref,omitempty"`
	Text   *string       `json:"text,omitempty"`
	Base64 []byte        `json:"base64,omitempty"`
	Seal   bool          `json:"seal,omitempty"`
}

// Reply is a line of JSON to the application. An order is answered when it is
// durable, by its number alone, and again by receipt or refusal; a read that was
// allowed by its object, too.
type Reply struct {
	ID       string        `json:"id,omitempty"`
	Order    uint64        `json:"order,omitempty"`
	Receipt  *Receipt      `json:"receipt,omitempty"`
	Refused  contract.Code `json:"refused,omitempty"`
	Object   *ReceivedLine `json:"object,omitempty"`
	Received *ReceivedLine `json:"received,omitempty"`
	End      uint64        `json:"end,omitempty"` // there are no more now: the position to go on from
	Done     *uint64       `json:"done,omitempty"`
	Status   *Status       `json:"status,omitempty"`
	Error    string        `json:"error,omitempty"`
}

// Receipt says where a transaction stands on the ledger.
type Receipt struct {
	N     uint64   `json:"n"`
	ID    zone.HID `json:"h_id"`
	Block uint64   `json:"block"`
}

// ReceivedLine is a [Message] as JSON.
type ReceivedLine struct {
	Position uint64        `json:"position,omitempty"`
	From     zone.MemberID `json:"from"`
	To       zone.MemberID `json:"to"`
	Op       string        `json:"op"`
	Object   string        `json:"object,omitempty"`
	Ref      *zone.HID     `json:"ref,omitempty"`
	Received string        `json:"received,omitempty"` // by the master's clock, RFC 3339
	ID       zone.HID      `json:"h_id"`
	Sealed   bool          `json:"sealed,omitempty"`
	Text     *string       `json:"text,omitempty"`   // the content, if it is UTF-8
	Base64   []byte        `json:"base64,omitempty"` // else
	Problem  string        `json:"problem,omitempty"`
}

func (m *Message) line() *ReceivedLine {
	l := &ReceivedLine{Position: m.Position, From: m.From, To: m.To, Op: m.Op.String(), Object: m.Object, ID: m.ID, Sealed: m.Sealed}
	if m.Ref != (zone.HID{}) {
		l.Ref = &m.Ref
	}
	if m.Received != 0 {
		l.Received = time.Unix(0, int64(m.Received)).UTC().Format(time.RFC3339Nano)
	}
	switch {
	case m.Closed != nil:
		l.Problem = m.Closed.Error()
	case utf8.Valid(m.Content):
		text := string(m.Content)
		l.Text = &text
	default:
		l.Base64 = m.Content
	}
	return l
}

// maxLine is the longest line of JSON in bytes, and outstanding how many orders of
// one application may be without an answer before its next line is read.
const (
	maxLine     = 512 << 10
	outstanding = 256
)

// Serve listens on the state directory's socket, which only the owner may use, and
// talks to whoever connects, until the context ends.
func (f *Follower) Serve(ctx context.Context) error {
	path := filepath.Join(f.dir, SocketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // the lock says that nobody listens there
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("%w (the path of a socket may have about 100 bytes: is %s longer?)", err, f.dir)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return err
	}
	var talks sync.WaitGroup
	defer talks.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		talks.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			if err := f.Talk(ctx, c, c); err != nil && ctx.Err() == nil {
				f.options.Log.Warn("an application's connection broke", "problem", err)
			}
		})
	}
}

// talk is the conversation with one application.
type talk struct {
	*Follower
	mu   sync.Mutex
	out  *json.Encoder
	slot chan struct{}
	work sync.WaitGroup
}

// Talk reads commands, one a line, and writes replies, until in ends and every
// order that came over it is answered, or the context ends.
func (f *Follower) Talk(ctx context.Context, in io.Reader, out io.Writer) error {
	t := &talk{Follower: f, out: json.NewEncoder(out), slot: make(chan struct{}, outstanding)}
	t.out.SetEscapeHTML(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		c, err := parseCommand(lines.Bytes())
		if err == nil {
			err = t.obey(ctx, c)
		}
		if err != nil {
			if err := t.write(Reply{ID: c.ID, Error: err.Error()}); err != nil {
				return err
			}
		}
	}
	if lines.Err() != nil {
		cancel()
	}
	t.work.Wait()
	return lines.Err()
}

func (t *talk) write(r Reply) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.Encode(r)
}

func parseCommand(line []byte) (c Command, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("not a command: %w: want a line like {\"send\": {\"to\": \"hub\", \"text\": \"hello\"}}", err)
	}
	if d.More() {
		return c, errors.New("not a command: one line holds one")
	}
	return c, nil
}

// order gives what a command orders; nil if it is none.
func (c *Command) order(me zone.MemberID) (*Order, error) {
	var l *Letter
	o := &Order{ID: c.ID}
	for i, letter := range []*Letter{c.Send, c.Request, c.Reply, c.Create, c.Read, c.Update, c.Delete} {
		if letter == nil {
			continue
		}
		if l != nil {
			return nil, errors.New("one command gives one order")
		}
		l, o.Op = letter, contract.Op(i+1)
	}
	if l == nil {
		return nil, nil
	}
	o.To, o.Object, o.Content, o.Seal = l.To, l.Object, l.Base64, l.Seal
	if o.To == "" && o.Op >= contract.OpCreate {
		o.To = me
	}
	if l.Ref != nil {
		o.Ref = *l.Ref
	}
	if l.Text != nil {
		if l.Base64 != nil {
			return nil, errors.New("text or base64, not both")
		}
		o.Content = []byte(*l.Text)
	}
	return o, nil
}

func (t *talk) obey(ctx context.Context, c Command) error {
	order, err := c.order(t.me.Member)
	if err != nil {
		return err
	}
	fields := 0
	for _, set := range []bool{order != nil, c.From != nil, c.Done != nil, c.Status} {
		if set {
			fields++
		}
	}
	switch {
	case fields != 1 || c.Follow && c.From == nil:
		return errors.New("want one of send, request, reply, create, read, update, delete, from, done and status")
	case order != nil:
		return t.give(ctx, *order)
	case c.From != nil:
		t.work.Go(func() { t.stream(ctx, *c.From, c.Follow) })
		return nil
	case c.Done != nil:
		if err := t.Done(*c.Done); err != nil {
			return err
		}
		return t.write(Reply{Done: c.Done})
	}
	s := t.Status()
	return t.write(Reply{Status: &s})
}

// give hands the order to the outbox, and its answers to the application.
func (t *talk) give(ctx context.Context, o Order) error {
	select {
	case t.slot <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	answers := make(chan Answer, 2)
	number, err := t.Accept(o, answers)
	if err != nil {
		<-t.slot
		return err
	}
	taken := Reply{ID: o.ID, Order: number}
	err = t.write(taken)
	reads := o.Op == contract.OpRead
	t.work.Go(func() { // which does not hold the content
		defer func() { <-t.slot }()
		defer t.Forget(number, answers)
		t.answer(ctx, taken, reads, answers)
	})
	return err
}

// answer writes what an order comes to.
func (t *talk) answer(ctx context.Context, taken Reply, reads bool, answers <-chan Answer) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-answers:
			r, more := taken, false
			switch {
			case a.Lost:
				r.Error = "the object did not come: the connection was lost, or the master has lost the object; give another order to read it"
			case a.Object != nil:
				r.Object = a.Object.line()
			case a.Result.Code != "":
				r.Refused = a.Result.Code
			default:
				r.Receipt = &Receipt{N: a.Result.N, ID: a.Result.ID, Block: a.Result.Block}
				more = reads
			}
			if t.write(r) != nil || !more {
				return
			}
		}
	}
}

// stream writes the messages from a position on.
func (t *talk) stream(ctx context.Context, from uint64, follow bool) {
	for {
		next, more, err := t.Read(from, func(m *Message) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return t.write(Reply{Received: m.line()})
		})
		if err != nil {
			if ctx.Err() == nil {
				t.write(Reply{Error: err.Error()})
			}
			return
		}
		if !follow {
			t.write(Reply{End: next})
			return
		}
		from = next
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

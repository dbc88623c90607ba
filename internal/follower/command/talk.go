package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"bellwether/internal/contract"
	"bellwether/internal/follower"
	"bellwether/internal/zone"
)

// client talks to a follower that runs.
type client struct {
	net.Conn
	in  *json.Decoder
	out *json.Encoder
}

func connect(ctx context.Context, dir string) (*client, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, follower.SocketFile))
	if err != nil {
		return nil, fmt.Errorf("no follower runs on %s: start it with run --state %s (%w)", dir, dir, err)
	}
	context.AfterFunc(ctx, func() { c.Close() })
	return &client{Conn: c, in: json.NewDecoder(c), out: json.NewEncoder(c)}, nil
}

// ask gives a command and reads the first line that answers it.
func (c *client) ask(command follower.Command) (r follower.Reply, err error) {
	if err := c.out.Encode(command); err != nil {
		return r, err
	}
	return c.next()
}

func (c *client) next() (r follower.Reply, err error) {
	if err := c.in.Decode(&r); err != nil {
		return r, fmt.Errorf("the follower ended: %w", err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

func (p *Program) print(v any) error { return json.NewEncoder(p.Stdout).Encode(v) }

// content gives what is to be sent: an argument, a file, or stdin.
func (p *Program) content(o *options, args []string) (b []byte, err error) {
	switch {
	case len(args) == 1 && o.file != "":
		return nil, usageError{errors.New("TEXT or --file, not both")}
	case len(args) == 1:
		return []byte(args[0]), nil
	case o.file != "":
		b, err = os.ReadFile(o.file)
	default:
		b, err = io.ReadAll(p.Stdin)
	}
	if len(b) == 0 && err == nil {
		b = []byte{} // JSON leaves it out: nothing is a content too
	}
	return b, err
}

func (p *Program) send(ctx context.Context, o *options, args []string) error {
	if o.to == "" {
		return usageError{errors.New("send: --to NAME is missing")}
	}
	if o.request && o.ref != "" {
		return usageError{errors.New("send: --request or --reply, not both")}
	}
	content, err := p.content(o, args)
	if err != nil {
		return err
	}
	l := &follower.Letter{To: zone.MemberID(o.to), Base64: content, Seal: o.seal}
	command := follower.Command{ID: o.id}
	switch {
	case o.ref != "":
		l.Ref = new(zone.HID)
		if err := l.Ref.UnmarshalText([]byte(o.ref)); err != nil {
			return usageError{fmt.Errorf("send: --reply: %w", err)}
		}
		command.Reply = l
	case o.request:
		command.Request = l
	default:
		command.Send = l
	}
	return p.order(ctx, o, command, false)
}

func (p *Program) data(ctx context.Context, o *options, args []string) (err error) {
	l := &follower.Letter{To: zone.MemberID(o.to), Object: args[1]}
	command := follower.Command{ID: o.id}
	carries := false
	switch args[0] {
	case "create":
		command.Create, carries = l, true
	case "update":
		command.Update, carries = l, true
	case "read":
		command.Read = l
	case "delete":
		command.Delete = l
	default:
		return usageError{fmt.Errorf("data: want create, read, update or delete, got %q", args[0])}
	}
	if !carries && (len(args) > 2 || o.file != "") {
		return usageError{fmt.Errorf("data: %s takes no content", args[0])}
	}
	if carries {
		if l.Base64, err = p.content(o, args[2:]); err != nil {
			return err
		}
	}
	return p.order(ctx, o, command, command.Read != nil)
}

// order gives a command and waits for what it comes to.
func (p *Program) order(ctx context.Context, o *options, command follower.Command, object bool) error {
	c, err := connect(ctx, o.state)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.ask(command)
	for err == nil && r.Refused == "" && r.Receipt == nil {
		r, err = c.next()
	}
	switch {
	case err != nil:
		return err
	case r.Refused != "":
		return fmt.Errorf("the zone refuses it: %s", inWords(r.Refused))
	case !object && o.json:
		return p.print(r)
	case !object:
		fmt.Fprintf(p.Stdout, "transaction %d stands in block %d: %s\n", r.Receipt.N, r.Receipt.Block, r.Receipt.ID)
		return nil
	}
	if r, err = c.next(); err != nil {
		return err
	}
	return p.show(o, r.Object)
}

// inWords says what a refusal means where something can be done about it.
func inWords(c contract.Code) string {
	switch c {
	case contract.CodeUnasked:
		return fmt.Sprintf("%s: the recipient has no such request to this follower open: it had its reply, gave way to %d newer ones, or never was made", c, contract.MaxOpen)
	case contract.CodeRecipient:
		return string(c) + ": the zone has no such member, or it was revoked"
	case contract.CodePolicy:
		return string(c) + ": the zone's policy does not allow it; the operator can say why with `bellwether policy explain`"
	}
	return string(c)
}

// show prints an object: its bytes, or all that is known of it as JSON.
func (p *Program) show(o *options, l *follower.ReceivedLine) error {
	if o.json {
		return p.print(l)
	}
	if l.Problem != "" {
		return errors.New(l.Problem)
	}
	content := l.Base64
	if l.Text != nil {
		content = []byte(*l.Text)
	}
	if terminal(p.Stdout) {
		content = append(content, '\n')
	}
	_, err := p.Stdout.Write(content)
	return err
}

func (p *Program) receive(ctx context.Context, o *options, _ []string) error {
	c, err := connect(ctx, o.state)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.ask(follower.Command{From: &o.from, Follow: o.follow})
	last := uint64(0)
	for ; err == nil && r.End == 0; r, err = c.next() {
		if r.Received == nil {
			continue // the answer to done
		}
		if err := p.line(o, r.Received); err != nil {
			return err
		}
		last = r.Received.Position
		if o.done && o.follow {
			if err := c.out.Encode(follower.Command{Done: &last}); err != nil {
				return err
			}
		}
	}
	if err == nil && o.done && last > 0 {
		_, err = c.ask(follower.Command{Done: &last})
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// line prints a message for people, or as JSON.
func (p *Program) line(o *options, l *follower.ReceivedLine) error {
	if o.json {
		return p.print(l)
	}
	text := fmt.Sprintf("%d bytes, not text", len(l.Base64))
	if l.Text != nil {
		text = strconv.Quote(*l.Text)
	}
	if l.Problem != "" {
		text = "(" + l.Problem + ")"
	}
	what := l.Op
	if l.Sealed {
		what += ", sealed"
	}
	if l.Ref != nil {
		what += " to " + l.Ref.Short()
	}
	_, err := fmt.Fprintf(p.Stdout, "%d  %s  %s (%s, %s): %s\n", l.Position, l.Received, l.From, what, l.ID.Short(), text)
	return err
}

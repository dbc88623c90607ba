// Package command is the follower's command line, for the small program of its own
// and for `bellwether follower`.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// Program is the command line with what it talks to.
type Program struct {
	Name           string // as it was called: "bellwether-follower"
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// usageError is a wrong use of the command line: exit code 2.
type usageError struct{ error }

const help = `A follower is a device that belongs to a zone of Bellwether: it proves who it is with
its own key, says things to other members as transactions on the zone's ledger, and
keeps what they say to it.

Start with:
  NAME init --state DIR --name hall-sensor    make its key; prints its identity
  NAME join - --state DIR                     pin the zone, from the master's invite on
                                              standard input
  NAME run --state DIR                        keep the connection

Then, beside it:
  NAME send --state DIR --to hub "it rains"   a message; --seal encrypts it to the hub
  NAME receive --state DIR --follow           what others say
  NAME data create door "open" --state DIR    data that the zone keeps for it; also
                                              read, update, delete
  NAME shares --state DIR                     shares of the zone's backups that it keeps
  NAME status --state DIR

Programs talk JSON lines with it, over the socket DIR/socket or with run --stdio:
  {"send": {"to": "hub", "text": "it rains"}, "id": "rain-1"}
  {"from": 1, "follow": true}

NAME COMMAND --help says what a command takes.
`

type command struct {
	name, args, about string
	run               func(*Program, context.Context, *options, []string) error
	flags             func(*flag.FlagSet, *options)
	least, most       int // arguments
}

// options are the flags of all commands.
type options struct {
	state, name, ticket, to, file, ref, id string
	from                                   uint64
	seal, request, follow, done, json      bool
	stdio, noQR                            bool
}

func commands() []command {
	return []command{
		{name: "init", about: "Makes the follower's keys in the state directory, and prints its identity as text and\nQR code: the zone's operator admits it by that. Said again, it prints the same.", run: (*Program).init,
			flags: func(f *flag.FlagSet, o *options) {
				f.StringVar(&o.name, "name", "", "the follower's `NAME` in the zone: 1 to 63 of a-z, 0-9 and -")
				f.BoolVar(&o.noQR, "no-qr", false, "print the text alone")
			}},
		{name: "join", args: "INVITE|-", about: "Pins the zone, its master's key and its certificate, from the invite that\n`bellwether zone invite` printed. With - it is read from standard input, one line. As an\nargument every user of this machine can see it, and with it a one-time code: give it so\nonly where there is no other user, and quote it: it has an & in it.", run: (*Program).join, least: 1, most: 1,
			flags: func(f *flag.FlagSet, o *options) {
				f.StringVar(&o.ticket, "ticket", "", "`FILE` with a ticket that was handed over by other ways than the network")
			}},
		{name: "run", about: "Keeps the connection to the master until it is stopped (SIGTERM, Ctrl-C), and talks to\nprograms over DIR/socket. Killed at any moment, it goes on where it was.", run: (*Program).runIt,
			flags: func(f *flag.FlagSet, o *options) {
				f.BoolVar(&o.stdio, "stdio", false, "talk JSON lines over stdin and stdout, too, and end with stdin")
			}},
		{name: "send", args: "[TEXT]", about: "Sends a message, and waits for its receipt. Without TEXT it is read from stdin.", run: (*Program).send, most: 1,
			flags: func(f *flag.FlagSet, o *options) {
				f.StringVar(&o.to, "to", "", "the recipient's `NAME`, master, or '*' for everyone")
				f.StringVar(&o.file, "file", "", "send the bytes of `FILE`")
				f.StringVar(&o.id, "id", "", "the message's own `NAME`: given again, it is the same message")
				f.StringVar(&o.ref, "reply", "", "as the reply to the recipient's request with this `H-ID`, of which there is one")
				f.BoolVar(&o.request, "request", false, "as a request, to which a reply is expected")
				f.BoolVar(&o.seal, "seal", false, "encrypt it, so that only the recipient can read it")
				f.BoolVar(&o.json, "json", false, "print JSON")
			}},
		{name: "receive", about: "Prints what others said.", run: (*Program).receive,
			flags: func(f *flag.FlagSet, o *options) {
				f.Uint64Var(&o.from, "from", 1, "begin with this `POSITION`")
				f.BoolVar(&o.follow, "follow", false, "go on with what comes")
				f.BoolVar(&o.done, "done", false, "what was printed is needed no more")
				f.BoolVar(&o.json, "json", false, "print JSON")
			}},
		{name: "data", args: "create|read|update|delete OBJECT [TEXT]", about: "Changes or reads data that the zone keeps, of this follower or of another member.", run: (*Program).data, least: 2, most: 3,
			flags: func(f *flag.FlagSet, o *options) {
				f.StringVar(&o.to, "of", "", "whose data: a `NAME`; this follower's own if left out")
				f.StringVar(&o.file, "file", "", "keep the bytes of `FILE`")
				f.StringVar(&o.id, "id", "", "the order's own `NAME`: given again, it is the same order")
				f.BoolVar(&o.json, "json", false, "print JSON")
			}},
		{name: "shares", about: "Prints the shares of its zone's backups that it keeps: 'bellwether zone restore' takes enough of them.", run: (*Program).shares, flags: func(*flag.FlagSet, *options) {}},
		{name: "status", about: "Says how the follower is, also when it is not running.", run: (*Program).status,
			flags: func(f *flag.FlagSet, o *options) { f.BoolVar(&o.json, "json", false, "print JSON") }},
	}
}

// Main runs a command line and gives the exit code: 0, 1 for what failed, 2 for
// wrong usage.
func (p *Program) Main(ctx context.Context, args []string) int {
	err := p.main(ctx, args)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(p.Stderr, "%s: %v\n  see `%s help`\n", p.Name, err, p.Name)
		return 2
	case errors.Is(err, context.Canceled):
		return 1
	}
	fmt.Fprintf(p.Stderr, "%s: %v\n", p.Name, err)
	return 1
}

func (p *Program) main(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		fmt.Fprint(p.Stdout, strings.ReplaceAll(help, "NAME ", p.Name+" "))
		return nil
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.start(p, ctx, args[1:])
		}
	}
	return usageError{fmt.Errorf("there is no command %q", args[0])}
}

func (c command) start(p *Program, ctx context.Context, args []string) error {
	o := new(options)
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.state, "state", "", "the follower's state directory `DIR`")
	c.flags(f, o)
	positional, err := parse(f, args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(p.Stdout, "%s\n\n  %s %s\n\n", c.about, p.Name, strings.TrimSpace(c.name+" --state DIR [FLAGS] "+c.args))
		f.SetOutput(p.Stdout)
		f.PrintDefaults()
		return err
	}
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", c.name, err)}
	}
	if o.state == "" {
		return usageError{fmt.Errorf("%s: --state DIR is missing", c.name)}
	}
	if len(positional) < c.least || len(positional) > c.most {
		return usageError{fmt.Errorf("%s: want %s, got %d arguments", c.name, strings.TrimSpace(c.args+" and flags"), len(positional))}
	}
	return c.run(p, ctx, o, positional)
}

// parse takes flags before, between and behind the arguments.
func parse(f *flag.FlagSet, args []string) (positional []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		rest := f.Args()
		if len(rest) == 0 {
			return positional, nil
		}
		if read := len(args) - len(rest); read > 0 && args[read-1] == "--" {
			return append(positional, rest...), nil
		}
		positional, args = append(positional, rest[0]), rest[1:]
	}
}

// terminal reports whether a reader or a writer is one.
func terminal(v any) bool {
	file, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

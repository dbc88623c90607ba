package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"bellwether/internal/follower"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

func (p *Program) init(_ context.Context, o *options, _ []string) error {
	if o.name == "" {
		return usageError{errors.New("init: --name NAME is missing")}
	}
	me, err := follower.Init(o.state, zone.MemberID(o.name))
	if err != nil {
		return err
	}
	fmt.Fprintln(p.Stdout, me)
	if o.noQR {
		return nil
	}
	code, err := picture(me.String(), terminal(p.Stdout))
	if err != nil {
		return err
	}
	fmt.Fprint(p.Stdout, code)
	return nil
}

func (p *Program) join(ctx context.Context, o *options, args []string) error {
	text := args[0]
	if text == "-" {
		var err error
		if text, err = p.readLine(ctx, "invite: "); err != nil {
			return fmt.Errorf("join: %w", err)
		}
	}
	invite, err := message.ParseInvite(text)
	if err != nil {
		return err
	}
	var ticket []byte
	if o.ticket != "" {
		if ticket, err = os.ReadFile(o.ticket); err != nil {
			return err
		}
	}
	if err := follower.Join(o.state, invite, ticket); err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "joins zone %s at %s; start it: %s run --state %s\n", invite.Zone.Short(), invite.Address, p.Name, o.state)
	return nil
}

// maxLine is more than any invite has bytes.
const maxLine = 4096

// readLine reads a line from stdin, which it asks for on a terminal.
func (p *Program) readLine(ctx context.Context, prompt string) (string, error) {
	if terminal(p.Stdin) {
		fmt.Fprint(p.Stderr, prompt)
	}
	type read struct {
		text string
		err  error
	}
	done := make(chan read, 1)
	go func() { // nothing wakes up who reads stdin, so nobody waits for this
		text, err := bufio.NewReader(io.LimitReader(p.Stdin, maxLine)).ReadString('\n')
		done <- read{strings.TrimSpace(text), err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-done:
		switch {
		case r.err != nil && r.err != io.EOF:
			return "", r.err
		case r.text == "":
			return "", errors.New("standard input is empty: want the line that `bellwether zone invite` prints")
		}
		return r.text, nil
	}
}

// A follower's machine is small: memory is given back early rather than late, and
// above the limit at almost any price in time.
const (
	memoryLimit = 12 << 20
	garbage     = 25 // per cent of what is in use
)

func (p *Program) runIt(ctx context.Context, o *options, _ []string) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	f, err := follower.Open(o.state, follower.Options{Log: slog.New(slog.NewTextHandler(p.Stderr, nil))})
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- f.Run(ctx) }()
	go func() { ended <- f.Serve(ctx) }()
	if o.stdio {
		go func() { // nothing wakes up who reads stdin, so nobody waits for this
			defer cancel()
			if err := f.Talk(ctx, p.Stdin, p.Stdout); err != nil {
				fmt.Fprintf(p.Stderr, "%s: stdin: %v\n", p.Name, err)
			}
		}()
	}
	for range cap(ended) {
		err = errors.Join(err, <-ended)
		cancel() // the first that ends ends the other
	}
	return err
}

// shares prints what the follower keeps for its zone.
func (p *Program) shares(_ context.Context, o *options, _ []string) error {
	all, err := follower.Shares(o.state)
	for _, text := range all {
		fmt.Fprintln(p.Stdout, text)
	}
	if err == nil && len(all) == 0 {
		fmt.Fprintln(p.Stderr, "none: the master hands them out with `bellwether zone backup --to`")
	}
	return err
}

// status asks the follower that runs, or reads the directory of one that does not.
func (p *Program) status(ctx context.Context, o *options, _ []string) error {
	s, err := p.askStatus(ctx, o)
	if err != nil {
		return err
	}
	if o.json {
		return p.print(s)
	}
	line := func(name string, value any) { fmt.Fprintf(p.Stdout, "%-12s%v\n", name, value) }
	line("name", s.Name)
	line("identity", s.Identity)
	if s.Zone == "" {
		line("zone", "none yet: give it an invite with join")
		return nil
	}
	line("zone", s.Zone)
	line("master", s.Master)
	how := "no"
	if s.Connected {
		how = fmt.Sprintf("yes, %s; the ledger has %d blocks", meaning(s.Standing), s.Height)
	}
	line("connected", how)
	if s.Problem != "" {
		line("problem", s.Problem)
	}
	line("said", fmt.Sprintf("%d transactions; %d wait", s.N, s.Waiting))
	line("heard", fmt.Sprintf("up to position %d", s.Position))
	return nil
}

func meaning(s message.Standing) string {
	switch s {
	case message.StandingMember:
		return "a member"
	case message.StandingPending:
		return "waiting for an operator to admit it"
	case message.StandingRenew:
		return "waiting for a new ticket"
	}
	return string(s)
}

func (p *Program) askStatus(ctx context.Context, o *options) (*follower.Status, error) {
	c, err := connect(ctx, o.state)
	if err == nil {
		defer c.Close()
		r, err := c.ask(follower.Command{Status: true})
		if err != nil {
			return nil, err
		}
		return r.Status, nil
	}
	f, opened := follower.Open(o.state, follower.Options{})
	if opened != nil {
		return nil, opened
	}
	s := f.Status()
	s.Problem = strings.TrimSpace(s.Problem + " it is not running")
	return &s, f.Close()
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"bellwether/internal/gateway"
	"bellwether/internal/message"
)

// membersList is the list members: tickets, sessions, and messages that pass only
// through the ledger.
func (b *bench) membersList() []check {
	return []check{
		{"a session ends with the block, in three network namespaces", b.sessionsEnd},
		{"attacks, each refused by name", b.membersAttacked},
		{"load, and a restart in the middle", b.membersLoaded},
		{"kill -9 of master and followers", b.membersKilled},
		{"the follower in Python", b.pythonFollower},
		{"vectors, fuzz targets and random walks", b.membersFuzzed},
	}
}

// loopback is a free port of it.
const loopback = "127.0.0.1:0"

// patient is how long the list waits for what has to come.
const patient = 2 * time.Minute

// said keeps what a program says, line by line, with the moment at which it came.
type said struct {
	mu    sync.Mutex
	rest  []byte
	lines []saidLine
	more  chan struct{} // closed when there is more
}

type saidLine struct {
	at   time.Time
	text string
}

func (s *said) Write(b []byte) (int, error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, b...)
	for {
		line, rest, ok := bytes.Cut(s.rest, []byte("\n"))
		if !ok {
			break
		}
		s.lines, s.rest = append(s.lines, saidLine{now, string(line)}), rest
	}
	if s.more != nil {
		close(s.more)
	}
	s.more = make(chan struct{})
	return len(b), nil
}

// count is how many lines there are.
func (s *said) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// await gives the first line from a number on that has the text in it.
func (s *said) await(from int, text string, within time.Duration) (saidLine, error) {
	late := time.After(within)
	for {
		s.mu.Lock()
		for ; from < len(s.lines); from++ {
			if strings.Contains(s.lines[from].text, text) {
				s.mu.Unlock()
				return s.lines[from], nil
			}
		}
		if s.more == nil {
			s.more = make(chan struct{})
		}
		more := s.more
		s.mu.Unlock()
		select {
		case <-more:
		case <-late:
			return saidLine{}, fmt.Errorf("waited %s in vain for %q; it said last: %s", within, text, s.last())
		}
	}
}

// last is what was said at last.
func (s *said) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text []string
	for _, l := range s.lines[max(0, len(s.lines)-3):] {
		text = append(text, l.text)
	}
	return strings.Join(text, " | ")
}

// process is a program under way.
type process struct {
	cmd   *exec.Cmd
	said  *said // on standard error
	ended chan struct{}
}

// launch starts a program in a network namespace. What it says goes to a file, too.
func launch(in namespace, log, path string, args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(path, args...), said: &said{}, ended: make(chan struct{})}
	p.cmd.Stderr = io.MultiWriter(p.said, file)
	if err := in.do(p.cmd.Start); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	go func() { p.cmd.Wait(); file.Close(); close(p.ended) }()
	return p, nil
}

// kill kills it, as a crash would.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// master is a zone's master under test: a zone with `bellwether run` on it.
type master struct {
	*bench
	program       string // bellwether, or one with another clock
	state, config string
	address       string
	run           *process // nil: it does not run
}

// serving says how a master under test serves members, and what else its
// configuration has.
type serving struct{ listen, members, more string }

// newMaster makes a zone and starts its master.
func (b *bench) newMaster(program string, s serving) (*master, error) {
	dir, err := b.scratch("zone")
	if err != nil {
		return nil, err
	}
	m := &master{bench: b, program: program, state: dir, config: dir + ".yaml"}
	if out, err := exec.Command(program, "zone", "init", "--state", m.state, "--name", "acceptance").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("zone init: %w: %s", err, out)
	}
	if err := m.configure(s); err != nil {
		return nil, err
	}
	if err := m.start(); err != nil {
		return nil, err
	}
	s.listen = m.address // from now on, so that followers find it again
	return m, m.configure(s)
}

func (m *master) configure(s serving) error {
	return os.WriteFile(m.config, fmt.Appendf(nil, "state: %s\nmembers: {listen: %q%s}\n%s", m.state, s.listen, s.members, s.more), 0o600)
}

var servesAt = regexp.MustCompile(`msg="serving members" listen=(\S+)`)

// start starts the master and waits until it serves members and takes orders.
func (m *master) start() error {
	var err error
	if m.run, err = launch(0, m.config+".log", m.program, "run", "--config", m.config); err != nil {
		return err
	}
	line, err := m.run.said.await(0, `msg="serving members"`, patient)
	if err != nil {
		m.run.kill()
		return fmt.Errorf("the master did not start: %w", err)
	}
	m.address = servesAt.FindStringSubmatch(line.text)[1]
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err = m.order(gateway.MemberOrder{Do: gateway.DoRequests}); err == nil || time.Since(began) > patient {
			return err
		}
	}
}

// order has the running master carry out an operator's order, as the commands do.
func (m *master) order(o gateway.MemberOrder) (gateway.MemberAnswer, error) {
	if _, err := os.Stat(filepath.Join(m.state, "control.sock")); err != nil {
		return gateway.MemberAnswer{}, err // or the order would open the state directory itself
	}
	return gateway.OrderMembers(context.Background(), m.state, o)
}

// command runs a command of the program about the zone, and gives what it prints.
func (m *master) command(args ...string) (string, error) {
	cmd := exec.Command(m.program, append(args, "--state", m.state)...)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("bellwether %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(problem.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// verify kills the master and has every byte that it left checked.
func (m *master) verify() error {
	m.run.kill()
	_, err := m.command("ledger", "verify")
	return err
}

// invite gives an invite, with a code that admits by itself.
func (m *master) invite(args ...string) (message.Invite, error) {
	text, err := m.command(append([]string{"zone", "invite"}, args...)...)
	if err != nil {
		return message.Invite{}, err
	}
	return message.ParseInvite(text)
}

// memberFollower is a follower under test: `bellwether-follower run` on a state
// directory of its own.
type memberFollower struct {
	program, name, dir string
	in                 namespace
	run                *process
}

// newFollower makes a follower, which joins and is started.
func (m *master) newFollower(program, name string, in namespace, grant ...string) (*memberFollower, error) {
	dir, err := m.scratch(name)
	if err != nil {
		return nil, err
	}
	f := &memberFollower{program: program, name: name, dir: dir, in: in}
	if _, err := f.command("init", "--name", name, "--no-qr"); err != nil {
		return nil, err
	}
	i, err := m.invite(append([]string{"--name", name}, grant...)...)
	if err != nil {
		return nil, err
	}
	if _, err := f.command("join", i.String()); err != nil {
		return nil, err
	}
	if err := f.start(); err != nil {
		return nil, err
	}
	if _, err := f.run.said.await(0, "standing=member", patient); err != nil {
		f.run.kill()
		return nil, fmt.Errorf("%s did not become a member: %w", name, err)
	}
	return f, nil
}

func (f *memberFollower) start() (err error) {
	f.run, err = launch(f.in, f.dir+".log", f.program, "run", "--state", f.dir)
	return err
}

// command runs a command of the follower's program.
func (f *memberFollower) command(args ...string) (string, error) {
	out, err := exec.Command(f.program, append(args, "--state", f.dir)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("bellwether-follower %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), nil
}

// kill kills whoever runs.
func killAll(m *master, followers ...*memberFollower) {
	if m != nil && m.run != nil {
		m.run.kill()
	}
	for _, f := range followers {
		if f != nil && f.run != nil {
			f.run.kill()
		}
	}
}

// until waits for something.
func until(what string, holds func() bool) error {
	for began := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patient {
			return errors.New("waited in vain until " + what)
		}
	}
	return nil
}

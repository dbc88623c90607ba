package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bellwether/internal/gateway"
)

// debianPython is the interpreter that Debian's packages are for.
const debianPython = "/usr/bin/python3"

// snake is the follower in Python under way.
type snake struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	said  *said // on standard output
	ended chan error
}

// newSnake starts the follower in Python on a state directory, with more
// variables in its environment.
func (m *master) newSnake(dir, name string, env ...string) (*snake, error) {
	i, err := m.invite("--name", name)
	if err != nil {
		return nil, err
	}
	s := &snake{cmd: exec.Command(debianPython, filepath.Join("examples", "follower.py"), "run", dir, name, i.String()), said: &said{}, ended: make(chan error, 1)}
	s.cmd.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1"), env...)
	s.cmd.Stdout, s.cmd.Stderr = s.said, os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	return s, nil
}

// pythonFollower has the follower that knows the format's page alone talk to the
// real master, and to a real follower.
func (b *bench) pythonFollower(o *outcome) error {
	o.goal = "examples/follower.py, by the format document alone: joins by invite, associates, sends and receives in the clear and sealed, creates, reads, updates and deletes"
	if out, err := exec.Command(debianPython, "-c", "import cbor2, cryptography, OpenSSL, wsproto").CombinedOutput(); err != nil {
		return fmt.Errorf("needs Debian's python3-cbor2, python3-cryptography, python3-openssl and python3-wsproto: %w: %s", err, out)
	}
	m, err := b.newMaster(b.binary, serving{listen: loopback})
	if err != nil {
		return err
	}
	var f *memberFollower
	defer func() { killAll(m, f) }()
	if f, err = m.newFollower(b.follower, "go", 0); err != nil {
		return err
	}
	dir, err := b.scratch("py")
	if err != nil {
		return err
	}
	s, err := m.newSnake(dir, "py")
	if err != nil {
		return err
	}
	defer s.cmd.Process.Kill()
	if err := s.talks(o, f); err != nil {
		return err
	}
	return m.sawPython(o)
}

// talks has it talk with a follower, both ways.
func (s *snake) talks(o *outcome, f *memberFollower) error {
	if _, err := s.said.await(0, `"member"`, patient); err != nil {
		return err
	}
	fmt.Fprintln(s.in, `{"send": "go", "text": "in the clear"}`)
	fmt.Fprintln(s.in, `{"send": "go", "text": "under seal", "seal": true}`)
	var got []string
	if err := until("both messages have come", func() bool {
		text, err := f.command("receive", "--json")
		got = strings.Split(text, "\n")
		return err == nil && len(got) == 2
	}); err != nil {
		return fmt.Errorf("%w; it says %s", err, s.said.last())
	}
	for i, want := range []string{`"text":"in the clear"`, `"text":"under seal"`} {
		o.need(strings.Contains(got[i], want) && strings.Contains(got[i], `"from":"py"`) && strings.Contains(got[i], `"sealed":true`) == (i == 1),
			"bellwether-follower received: %s", got[i])
	}
	for _, args := range [][]string{{"send", "--to", "py", "good morning"}, {"send", "--to", "py", "--seal", "good night"}} {
		if _, err := f.command(args...); err != nil {
			return err
		}
		line, err := s.said.await(0, args[len(args)-1], patient)
		if err != nil {
			return err
		}
		o.say("the follower in Python received: %s", line.text)
	}
	for _, line := range []string{`{"create": "py", "object": "door", "text": "open"}`, `{"update": "py", "object": "door", "text": "shut"}`, `{"read": "py", "object": "door"}`, `{"delete": "py", "object": "door"}`} {
		fmt.Fprintln(s.in, line)
	}
	line, err := s.said.await(0, `"op": "update"`, patient) // the version that it reads
	if err != nil {
		return err
	}
	o.need(strings.Contains(line.text, "shut"), "it read its data: %s", line.text)
	s.in.Close()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(patient):
		return errors.New("it did not end with its input")
	}
}

// sawPython looks for what it did on the ledger.
func (m *master) sawPython(o *outcome) error {
	var kinds []string
	err := m.entries(func(e gateway.Entry) {
		if e.Member != "py" {
			return
		}
		raw, _ := json.Marshal(e.Body)
		var b struct{ Op int }
		json.Unmarshal(raw, &b)
		kinds = append(kinds, fmt.Sprintf("%s %d", e.Kind, b.Op))
	})
	want := []string{"associated 0", "message 1", "message 1", "message 4", "message 6", "message 5", "message 7"}
	o.need(slices.Equal(kinds, want), "on the ledger, kind and operation: %q", kinds)
	return err
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/message"
)

// halfOpen is how many connections are opened and say nothing, or half of something.
const halfOpen = 10_000

// between puts somebody between a follower and the master, with a certificate of
// its own, who passes on what they say.
func (s *besieged) between() error {
	l, err := relay(s.address)
	if err != nil {
		return err
	}
	defer l.Close()
	i, err := s.invite("--name", "through", "--address", l.Addr().String())
	if err != nil {
		return err
	}
	dir, err := s.scratch("through")
	if err != nil {
		return err
	}
	f := &memberFollower{program: s.follower, name: "through", dir: dir}
	if _, err := f.command("init", "--name", f.name, "--no-qr"); err != nil {
		return err
	}
	if _, err := f.command("join", i.String()); err != nil {
		return err
	}
	if err := f.start(); err != nil {
		return err
	}
	defer f.run.kill()
	line, err := f.run.said.await(0, "is not the master that the invite names", patient)
	if err != nil {
		return err
	}
	_, why, _ := strings.Cut(line.text, "problem=")
	s.o.say("man in the middle with another certificate: bellwether-follower says %s", why)
	blind := like(s.a, "a", "a")
	blind.blind, blind.invite.Address = true, l.Addr().String()
	s.refused("man in the middle, and a follower that does not look at the pin", "binding", blind, nil)
	return nil
}

// relay listens with a valid certificate of its own and passes on to a master what
// comes inside TLS.
func relay(to string) (net.Listener, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", loopback, &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := tls.Dial("tcp", to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
				if err != nil {
					return
				}
				defer out.Close()
				go io.Copy(out, in)
				io.Copy(in, out)
			}()
		}
	}()
	return l, nil
}

// halfOpen holds connections open that prove nothing while A and B talk on, and
// somebody else joins.
func (s *besieged) halfOpen() error {
	calm, err := s.talks(20)
	if err != nil {
		return err
	}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	opened, failed := make(chan error, 1), 0
	go func() {
		for i := range halfOpen {
			c, err := net.DialTimeout("tcp", s.address, 5*time.Second)
			if err != nil {
				failed++
				continue
			}
			if i%3 == 0 {
				c.Write([]byte{0x16, 3, 1}) // the beginning of TLS
			}
			open = append(open, c)
		}
		opened <- nil
	}()
	var busy durations
	for done := false; !done; {
		d, err := s.talks(5)
		if err != nil {
			return err
		}
		busy = append(busy, d...)
		select {
		case <-opened:
			done = true
		default:
		}
	}
	newcomer := newClient(s.a.invite, "newcomer")
	if err := s.admit(newcomer); err != nil {
		return err
	}
	began := time.Now()
	err = newcomer.enter(s.ctx)
	s.o.need(err == nil, "after them a newcomer associated in %.2f s (%v)", time.Since(began).Seconds(), err)
	newcomer.close()
	most, _ := residentOf(s.run.cmd.Process.Pid)
	s.o.need(len(open) > halfOpen*9/10, "%d connections were opened from one address and prove nothing, %d were not taken; the master had at most %d MB resident", len(open), failed, most>>20)
	s.o.need(len(busy) >= 20, "meanwhile A and B talked on, %d messages from sent to delivered: %s; before: %s", len(busy), busy.sorted(), calm.sorted())
	return nil
}

// talks has A send messages to B, one after another.
func (s *besieged) talks(n int) (took durations, err error) {
	for i := range n {
		began, text := time.Now(), fmt.Sprint("still here ", i)
		if err := s.a.send(s.ctx, "b", text); err != nil {
			return nil, err
		}
		d, err := awaits[*message.Delivery](s.ctx, s.b)
		if err != nil {
			return nil, err
		}
		if got := string(d.Payload[contract.PayloadSalt:]); got != text {
			return nil, fmt.Errorf("to B came %q, want %q", got, text)
		}
		took = append(took, time.Since(began))
		if err := s.b.say(s.ctx, &message.Ack{Position: d.Position}); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// nowInGo is where Go's library takes the clock's time.
var nowInGo = regexp.MustCompile(`(?m)^func Now\(\) Time \{\n(.*sec, nsec, mono := .*\n)`)

// build1970 builds the programs from the same sources, with a clock that stands in
// the first day of 1970: Go's own time.Now, put back by a whole number of days.
func (b *bench) build1970() (dir string, err error) {
	if dir, err = b.scratch("1970"); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	path := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	back := fmt.Sprintf("${0}\tsec -= %d\n", time.Now().Unix()/86400*86400)
	changed := nowInGo.ReplaceAll(text, []byte(back))
	if string(changed) == string(text) {
		return "", fmt.Errorf("%s of %s is not as expected: its clock cannot be put back", path, runtime.Version())
	}
	other, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: other}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(other, changed, 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-overlay", overlay, "-o", dir, "./cmd/bellwether", "./cmd/bellwether-follower")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the programs of 1970: %w\n%s", err, out)
	}
	return dir, nil
}

// in1970 has master and followers talk whose clocks stand in 1970, on either side.
func (b *bench) in1970(o *outcome) error {
	old, err := b.build1970()
	if err != nil {
		return err
	}
	oldMaster, oldFollower := filepath.Join(old, "bellwether"), filepath.Join(old, "bellwether-follower")
	for _, t := range []struct{ what, master, follower string }{
		{"a follower in 1970 with a master of today", b.binary, oldFollower},
		{"a master in 1970 with a follower of today", oldMaster, b.follower},
	} {
		got, err := b.talkOver(t.master, t.follower)
		o.need(err == nil, "clock in 1970, %s: joined, associated, talked both ways: %v (%v)", t.what, got, err)
	}
	return nil
}

// talkOver makes a zone with those programs, and has two followers of the second
// talk with each other.
func (b *bench) talkOver(program, follower string) (got []string, err error) {
	m, err := b.newMaster(program, serving{listen: loopback})
	if err != nil {
		return nil, err
	}
	var both [2]*memberFollower
	defer func() { killAll(m, both[:]...) }()
	for i, name := range []string{"a", "b"} {
		if both[i], err = m.newFollower(follower, name, 0); err != nil {
			return nil, err
		}
	}
	for i, f := range both {
		to := both[1-i]
		if _, err := f.command("send", "--to", to.name, "--seal", "from "+f.name); err != nil {
			return nil, err
		}
		var text string
		if err := until("it has come", func() bool {
			text, err = to.command("receive")
			return err == nil && strings.Contains(text, "from "+f.name)
		}); err != nil {
			return nil, err
		}
		got = append(got, strings.TrimSpace(text))
	}
	return got, m.verify()
}

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// traces are what two runs have to agree in.
type traces struct {
	ledger, rows [sha256.Size]byte
	report       string
}

func (b *bench) traces(state string, r report) (traces, error) {
	var t traces
	shown, err := b.must("ledger", "show", "--json", "--state", state)
	if err != nil {
		return t, err
	}
	t.ledger = sha256.Sum256(shown.out.Bytes())
	path := filepath.Join(b.dir, "rows.csv")
	if _, err := b.must("store", "export", "--state", state, "-o", path); err != nil {
		return t, err
	}
	if t.rows, err = digest(path); err != nil {
		return t, err
	}
	r.Seconds = 0
	text, err := json.Marshal(r)
	t.report = string(text)
	return t, err
}

// digest reads a file through; it may be large.
func digest(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return [sha256.Size]byte(h.Sum(nil)), err
}

// compare says in what two runs differ.
func (o *outcome) compare(what string, got, want traces) {
	o.need(got.ledger == want.ledger, "%s: the ledgers are %s", what, equal(got.ledger == want.ledger))
	o.need(got.rows == want.rows, "%s: the stored rows are %s", what, equal(got.rows == want.rows))
	o.need(got.report == want.report, "%s: the reports, but for the seconds, are %s", what, equal(got.report == want.report))
}

func equal(yes bool) string {
	if yes {
		return "equal, byte for byte"
	}
	return "different"
}

func (b *bench) sameAgain(o *outcome) error {
	o.goal = "the same verdicts, row for row, and the same transactions"
	if err := b.learnZone(); err != nil {
		return err
	}
	want, err := b.traces(b.state, b.report)
	if err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(b.state, "store", "*.parquet"))
	if err != nil {
		return err
	}
	segment := func(share float64) string { return fmt.Sprintf("segment=%d ", int(share*float64(len(segments)))) }
	for _, c := range []struct {
		what  string
		flags []string
		stops []string // what its log says when it is interrupted
	}{
		{"--batch 7 --workers 3", []string{"--batch", "7", "--workers", "3"}, nil},
		{"--workers 1, interrupted four times", []string{"--batch", "64", "--workers", "1"}, []string{segment(0.1), "device learned", segment(0.5), segment(0.9)}},
	} {
		state, err := b.keyed(b.state)
		if err != nil {
			return err
		}
		args := append(b.learnAndWatch(), c.flags...)
		for _, s := range c.stops {
			when, err := b.interrupt(s, append([]string{"replay", "--state", state, "--log", "debug"}, args...)...)
			if err != nil {
				return err
			}
			o.say("interrupted after %.1f s", when.Seconds())
		}
		r, _, err := b.replay(state, args...)
		if err != nil {
			return err
		}
		got, err := b.traces(state, r)
		if err != nil {
			return err
		}
		o.compare(c.what, got, want)
	}
	return nil
}

// interrupt runs the program and sends it SIGINT when its log says something.
func (b *bench) interrupt(at string, args ...string) (time.Duration, error) {
	began := time.Now()
	cmd := exec.Command(b.binary, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	log := &trigger{at: at, fire: func() { cmd.Process.Signal(os.Interrupt) }}
	cmd.Stderr = log
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return 0, err
	}
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(log.text.String(), "stopped; run the same command again") {
		return 0, fmt.Errorf("an interrupted replay ended with exit code %d: want 1, and how to go on", code)
	}
	return time.Since(began), nil
}

// trigger is a log that fires once when a text comes up in it.
type trigger struct {
	at    string
	fire  func()
	text  bytes.Buffer
	fired bool
}

func (t *trigger) Write(p []byte) (int, error) {
	t.text.Write(p)
	if !t.fired && bytes.Contains(t.text.Bytes(), []byte(t.at)) {
		t.fired = true
		t.fire()
	}
	return len(p), nil
}

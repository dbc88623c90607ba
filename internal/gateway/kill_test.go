package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"bellwether/internal/alert"
	"bellwether/internal/ledger/fabric/networktest"
	"bellwether/internal/processtest"
	"bellwether/internal/zone"
)

var kills = flag.Int("kills", 10, "how often the kill test kills a replay")

// replayInstead makes this test program the replay that is to be killed.
const replayInstead = "BELLWETHER_TEST_REPLAY"

func TestMain(m *testing.M) {
	networktest.Main()
	processtest.Instead(replayInstead, replayJob)
	processtest.Instead(migrateInstead, migrateJob)
	processtest.Instead(zoneInstead, zoneJob)
	processtest.Instead(lockInstead, lockJob)
	status := m.Run()
	if c, err := recorded(); err == nil {
		os.RemoveAll(filepath.Dir(c.learn))
	}
	os.RemoveAll(template.dir)
	os.Exit(status)
}

// job is a replay for another process.
type job struct{ State, Learn, Watch, Alerts string }

// replayJob replays, logs every step and keeps the alerts in a file.
func replayJob(spec string) error {
	var j job
	if err := json.Unmarshal([]byte(spec), &j); err != nil {
		return err
	}
	sink, err := alert.OpenFile(j.Alerts)
	if err != nil {
		return err
	}
	defer sink.Close()
	_, err = Replay{StateDir: j.State, Learn: []string{j.Learn}, Watch: []string{j.Watch}, Config: quickly(),
		Log:    slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Events: Events{Alert: func(a Raised) error { return sink.Add(&a.Event) }},
	}.Run(context.Background())
	return err
}

// victim is a replay in a process of its own.
type victim struct {
	job
	told bytes.Buffer // what it said before it ended
}

// run starts the replay and kills it after a while. It reports whether the
// replay had come to its end.
func (v *victim) run(t *testing.T, while time.Duration) bool {
	t.Helper()
	return killedAfter(t, while, replayInstead, v.job, &v.told)
}

// killedAfter has this test program do work that a variable of the environment
// describes, kills it after a while, and reports whether it was done.
func killedAfter(t *testing.T, while time.Duration, instead string, work any, out io.Writer) bool {
	t.Helper()
	spec, err := json.Marshal(work)
	if err != nil {
		t.Fatal(err)
	}
	cmd := processtest.Again(t, instead, string(spec))
	cmd.Stdout = out
	return processtest.Killed(t, cmd, while)
}

var storedSeq = regexp.MustCompile(`msg="segment stored".* last_seq=(\d+)`)

// acknowledged checks that what the replay said before it died is there: every
// stored segment, and every alert with its verdict.
func (v *victim) acknowledged(t *testing.T) {
	t.Helper()
	s := mustOpen(t, v.State, StateOptions{Existing: true})
	defer s.Close()
	newest := zone.SeqID(0)
	for _, m := range storedSeq.FindAllStringSubmatch(v.told.String(), -1) {
		n, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		newest = max(newest, zone.SeqID(n))
	}
	if s.Store.Last() < newest {
		t.Errorf("SEQ %d was stored, after the restart the store ends with %d", newest, s.Store.Last())
	}
	verdicts := map[string]uint64{}
	for e, err := range s.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		verdicts[e.ID.String()] = e.Block
	}
	for id, block := range alertLines(t, v.Alerts) {
		if at, ok := verdicts[id]; !ok || at != block {
			t.Errorf("an alert names transaction %s in block %d, after the restart it is in block %d (%v)", id, block, at, ok)
		}
	}
}

// alertLines gives the transaction and block of each whole line of an alerts file.
func alertLines(t *testing.T, path string) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	in := bufio.NewReader(bytes.NewReader(b))
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return out
		}
		var e alert.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("alerts file: %v", err)
		}
		out[e.Bellwether.HID.String()] = e.Bellwether.Block
	}
}

// soundAfterRestart checks the directory as the next start leaves it: a torn
// tail of a file is repaired then, and nothing else may be wrong.
func soundAfterRestart(t *testing.T, dir string) {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{Existing: true})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	verifies(t, dir)
}

// TestKill kills replays at random moments, as often as -kills says.
func TestKill(t *testing.T) {
	n := *kills
	if testing.Short() {
		n = min(n, 3)
	}
	c := homeCaptures(t)
	dir, report := finished(t)
	want := resultOf(t, dir, report)
	noise := rand.New(rand.NewPCG(uint64(n), 9))
	start := func() *victim {
		return &victim{job: job{keyedDir(t), c.learn, c.watch, filepath.Join(t.TempDir(), "alerts.jsonl")}}
	}
	began := time.Now()
	if v := start(); !v.run(t, time.Hour) || len(alertLines(t, v.Alerts)) != 1 || !strings.Contains(v.told.String(), "segment stored") {
		t.Fatalf("a replay that nobody kills does not work: %s", v.told.String())
	}
	whole := time.Since(began)
	v, lives := start(), 0
	for i := range n {
		while := 10*time.Millisecond + time.Duration(noise.Int64N(int64(whole)))
		done := v.run(t, while)
		if _, err := os.Stat(filepath.Join(v.State, formatFile)); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(v.State, ledgerDir, "blocks.log")); err == nil {
			soundAfterRestart(t, v.State)
			v.acknowledged(t)
		}
		if t.Failed() {
			t.Fatalf("kill %d, after %s", i, while)
		}
		if lives++; done || lives == 4 || i == n-1 {
			if !done && !v.run(t, time.Hour) {
				t.Fatal("the replay did not come to its end")
			}
			again := mustRun(t, Replay{StateDir: v.State, Learn: []string{c.learn}, Watch: []string{c.watch}, Config: quickly()})
			same(t, resultOf(t, v.State, again), want)
			if lines := alertLines(t, v.Alerts); len(lines) != 1 {
				t.Errorf("%d alerts were written, want 1", len(lines))
			}
			v, lives = start(), 0
		}
	}
}

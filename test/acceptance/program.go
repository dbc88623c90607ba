package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"bellwether/internal/gateway"
	"bellwether/internal/zone"
)

// report is the part of a replay's report that is looked at here.
type report struct {
	Devices        []deviceReport
	Packets        uint64
	Seconds        float64
	WatchedSeconds float64 `json:"watched_seconds"`
	Ledger         struct {
		Height uint64
		Head   string
	}
	Damaged []string
}

type deviceReport struct {
	MAC         zone.MAC
	Name, State string
	Threshold   *float64
	Learned     uint64 `json:"learned_snapshots"`
	Watched     uint64 `json:"watched_snapshots"`
	// AlarmSeconds is the time that it was called malicious.
	AlarmSeconds float64 `json:"alarm_seconds"`
	Alerts       []struct {
		ID, Start, Reason, Kind string
		End                     *string
	}
}

// learnedMACs are the addresses of the devices that are judged.
func (r *report) learnedMACs() (macs []zone.MAC) {
	for _, d := range r.Devices {
		if d.Threshold != nil {
			macs = append(macs, d.MAC)
		}
	}
	return macs
}

// judged counts the devices of which anything was judged.
func (r *report) judged() (n int) {
	for _, d := range r.Devices {
		if d.Watched > 0 {
			n++
		}
	}
	return n
}

// ran is a run of the program that ended.
type ran struct {
	code     int
	out, err bytes.Buffer
	rss      int64 // most memory that it had, in bytes
}

// program runs the program to its end. The error is for a run that could not be
// made; what the program itself said is in ran.
func (b *bench) program(args ...string) (*ran, error) {
	cmd := exec.Command(b.binary, args...)
	var r ran
	cmd.Stdout, cmd.Stderr = &r.out, &r.err
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		r.watchMemory(cmd.Process.Pid, stop)
	}()
	err := cmd.Wait()
	close(stop)
	<-stopped
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	r.code = cmd.ProcessState.ExitCode()
	return &r, nil
}

var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// watchMemory reads the process's peak of resident memory until stop is closed.
// What getrusage gives is no less than what this process had when it forked.
func (r *ran) watchMemory(pid int, stop <-chan struct{}) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if m := peak.FindSubmatch(status); m != nil {
			kB, _ := strconv.ParseInt(string(m[1]), 10, 64)
			r.rss = max(r.rss, kB<<10)
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// must runs the program and wants it to succeed.
func (b *bench) must(args ...string) (*ran, error) {
	r, err := b.program(args...)
	if err == nil && r.code != 0 {
		err = fmt.Errorf("bellwether %s: exit code %d: %s", strings.Join(args, " "), r.code, bytes.TrimSpace(r.err.Bytes()))
	}
	return r, err
}

// replay runs a replay and reads its report.
func (b *bench) replay(state string, args ...string) (report, *ran, error) {
	path := filepath.Join(b.dir, "report.json")
	args = append([]string{"replay", "--state", state, "--report", path}, args...)
	r, err := b.must(args...)
	if err != nil {
		return report{}, r, err
	}
	var out report
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	return out, r, err
}

// learnAndWatch are the arguments of the whole replay.
func (b *bench) learnAndWatch() []string {
	args := []string{"--learn", b.zone.training, "--watch"}
	args = append(args, b.zone.monitoring...)
	if b.zone.names != "" {
		args = append(args, "--devices", b.zone.names)
	}
	return args
}

// scratch gives a new path that does not exist.
func (b *bench) scratch(name string) (string, error) {
	dir, err := os.MkdirTemp(b.dir, name+"-")
	return filepath.Join(dir, name), err
}

// copyState copies a state directory.
func (b *bench) copyState(from string) (string, error) {
	to, err := b.scratch("state")
	if err != nil {
		return "", err
	}
	return to, gateway.CopyState(from, to)
}

func copyFile(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}

// keyed makes a state directory of the same master that has seen nothing yet.
func (b *bench) keyed(master string) (string, error) {
	to, err := b.scratch("state")
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(master)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.IsDir() {
			err = os.MkdirAll(filepath.Join(to, e.Name()), 0o750)
		}
		if err != nil {
			return "", err
		}
	}
	for _, name := range []string{"FORMAT", "master.key"} {
		if err := copyFile(filepath.Join(master, name), filepath.Join(to, name)); err != nil {
			return "", err
		}
	}
	return to, nil
}

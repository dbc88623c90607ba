// Package script runs the program as its users do, by the scripts in testdata.
package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"bellwether/internal/capture"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/nodes"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// program is the directory with the programs under test.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if program, err = os.MkdirTemp("", "bellwether-program-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(program)
		build := exec.Command("go", "build", "-o", program, "bellwether/cmd/bellwether", "bellwether/cmd/bellwether-follower")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("there are no scripts (%v)", err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", program+string(os.PathListSeparator)+e.Getenv("PATH"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			if cond == "fabric" {
				return nodesHere()
			}
			return false, fmt.Errorf("unknown condition %s", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"home": home, "exits": exits, "hold": hold, "captureof": captureOf, "copystate": copyState, "network": fabricNetwork, "until": until, "inviteto": inviteTo},
	})
}

// nodesHere reports whether Fabric's programs can be had. Where CI=true they must.
func nodesHere() (bool, error) {
	if testing.Short() {
		return false, nil
	}
	_, err := nodes.Built(context.Background(), nil)
	if errors.Is(err, nodes.ErrUnavailable) && os.Getenv("CI") != "true" {
		return false, nil
	}
	return err == nil, err
}

// fabricNetwork sets PROGRAMS to the directory of Fabric's programs, and has the
// network that the script makes stopped at its end: network DIR
func fabricNetwork(ts *testscript.TestScript, neg bool, args []string) {
	programs, err := nodes.Built(context.Background(), nil)
	ts.Check(err)
	ts.Setenv("PROGRAMS", programs)
	dir := ts.MkAbs(args[0])
	ts.Defer(func() {
		if n, err := network.Open(dir); err == nil {
			n.Down(context.Background())
		}
	})
}

// until runs a program again and again until its standard output matches:
// until PATTERN PROGRAM ARG…
func until(ts *testscript.TestScript, neg bool, args []string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Since(began) > 2*time.Minute {
			ts.Fatalf("%s did not say %q within two minutes: %v", strings.Join(args[1:], " "), args[0], err)
		}
	}
}

// inviteTo sets a variable to an invite with a code: inviteto VARIABLE STATE FLAG…
func inviteTo(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("bellwether", append([]string{"zone", "invite", "--state", args[1]}, args[2:]...)...))
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// exits runs a program and wants it to end with a code: exits CODE PROGRAM ARG…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := err.(*exec.ExitError); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("%s ended with exit code %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

const start = zone.Time(1_800_000_000_000_000_000)

// home writes the simulated home's captures: learn.pcap, more.pcap and
// watch.pcap, in which the webcam is infected.
func home(ts *testscript.TestScript, neg bool, args []string) {
	h := simulate.NewHome(simulate.HomeOptions{Seed: 7, Start: start, Activity: 20})
	write(ts, "learn.pcap", packet.LinkEthernet, h.Frames(start.Add(time.Minute)))
	write(ts, "more.pcap", packet.LinkEthernet, h.Frames(start.Add(2*time.Minute)))
	for _, d := range h.Devices() {
		if d.Kind == "webcam" {
			ts.Check(h.Infect(d.MAC, []simulate.Attack{{Kind: simulate.MiraiScan, Start: start.Add(3 * time.Minute), Duration: 5 * time.Second}}))
		}
	}
	write(ts, "watch.pcap", packet.LinkEthernet, h.Frames(start.Add(200*time.Second)))
}

// captureOf writes a capture of one frame, of a link type that nobody knows:
// captureof NAME LINKTYPE.
func captureOf(ts *testscript.TestScript, neg bool, args []string) {
	link := map[string]packet.LinkType{"empty": packet.LinkEthernet, "unknown": 147}[args[1]]
	write(ts, args[0], link, func(yield func(*simulate.Frame) bool) {
		if args[1] != "empty" {
			yield(&simulate.Frame{Time: start, Data: make([]byte, 60)})
		}
	})
}

func write(ts *testscript.TestScript, name string, link packet.LinkType, frames iter.Seq[*simulate.Frame]) {
	var b bytes.Buffer
	w, err := capture.NewWriter(&b, link)
	ts.Check(err)
	for f := range frames {
		ts.Check(w.Write(capture.Frame{Time: f.Time, Link: link, Data: f.Data, Length: len(f.Data)}))
	}
	ts.Check(os.WriteFile(ts.MkAbs(name), b.Bytes(), 0o644))
}

// hold has a state directory in use until the script ends.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	f, err := os.OpenFile(filepath.Join(ts.MkAbs(args[0]), "lock"), os.O_RDWR, 0)
	ts.Check(err)
	ts.Defer(func() { f.Close() })
	ts.Check(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
}

// copyState copies a state directory: copystate FROM TO.
func copyState(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
	ts.Check(os.Chmod(filepath.Join(ts.MkAbs(args[1]), "master.key"), 0o600))
}

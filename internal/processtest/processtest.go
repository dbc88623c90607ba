// Package processtest runs a test program again, in a process of its own, for
// tests of what a kill leaves behind, and of network interfaces.
//
// A variable of the environment tells the process what it is to be: TestMain, or
// a test that -test.run picks, looks at it.
package processtest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Instead is for TestMain: in a process that was made with that variable it does
// the work with the variable's value, and exits with 1 and the error if it fails,
// with 0 if not. Elsewhere it returns.
func Instead(variable string, work func(value string) error) {
	value, set := os.LookupEnv(variable)
	if !set {
		return
	}
	if err := work(value); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Again makes the command that is this program once more, with a variable of the
// environment. What it says on standard error goes to the test's output.
func Again(tb testing.TB, variable, value string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), variable+"="+value)
	cmd.Stderr = tb.Output()
	return cmd
}

// Killed runs a command, kills it after a while, and reports whether it had come
// to its end. A command that fails by itself fails the test.
func Killed(tb testing.TB, cmd *exec.Cmd, while time.Duration) (done bool) {
	tb.Helper()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	timer := time.AfterFunc(while, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		tb.Fatalf("the process failed by itself: %v", err)
	}
	return err == nil
}

// Acknowledged runs a command that writes without end and prints, one a line, a
// number above 0 for what is durable by then. It kills it some time after the
// first, and gives the newest.
func Acknowledged(tb testing.TB, cmd *exec.Cmd, after time.Duration) (newest uint64) {
	tb.Helper()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if newest == 0 {
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		if newest, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
			tb.Fatalf("the writer says %q", lines.Text())
		}
	}
	if newest == 0 {
		tb.Fatal("the writer acknowledged nothing")
	}
	return newest
}

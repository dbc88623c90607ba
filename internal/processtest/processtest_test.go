package processtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const workEnv = "BELLWETHER_TEST_PROCESS"

func TestMain(m *testing.M) {
	Instead(workEnv, work)
	os.Exit(m.Run())
}

func work(what string) error {
	switch what {
	case "end":
		return nil
	case "write":
		for n := 1; ; n++ {
			fmt.Println(n)
			time.Sleep(time.Millisecond)
		}
	case "sleep":
		time.Sleep(time.Hour)
	}
	return errors.New("there is no work of that name")
}

func TestKilled(t *testing.T) {
	if !Killed(t, Again(t, workEnv, "end"), time.Hour) {
		t.Error("what ended by itself was killed")
	}
	if Killed(t, Again(t, workEnv, "sleep"), time.Millisecond) {
		t.Error("what sleeps for an hour has ended")
	}
}

func TestAcknowledged(t *testing.T) {
	if n := Acknowledged(t, Again(t, workEnv, "write"), 50*time.Millisecond); n == 0 {
		t.Error("nothing was acknowledged")
	}
}

// recorder is a test that takes note of its failure.
type recorder struct {
	testing.TB
	failed string
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	panic(r)
}

// TestFails: work that fails by itself, or acknowledges nothing, fails the test.
func TestFails(t *testing.T) {
	for name, c := range map[string]struct {
		run  func(testing.TB)
		want string
	}{
		"killed":       {func(tb testing.TB) { Killed(tb, Again(tb, workEnv, "nothing"), time.Hour) }, "failed by itself: exit status 1"},
		"acknowledged": {func(tb testing.TB) { Acknowledged(tb, Again(tb, workEnv, "end"), 0) }, "acknowledged nothing"},
		"no number":    {func(tb testing.TB) { Acknowledged(tb, Again(tb, "NONE", "", "-test.run=^$"), 0) }, `says "`},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			func() {
				defer func() {
					if p := recover(); p != nil && p != any(r) {
						panic(p)
					}
				}()
				c.run(r)
			}()
			if !strings.Contains(r.failed, c.want) {
				t.Errorf("it fails with %q, want %q", r.failed, c.want)
			}
		})
	}
}

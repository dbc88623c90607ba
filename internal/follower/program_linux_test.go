package follower

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

// memory is the most that a follower may have resident, in KiB: a Pi Zero has
// 512 MiB for everything.
const memory = 15 << 10

// buildProgram builds the small program.
func buildProgram(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bellwether-follower")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "bellwether/cmd/bellwether-follower")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	return path
}

// appl is an application that talks with a follower's socket.
type appl struct {
	*testing.T
	net.Conn
	lines *bufio.Scanner
}

func dial(t *testing.T, dir string) *appl {
	t.Helper()
	var c net.Conn
	until(t, "the follower listens", func() (ok bool) {
		var err error
		c, err = net.Dial("unix", filepath.Join(dir, SocketFile))
		return err == nil
	})
	t.Cleanup(func() { c.Close() })
	a := &appl{T: t, Conn: c, lines: bufio.NewScanner(c)}
	a.lines.Buffer(nil, 1<<20)
	return a
}

func (a *appl) tell(format string, args ...any) {
	a.Helper()
	if _, err := fmt.Fprintf(a.Conn, format+"\n", args...); err != nil {
		a.Fatal(err)
	}
}

func (a *appl) hear() (r Reply) {
	a.Helper()
	a.SetReadDeadline(time.Now().Add(patience))
	if !a.lines.Scan() {
		a.Fatalf("the follower said no more: %v", a.lines.Err())
	}
	if err := json.Unmarshal(a.lines.Bytes(), &r); err != nil {
		a.Fatalf("%s: %v", a.lines.Bytes(), err)
	}
	return r
}

var resident = regexp.MustCompile(`(VmHWM|VmRSS|RssAnon):\s+(\d+) kB`)

// memoryOf gives what a process has resident, and had at most, in KiB.
func memoryOf(t *testing.T, pid int) map[string]int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, m := range resident.FindAllSubmatch(b, -1) {
		found[string(m[1])], _ = strconv.Atoi(string(m[2]))
	}
	return found
}

// TestProgram runs the small program as its user does, and holds its memory
// against what a Pi Zero can spare.
func TestProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	program := buildProgram(t)
	m := newMaster(t)
	dir := filepath.Join(t.TempDir(), "f")
	command := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(program, append(args, "--state", dir)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	identity := command("init", "--name", "hall")
	if first, _, _ := strings.Cut(identity, "\n"); !strings.HasPrefix(first, "hall.") || strings.Count(identity, "\n") < 20 {
		t.Errorf("init prints %q, want the identity and a QR code", identity)
	}
	if again := command("init", "--name", "hall"); again != identity {
		t.Errorf("init said again prints another identity:\n%s", again)
	}
	if info, err := os.Stat(filepath.Join(dir, keyFile)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the key: %v, %v, want mode 0600", info.Mode(), err)
	}
	command("join", m.invite.String())
	run := exec.Command(program, "run", "--state", dir)
	run.Stderr = t.Output()
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer run.Wait()
	defer run.Process.Kill()
	until(t, "hall has associated", func() bool { return m.numbers("hall") == 1 })
	other, _ := start(t, newFollower(t, m, "other"), quick())
	until(t, "the other has associated", func() bool { return m.numbers("other") == 1 })
	if info, err := os.Stat(filepath.Join(dir, SocketFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v, want mode 0600", info.Mode(), err)
	}
	idle := memoryOf(t, run.Process.Pid)
	if out := command("send", "--to", "other", "--seal", "hello"); !strings.HasPrefix(out, "transaction 2 stands in block") {
		t.Errorf("send prints %q", out)
	}
	if out := command("data", "create", "door", "open"); !strings.HasPrefix(out, "transaction 3") {
		t.Errorf("data create prints %q", out)
	}
	if out := command("data", "read", "door"); out != "open" {
		t.Errorf("data read prints %q, want open", out)
	}
	thousand(t, m, dir, other)
	busy := memoryOf(t, run.Process.Pid)
	if out := command("receive", "--from", "1000"); strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "1000  ") {
		t.Errorf("receive prints %q", out)
	}
	if out := command("status", "--json"); !strings.Contains(out, `"position":1000`) {
		t.Errorf("status prints %q", out)
	}
	t.Logf("KiB idle %v, after 1,000 messages sent and 1,000 received %v", idle, busy)
	if busy["VmHWM"] == 0 || busy["VmHWM"] > memory {
		t.Errorf("%d KiB were resident, want at most %d", busy["VmHWM"], memory)
	}
	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := run.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if out := command("status"); !strings.Contains(out, "it is not running") {
		t.Errorf("status of a follower that does not run prints %q", out)
	}
}

// thousand sends a thousand messages each way.
func thousand(t *testing.T, m *testMaster, dir string, other *Follower) {
	t.Helper()
	app := dial(t, dir)
	go func() {
		for i := range 1000 {
			fmt.Fprintf(app.Conn, `{"send": {"to": "other", "text": "message %d %s"}, "id": "m%d"}`+"\n", i, strings.Repeat("x", 200), i)
		}
	}()
	for receipts := 0; receipts < 1000; {
		switch r := app.hear(); {
		case r.Receipt != nil:
			receipts++
		case r.Error != "" || r.Refused != "":
			t.Fatalf("%+v", r)
		}
	}
	for i := range 1000 {
		if _, err := other.Accept(Order{To: "hall", Op: contract.OpSend, Content: fmt.Appendf(nil, "answer %d", i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	app.tell(`{"from": 1, "follow": true}`)
	for i := range uint64(1000) {
		if r := app.hear().Received; r == nil || r.Position != i+1 || *r.Text != fmt.Sprintf("answer %d", i) || r.From != zone.MemberID("other") {
			t.Fatalf("message %d is %+v", i, r)
		}
	}
	if got := len(received(t, other)); got < 1001 {
		t.Errorf("the other received %d messages, want 1001", got)
	}
}

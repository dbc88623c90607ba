package follower

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// examples is where the follower in Python lies, and python the interpreter that
// Debian's packages are for.
const (
	examples = "../../examples"
	python   = "/usr/bin/python3"
)

// needsPython skips where Debian's packages are missing, and fails where CI=true.
func needsPython(t *testing.T) {
	t.Helper()
	out, err := exec.Command(python, "-c", "import cbor2, cryptography, OpenSSL, wsproto").CombinedOutput()
	if err == nil {
		return
	}
	reason := fmt.Sprintf("needs Debian's python3-cbor2, python3-cryptography, python3-openssl and python3-wsproto: %v\n%s", err, out)
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// snake is a follower in Python.
type snake struct {
	*testing.T
	in    io.WriteCloser
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

type snakeLine struct {
	Standing string
	Problem  string
	Position uint64
	From, Op string
	Text     string
	HID      string `json:"h_id"`
	Ref      string
	Sealed   bool
	Receipt  uint64
	Refused  contract.Code
	Object   string
	Read     uint64
	Order    map[string]any
}

func startSnake(t *testing.T, dir string, m *testMaster, args ...string) *snake {
	t.Helper()
	s := &snake{T: t, cmd: exec.Command(python, append([]string{filepath.Join(examples, "follower.py"), "run", dir, "py", "-"}, args...)...)}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = t.Output()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	s.tell(m.invite.String()) // where no other user sees it
	s.lines = bufio.NewScanner(out)
	return s
}

func (s *snake) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *snake) tell(lines ...string) {
	s.Helper()
	if _, err := io.WriteString(s.in, strings.Join(lines, "\n")+"\n"); err != nil {
		s.Fatal(err)
	}
}

// hear gives the next line that is wanted; the others are passed over.
func (s *snake) hear(what string, wanted func(*snakeLine) bool) *snakeLine {
	s.Helper()
	for s.lines.Scan() {
		l := new(snakeLine)
		if err := json.Unmarshal(s.lines.Bytes(), l); err != nil {
			s.Fatalf("%s: %v", s.lines.Bytes(), err)
		}
		if wanted(l) {
			return l
		}
	}
	s.Fatalf("the follower in Python ended before this: %s", what)
	return nil
}

// TestPython: the follower in Python, which knows the format's page alone, is
// a member like any other.
func TestPython(t *testing.T) {
	needsPython(t)
	m := newMaster(t)
	g, _ := start(t, newFollower(t, m, "go"), quick())
	dir := filepath.Join(t.TempDir(), "py")
	out, err := exec.Command(python, filepath.Join(examples, "follower.py"), "identity", dir, "py").Output()
	if err != nil {
		t.Fatal(err)
	}
	if me, err := message.ParseIdentity(string(out)); err != nil || me.Member != "py" {
		t.Errorf("its identity is %q: %v", out, err)
	}
	p := startSnake(t, dir, m)
	until(t, "both have associated", func() bool { return m.numbers("go") == 1 && m.numbers("py") == 1 })

	p.tell(`{"send": "go", "text": "in the clear"}`, `{"send": "go", "text": "sealed", "seal": true}`, `{"send": "nobody", "text": "lost", "seal": true}`,
		`{"send": "nobody", "text": "lost"}`, `{"send": "*", "text": "to all"}`, `{"request": "go", "text": "time?"}`)
	for range 2 {
		if l := p.hear("a refusal", func(l *snakeLine) bool { return l.Refused != "" }); l.Refused != contract.CodeRecipient {
			t.Errorf("refused with %s, want %s", l.Refused, contract.CodeRecipient)
		}
	}
	until(t, "four messages are delivered", func() bool { return len(received(t, g)) == 4 })
	if got, want := received(t, g), []string{"in the clear", "sealed", "to all", "time?"}; !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
	var request Message
	if _, _, err := g.Read(4, func(m *Message) error { request = *m; return nil }); err != nil {
		t.Fatal(err)
	}
	if r, _ := say(t, g, Order{To: "py", Op: contract.OpReply, Ref: request.ID, Content: []byte("noon"), Seal: true}); r.Code != "" {
		t.Errorf("the reply was refused: %s", r.Code)
	}
	if l := p.hear("the reply", func(l *snakeLine) bool { return l.Position > 0 }); l.Text != "noon" || !l.Sealed || l.From != "go" || l.Ref != request.ID.String() {
		t.Errorf("it received %+v", l)
	}
	g.Accept(Order{To: "py", Op: contract.OpRequest, Content: []byte("all well?")}, nil)
	l := p.hear("a request", func(l *snakeLine) bool { return l.Op == "request" })
	p.tell(fmt.Sprintf(`{"reply": "go", "ref": %q, "text": "yes"}`, l.HID), fmt.Sprintf(`{"reply": "go", "ref": %q, "text": "no"}`, l.HID), fmt.Sprintf(`{"reply": "go", "ref": %q, "text": "what?"}`, strings.Repeat("ab", 32)))
	p.hear("a receipt for the first reply", func(l *snakeLine) bool { return l.Receipt > 0 && l.Order["text"] == "yes" })
	for _, text := range []string{"no", "what?"} {
		if l := p.hear("a refusal", func(l *snakeLine) bool { return l.Refused != "" }); l.Refused != contract.CodeUnasked || l.Order["text"] != text {
			t.Errorf("refused with %s: %v, want %s", l.Refused, l.Order, contract.CodeUnasked)
		}
	}
	p.tell(`{"create": "py", "object": "door", "text": "open"}`, `{"update": "py", "object": "door", "text": "shut"}`, `{"read": "py", "object": "door"}`, `{"delete": "py", "object": "door"}`)
	if l := p.hear("what was read", func(l *snakeLine) bool { return l.Read > 0 }); l.Object != "door" || l.Text != "shut" || l.Op != "update" {
		t.Errorf("it read %+v", l)
	}
	p.in.Close()
	for p.lines.Scan() { // to its end
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if n := m.numbers("py"); n != 10 {
		t.Errorf("the ledger has %d transactions of it, want 10", n)
	}
}

// TestPythonKilled: kill -9 and lost connections cost the follower in Python
// nothing either.
func TestPythonKilled(t *testing.T) {
	needsPython(t)
	m := newMaster(t)
	g, _ := start(t, newFollower(t, m, "go"), quick())
	until(t, "go has associated", func() bool { return m.numbers("go") == 1 })
	dir := filepath.Join(t.TempDir(), "py")
	p := startSnake(t, dir, m)
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(i))
		p.tell(fmt.Sprintf(`{"send": "go", "text": "%d"}`, i))
	}
	p.hear("a receipt", func(l *snakeLine) bool { return l.Receipt > 0 }) // all lines came at once, or nearly
	until(t, "all orders are taken", func() bool { return waitsInPython(t, dir)+int(m.numbers("py")) >= 101 })
	for i := range 5 {
		p.hear("a receipt", func(l *snakeLine) bool { return l.Receipt > 0 })
		if i%2 == 0 {
			m.drop()
			continue
		}
		p.kill()
		p = startSnake(t, dir, m)
	}
	p.in.Close()
	for p.lines.Scan() {
	}
	until(t, "all are delivered", func() bool { return len(received(t, g)) >= len(want) })
	if got := received(t, g); !slices.Equal(got, want) {
		t.Errorf("received %q", got)
	}
	if n := m.numbers(zone.MemberID("py")); n != 101 {
		t.Errorf("the ledger has %d transactions of it, want 101", n)
	}
}

// waitsInPython gives how many orders the follower in Python has kept.
func waitsInPython(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Orders []any }
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return len(s.Orders)
}

// TestPythonVectors: the follower in Python makes the examples of the format, byte
// for byte.
func TestPythonVectors(t *testing.T) {
	needsPython(t)
	script := exec.Command(python, filepath.Join(examples, "test_follower.py"))
	script.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if out, err := script.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

package command

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// call runs a command line without a terminal.
func call(t *testing.T, args ...string) (code int, out, problem string) {
	t.Helper()
	return callWith(t, strings.NewReader(""), args...)
}

func callWith(t *testing.T, in io.Reader, args ...string) (code int, out, problem string) {
	t.Helper()
	var o, e bytes.Buffer
	p := Program{Name: "bellwether-follower", Stdin: in, Stdout: &o, Stderr: &e}
	code = p.Main(t.Context(), args)
	return code, o.String(), e.String()
}

// TestCodes: 0 for what worked, 2 for wrong usage, 1 for what failed; and the error
// says what to do.
func TestCodes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "f")
	for _, c := range []struct {
		args string
		code int
		says string // on stdout for code 0, else on stderr
	}{
		{"", 0, "bellwether-follower init --state DIR"},
		{"help", 0, "Start with:"},
		{"send --help", 0, "-seal"},
		{"fly", 2, `no command "fly"`},
		{"init --name a", 2, "--state DIR is missing"},
		{"init --state DIR", 2, "--name NAME is missing"},
		{"init --state DIR --name master", 1, "give the follower another name"},
		{"init --state DIR --name Lamp", 1, "cannot be a member's name"},
		{"status --state DIR", 1, "make one with `bellwether-follower init"},
		{"init --name lamp --state DIR --no-qr", 0, "lamp."},
		{"init --name other --state DIR", 1, `is the follower "lamp" already`},
		{"init --state DIR --name lamp x", 2, "got 1 arguments"},
		{"init --state DIR --name lamp --fast", 2, "not defined: -fast"},
		{"status --state DIR", 0, "none yet"},
		{"run --state DIR", 1, "has joined no zone"},
		{"join --state DIR", 2, "want INVITE"},
		{"join --state DIR hello", 1, "as `bellwether zone invite` prints it"},
		{"join --state DIR -", 1, "standard input is empty"},
		{"join --help", 0, "read from standard input"},
		{"send --state DIR hello", 2, "--to NAME is missing"},
		{"send --to hub hello --state DIR", 1, "start it with run --state"},
		{"send --state DIR --to hub --request --reply 00 hello", 2, "not both"},
		{"data --state DIR take x", 2, "want create, read, update or delete"},
		{"data --state DIR read x y", 2, "takes no content"},
		{"receive --state DIR", 1, "start it with run"},
	} {
		args := strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))
		code, out, problem := call(t, args...)
		said := problem
		if c.code == 0 {
			said = out
		}
		if says := strings.ReplaceAll(c.says, "DIR", dir); code != c.code || !strings.Contains(said, c.says) && !strings.Contains(said, says) {
			t.Errorf("%q: code %d, %q, want %d with %q", c.args, code, said, c.code, c.says)
		}
	}
}

// TestJoinLine: an invite comes from standard input, so that no other user sees its
// code.
func TestJoinLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "f")
	if code, _, problem := call(t, "init", "--name", "lamp", "--state", dir, "--no-qr"); code != 0 {
		t.Fatal(problem)
	}
	invite := message.Invite{Address: "gateway.lan:8443", Zone: zone.Hash{1}, Master: [32]byte{2}, Pin: zone.Hash{3}, Code: "secret"}.String()
	for in, says := range map[string]string{
		"\n":                            "standard input is empty",
		"hello\n" + invite + "\n":       "as `bellwether zone invite` prints it",
		strings.Repeat("x", 1<<20):      "as `bellwether zone invite` prints it",
		" " + invite + "\r\nand more\n": "",
		invite:                          "", // without the end of the line
	} {
		code, out, problem := callWith(t, strings.NewReader(in), "join", "-", "--state", dir)
		if says != "" && (code != 1 || !strings.Contains(problem, says)) || says == "" && (code != 0 || !strings.Contains(out, "joins zone")) {
			t.Errorf("%.40q: code %d, %q, %.200q, want %q", in, code, out, problem, says)
		}
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "follower.json")); err != nil || !strings.Contains(string(raw), "code=secret") {
		t.Errorf("kept %s, %v", raw, err)
	}
	// Who waits at a prompt can be stopped.
	ctx, stop := context.WithCancel(t.Context())
	stop()
	never, _ := io.Pipe()
	p := Program{Name: "bellwether-follower", Stdin: never, Stdout: io.Discard, Stderr: io.Discard}
	if code := p.Main(ctx, []string{"join", "-", "--state", dir}); code != 1 {
		t.Errorf("stopped: code %d", code)
	}
}

// TestPicture: the code is square, has its quiet border, and a finder pattern in
// three of its corners.
func TestPicture(t *testing.T) {
	text, err := picture("lamp.Kay64UG8yvCyLhqU000LxzYeUm0L_hLIl5S8kyKWbdc", false)
	if err != nil {
		t.Fatal(err)
	}
	var light [][]bool
	for line := range strings.Lines(text) {
		var above, below []bool
		for _, r := range strings.TrimSuffix(line, "\n") {
			above, below = append(above, r == '█' || r == '▀'), append(below, r == '█' || r == '▄')
		}
		light = append(light, above, below)
	}
	size := len(light[0]) - 2*quiet
	if len(light) < size+2*quiet || len(light) > size+2*quiet+1 || (size-17)%4 != 0 {
		t.Fatalf("%d lines of %d modules", len(light), len(light[0]))
	}
	for i := range size + 2*quiet {
		for _, at := range [][2]int{{i, quiet - 1}, {quiet - 1, i}, {i, size + quiet}, {size + quiet, i}} {
			if !light[at[0]][at[1]] {
				t.Fatalf("the border is dark at %v", at)
			}
		}
	}
	for _, corner := range [][2]int{{0, 0}, {0, size - 7}, {size - 7, 0}} {
		for y := range 7 {
			for x := range 7 {
				ring := max(abs(y-3), abs(x-3))
				if light[quiet+corner[0]+y][quiet+corner[1]+x] != (ring == 2) {
					t.Fatalf("no finder pattern at %v", corner)
				}
			}
		}
	}
	if coloured, err := picture("x", true); err != nil || strings.Count(coloured, "\x1b[97;40m") != strings.Count(coloured, "\n") {
		t.Errorf("in colour: %q, %v", coloured, err)
	}
}

func abs(n int) int { return max(n, -n) }

package command

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// call runs a command line without a terminal.
func call(t *testing.T, args ...string) (code int, out, problem string) {
	t.Helper()
	var o, e bytes.Buffer
	p := Program{Name: "bellwether-follower", Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e}
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

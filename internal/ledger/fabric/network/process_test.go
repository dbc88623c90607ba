package network

import (
	"fmt"
	"net"
	"os"
	"testing"
)

// Runs reports whether a process runs.
func Runs(pid int) bool { return started(pid) != "" }

// TestPID: a number that another process got meanwhile is not taken for the node.
func TestPID(t *testing.T) {
	p := &process{dir: t.TempDir()}
	mine := os.Getpid()
	for text, want := range map[string]int{
		fmt.Sprintf("%d %s\n", mine, started(mine)): mine,
		fmt.Sprintf("%d 1\n", mine):                 0,
		fmt.Sprintf("%d\n", mine):                   0,
		"":                                          0,
		"x y":                                       0,
	} {
		if err := os.WriteFile(p.file("pid"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := p.pid(); got != want {
			t.Errorf("%q gives process %d, want %d", text, got, want)
		}
	}
}

// TestHosts: networks of different directories do not listen at the same addresses.
func TestHosts(t *testing.T) {
	seen := map[string]bool{}
	for i := range 1000 {
		h := host(fmt.Sprintf("/tmp/TestUp%d/001", i))
		if ip := net.ParseIP(h); !ip.IsLoopback() || ip.To4()[1] == 0 || ip.To4()[1] == 255 {
			t.Errorf("%s is not an address for a network", h)
		}
		seen[h] = true
	}
	if len(seen) < 995 {
		t.Errorf("1000 directories have %d addresses", len(seen))
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// cloned gives both commands of the README in a fresh clone, with an empty
// module cache and an empty build cache.
func (b *bench) cloned(o *outcome) error {
	o.goal = "both commands of the README work in a fresh clone with an empty module cache"
	clone := filepath.Join(b.dir, "clone")
	if out, err := exec.Command("git", "clone", "--quiet", ".", clone).CombinedOutput(); err != nil {
		return fmt.Errorf("git clone: %w: %s", err, out)
	}
	readme, err := os.ReadFile(filepath.Join(clone, "README.md"))
	if err != nil {
		return err
	}
	env := append(os.Environ(), "GOMODCACHE="+filepath.Join(b.dir, "modules"), "GOCACHE="+filepath.Join(b.dir, "built"), "GOFLAGS=-modcacherw", "CI=")
	for _, line := range []string{"go run ./cmd/bellwether demo", "make test"} {
		o.need(bytes.Contains(readme, []byte(line)), "the README says: %s", line)
		words := strings.Fields(line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir, cmd.Env = clone, env
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			o.need(false, "%s: %v\n%s", line, err, tail(out, 20))
			continue
		}
		o.say("%s: done in %.0f s, ends with\n%s", line, time.Since(began).Seconds(), tail(out, 4))
	}
	return nil
}

// tail gives the last lines of an output.
func tail(out []byte, lines int) string {
	all := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

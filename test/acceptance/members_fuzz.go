package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// memberRooms are the rooms whose formats members speak.
var memberRooms = []string{"./internal/cose", "./internal/message", "./internal/contract", "./internal/bus", "./internal/follower"}

// fuzzFor is how long each fuzz target runs.
const fuzzFor = "20s"

var execs = regexp.MustCompile(`execs: (\d+)`)

// membersFuzzed runs the vectors, the random walks and every fuzz target.
func (b *bench) membersFuzzed(o *outcome) error {
	o.goal = "the vectors hold; random transactions keep the contract's invariants; every fuzz target of what members say runs for " + fuzzFor + " without a finding"
	for _, t := range []struct{ what, pkg, test string }{
		{"vectors of the format", ".", "TestFormatVectors"},
		{"random walks of members", "./internal/contract", "TestRandomMembers"},
	} {
		r, err := tested(t.pkg, t.test)
		if err != nil {
			return err
		}
		o.need(len(r.failed) == 0 && len(r.passed) > 0 && r.skipped == 0, "%s: %d passed, %d failed %q", t.what, len(r.passed), len(r.failed), r.failed)
	}
	targets := 0
	for _, pkg := range memberRooms {
		out, err := exec.Command("go", "test", "-list", "^Fuzz", pkg).Output()
		if err != nil {
			return fmt.Errorf("fuzz targets of %s: %w", pkg, err)
		}
		in := bufio.NewScanner(bytes.NewReader(out))
		for in.Scan() {
			if strings.HasPrefix(in.Text(), "Fuzz") {
				targets++
				fuzzOne(o, pkg, in.Text())
			}
		}
	}
	o.need(targets >= 10, "%d fuzz targets", targets)
	return nil
}

// fuzzOne runs one target.
func fuzzOne(o *outcome, pkg, target string) {
	out, err := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+target+"$", "-fuzztime", fuzzFor, pkg).CombinedOutput()
	most := 0
	for _, m := range execs.FindAllSubmatch(out, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		most = max(most, n)
	}
	if err != nil {
		o.need(false, "%s %s: %v\n%s", pkg, target, err, bytes.TrimSpace(out))
		return
	}
	o.need(most > 0, "%s %s: %d inputs", pkg, target, most)
}

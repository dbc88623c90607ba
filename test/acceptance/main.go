// Command acceptance measures an acceptance list for real, and prints for each
// number of it what was measured, the goal, and whether it holds. It exits 1 if
// anything is short, 2 for wrong usage. The list main builds the program, runs it
// on captures, kills it and damages what it wrote; the list evaluation has it
// say what is found of attacks that did not happen, how calm it is without
// them, and how other detectors do on the same rows; the list fabric has a zone's
// ledger on networks of Hyperledger Fabric, and kills what they are made of; the
// list members attacks, loads and kills a zone's master and its followers.
//
// It names no file of the data. Below -data it finds captures by folder: every
// folder "training" under pcaps, with the folders beside it whose names begin
// with "monitoring", is a zone to learn and to watch; the other folders directly
// under pcaps that hold captures are watched with what was learned; kitsune holds
// vectors of features. A folder under pcaps whose folders hold captures has one
// device in each of them; a text file there that holds a MAC address and nothing
// else names the device. Below nbaiot are tables of the data set N-BaIoT.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bench is what all checks work with.
type bench struct {
	data     string
	dir      string // for everything that is made
	binary   string
	follower string // the follower's program
	kills    int
	flips    int
	load     loadPlan
	keep     bool
	zone     zoneData
	state    string // learned and watched, made by the second check
	report   report // of that
}

// outcome is what a check came to.
type outcome struct {
	goal     string
	measured []string
	holds    bool
}

func (o *outcome) say(format string, args ...any) {
	o.measured = append(o.measured, fmt.Sprintf(format, args...))
}

// need says what was measured and that the check is short if ok is false.
func (o *outcome) need(ok bool, format string, args ...any) {
	if !ok {
		o.holds = false
		format = "SHORT: " + format
	}
	o.say(format, args...)
}

// check is one number of a list.
type check struct {
	name string
	run  func(*outcome) error
}

// list gives the checks of an acceptance list, nil if there is none of the name.
func (b *bench) list(name string) []check {
	switch name {
	case "main":
		return []check{
			{"vectors of features", b.vectors},
			{"learn a real home, watch everything else", b.watchAll},
			{"the same whatever the batch, the workers and the stops", b.sameAgain},
			{"kill -9", b.killed},
			{"changed bytes", b.damaged},
			{"a proof in an empty directory", b.proven},
			{"memory on spoofed floods", b.flooded},
			{"both commands of the README in a fresh clone", b.cloned},
		}
	case "evaluation":
		return b.evaluation()
	case "fabric":
		return b.fabricList()
	case "members":
		return b.membersList()
	}
	return nil
}

func main() {
	if len(os.Args) == 3 && stage(os.Args[1], os.Args[2]) {
		return
	}
	var b bench
	var list, skip, only string
	flag.StringVar(&list, "list", "main", "the list to measure: main, evaluation, fabric or members")
	flag.StringVar(&b.data, "data", "../shared/data", "directory with captures")
	flag.IntVar(&b.kills, "kills", 50, "how often a replay is killed")
	flag.IntVar(&b.flips, "flips", 200, "how many bytes are changed")
	flag.IntVar(&b.load.Followers, "followers", 2000, "how many followers the load has")
	flag.IntVar(&b.load.Rate, "rate", 5000, "how many messages a second they send")
	flag.DurationVar(&b.load.For, "load", time.Minute, "for how long")
	flag.BoolVar(&b.keep, "keep", false, "leave the run's directory, and say where it is")
	flag.StringVar(&skip, "skip", "", "numbers to leave out, like 8; they count as short")
	flag.StringVar(&only, "only", "", "numbers to run alone, like 1,6; the others count as short")
	flag.Parse()
	checks := b.list(list)
	if checks == nil {
		fmt.Fprintf(os.Stderr, "acceptance: there is no list %q, want main, evaluation, fabric or members\n", list)
		os.Exit(2)
	}
	short, err := b.run(checks, numbers(skip, len(checks)), numbers(only, len(checks)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "acceptance:", err)
		os.Exit(1)
	}
	if short > 0 {
		fmt.Printf("%d short\n", short)
		os.Exit(1)
	}
	fmt.Println("everything holds")
}

// numbers reads a list like "1,3", of numbers up to last.
func numbers(list string, last int) []int {
	var out []int
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > last {
			fmt.Fprintf(os.Stderr, "acceptance: %q is not a number of the list, 1 to %d\n", s, last)
			os.Exit(2)
		}
		out = append(out, n)
	}
	return out
}

func (b *bench) run(checks []check, skip, only []int) (short int, err error) {
	if b.dir, err = os.MkdirTemp("", "bellwether-acceptance-"); err != nil {
		return 0, err
	}
	defer func() {
		if b.keep {
			fmt.Println("left:", b.dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(b.dir))
	}()
	if err := b.build(); err != nil {
		return 0, err
	}
	if b.zone, err = findZone(b.data); err != nil {
		return 0, err
	}
	for i, check := range checks {
		n := i + 1
		if slices.Contains(skip, n) || len(only) > 0 && !slices.Contains(only, n) {
			fmt.Printf("\n%d. %s\n   skipped\n   short\n", n, check.name)
			short++
			continue
		}
		if !b.show(n, check.name, check.run) {
			short++
		}
	}
	return short, nil
}

// show runs a check and prints what it came to.
func (b *bench) show(n int, name string, run func(*outcome) error) bool {
	began := time.Now()
	fmt.Printf("\n%d. %s\n", n, name)
	o := outcome{holds: true}
	if err := run(&o); err != nil {
		o.need(false, "%v", err)
	}
	for _, m := range o.measured {
		fmt.Println("  ", strings.ReplaceAll(m, "\n", "\n   "))
	}
	verdict := "holds"
	if !o.holds {
		verdict = "short"
	}
	fmt.Printf("   goal: %s\n   %s, in %.0f s\n", o.goal, verdict, time.Since(began).Seconds())
	return o.holds
}

// build makes the programs as users get them.
func (b *bench) build() error {
	b.at(b.dir)
	cmd := exec.Command("go", "build", "-trimpath", "-o", b.dir, "./cmd/bellwether", "./cmd/bellwether-follower")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return nil
}

// at says where the programs are.
func (b *bench) at(dir string) {
	b.dir, b.binary, b.follower = dir, filepath.Join(dir, "bellwether"), filepath.Join(dir, "bellwether-follower")
}

// The parts of the list members that run in a process of their own.
const (
	stageEnds = "in-a-namespace"
	stageLoad = "load"
)

// stage runs such a part, and says whether there is one of the name.
func stage(name, arg string) bool {
	var err error
	switch name {
	case stageEnds:
		var b bench
		b.at(arg)
		err = b.endsInNamespace()
	case stageLoad:
		err = runLoad(arg)
	default:
		return false
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "acceptance %s: %v\n", name, err)
		os.Exit(1)
	}
	return true
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The load and its goals, beside what flags say of it.
const (
	loadSize   = 256 // bytes of content
	restartFor = 20 * time.Second
	loadWithin = 100 * time.Millisecond
	loadMemory = 200 << 20
)

// loadPlan is what the load's program is told.
type loadPlan struct {
	Invite                string
	Followers, Rate, Size int
	For, Restart          time.Duration
}

// loadResult is what it found, of the first minute or of all.
type loadResult struct {
	Sent, Acknowledged, Delivered int
	Seconds, Through              float64   // while it was sent, and until everything was delivered
	FromSent, FromDue             durations // p50, p99, most
	Late                          int       // sent more than loadWithin after they were due
	Refused                       int
	Sessions                      int            // opened
	Lost, Twice                   int            // a message that comes before another one of its sender counts as both
	Ends                          map[string]int // of sessions, by their reason
	Slow                          map[int]int    // deliveries that took longer than loadWithin, by the second in which they were sent
	Problem                       string
}

// membersLoaded has many followers talk through one master.
func (b *bench) membersLoaded(o *outcome) error {
	o.goal = fmt.Sprintf("%d followers, %d messages/s of %d bytes validated, on the ledger and delivered for %s: p99 at most %d ms, at most %d MB resident; then killed in the middle: everything acknowledged is delivered once, in order",
		b.load.Followers, b.load.Rate, loadSize, b.load.For, loadWithin.Milliseconds(), loadMemory>>20)
	m, err := b.newMaster(b.binary, serving{listen: loopback, members: ", unwatched: true"})
	if err != nil {
		return err
	}
	defer func() { killAll(m) }()
	i, err := m.invite("--open")
	if err != nil {
		return err
	}
	for n := range b.load.Followers {
		if err := m.admit(newClient(i, loadName(n))); err != nil {
			return err
		}
	}
	b.load.Invite, b.load.Size, b.load.Restart = i.String(), loadSize, restartFor
	plan, err := json.Marshal(b.load)
	if err != nil {
		return err
	}
	g, err := newGenerator(plan)
	if err != nil {
		return err
	}
	defer g.cmd.Process.Kill()
	if err := b.steadyLoad(o, m, g); err != nil {
		return err
	}
	return b.restartedLoad(o, m, g)
}

// generator is the program that makes the load.
type generator struct {
	cmd *exec.Cmd
	in  io.Writer
	out *json.Decoder
}

func newGenerator(plan []byte) (*generator, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	g := &generator{cmd: exec.Command(self, stageLoad, string(plan))}
	g.cmd.Stderr = os.Stderr
	if g.in, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.out = json.NewDecoder(out)
	return g, g.cmd.Start()
}

// result reads the generator's next line.
func (g *generator) result() (r loadResult, err error) {
	if err := g.out.Decode(&r); err != nil {
		return r, fmt.Errorf("the load's program ended: %w", err)
	}
	if r.Problem != "" {
		err = fmt.Errorf("load: %s; of %d sent, %d have a receipt and %d were delivered; sessions ended by %v", r.Problem, r.Sent, r.Acknowledged, r.Delivered, r.Ends)
	}
	return r, err
}

// steadyLoad is the first minute.
func (b *bench) steadyLoad(o *outcome, m *master, g *generator) error {
	began := time.Now()
	if _, err := g.result(); err != nil { // all are connected
		return err
	}
	o.say("%d followers associated in %.0f s; load average %s", b.load.Followers, time.Since(began).Seconds(), loadAverage())
	before := cpuOf(m.run.cmd.Process.Pid)
	own := cpuOf(g.cmd.Process.Pid)
	fmt.Fprintln(g.in, "go")
	r, err := g.result()
	if err != nil {
		return err
	}
	master, load := cpuOf(m.run.cmd.Process.Pid)-before, cpuOf(g.cmd.Process.Pid)-own
	peak, now := residentOf(m.run.cmd.Process.Pid)
	rate := float64(r.Delivered) / r.Through
	o.need(rate >= 0.99*float64(b.load.Rate), "%.0f messages/s were sent for %.0f s; all were delivered after %.1f s, %.0f/s; %d refused; load average %s", float64(r.Sent)/r.Seconds, r.Seconds, r.Through, rate, r.Refused, loadAverage())
	o.need(len(r.Ends) == 0, "sessions that ended meanwhile: %v", r.Ends)
	o.need(r.FromSent.at(99) <= loadWithin, "from sent to delivered: %s", r.FromSent)
	if len(r.Slow) > 0 {
		seconds := slices.Sorted(maps.Keys(r.Slow))
		o.say("%d deliveries took more than %d ms; they were sent in %d different seconds of the load: %v", total(r.Slow), loadWithin.Milliseconds(), len(seconds), seconds)
	}
	o.say("from when they were due, the load's own delay in it: %s; %d of %d were sent more than %d ms late", r.FromDue, r.Late, r.Sent, loadWithin.Milliseconds())
	o.need(peak <= loadMemory, "the master had %d MB resident at most, %d MB at the end", peak>>20, now>>20)
	o.say("for each message, the master used %.0f µs of a processor, the load itself %.0f µs", perMessage(master, r.Delivered), perMessage(load, r.Delivered))
	o.say("of %d processors, the master used %.2f, the load itself %.2f", processors(), master.Seconds()/r.Through, load.Seconds()/r.Through)
	return nil
}

// restartedLoad kills the master in the middle of the load.
func (b *bench) restartedLoad(o *outcome, m *master, g *generator) error {
	fmt.Fprintln(g.in, "again")
	time.Sleep(restartFor / 3)
	m.run.kill()
	began := time.Now()
	if err := m.start(); err != nil {
		return err
	}
	serves := time.Since(began)
	r, err := g.result()
	if err != nil {
		return err
	}
	o.need(r.Lost == 0 && r.Twice == 0 && r.Acknowledged == r.Sent && r.Delivered == r.Sent && r.Sessions >= b.load.Followers,
		"killed by kill -9 under load, it served again after %.1f s: of %d messages %d were acknowledged and %d delivered; %d lost, %d twice or out of order; %d sessions",
		serves.Seconds(), r.Sent, r.Acknowledged, r.Delivered, r.Lost, r.Twice, r.Sessions)
	return nil
}

func perMessage(d time.Duration, n int) float64 {
	return float64(d.Microseconds()) / float64(max(n, 1))
}

func total(m map[int]int) (sum int) {
	for _, n := range m {
		sum += n
	}
	return sum
}

func loadName(n int) string { return fmt.Sprintf("f%04d", n) }

// loadAverage is that of the machine over one minute.
func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

func processors() int {
	b, _ := os.ReadFile("/proc/cpuinfo")
	return strings.Count(string(b), "processor\t")
}

// cpuOf is the time that a process has used the processors (proc(5): utime and
// stime, in hundredths of a second).
func cpuOf(pid int) time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// residentOf is the memory of a process, most and now, in bytes.
func residentOf(pid int) (most, now int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kB, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmHWM:":
			most = kB << 10
		case "VmRSS:":
			now = kB << 10
		}
	}
	return most, now
}

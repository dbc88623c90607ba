// Package rehearse tries a home's detectors on attacks that did not happen: it
// puts labelled attack traffic, made by package simulate for each device, into a
// copy of the home's own benign traffic and lets it be judged by the path that
// `bellwether replay` takes. Nothing is sent to a network.
//
// The earlier part of the benign traffic trains each device, once; attacks are
// laid over the later part, which the devices have not learned from. By default
// that is 60 % of the time and the other 40 %, every kind of attack, three times
// for each device at different moments, in excerpts of at most an hour. An
// excerpt begins with empty statistics; no attack is begun before ten minutes of
// it (or a quarter, if it is shorter) have passed.
//
// All devices attack in the same copy, each at a moment of its own. Features are
// kept by address, so the attacks do not mix, but they share the bounded tables.
//
// A rehearsal is a function of its captures, options and seed. It refuses
// captures that are not of an Ethernet, devices that are not in them or that
// sent too little to be learned, and traffic too short to split.
package rehearse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"bellwether/internal/gateway"
	"bellwether/internal/monitor"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// Rehearsal says what is tried on what.
type Rehearsal struct {
	Benign  []string       // captures, directories or globs
	Learn   []string       // captures to learn from; none: a part of Benign
	Split   float64        // that part, of the time: more than 0, less than 1; 0 is 0.6
	Devices []zone.MAC     // who attacks; none: everyone that was learned
	Attacks []string       // kinds of simulate.Kinds; none: all of them
	Times   int            // how often each device commits each attack; 0 is 3
	Excerpt time.Duration  // most benign traffic around an attack; 0 is an hour
	Seed    uint64         // of the attacks; the training's is in Config
	Config  gateway.Config // as for a replay
	Dir     string         // an existing directory for temporary files; "" is the system's
	Keep    string         // an existing directory for the attacked captures; "" keeps none
	Compare bool           // play everything twice more, with parts of the evidence: see Evidence
	// Progress and Warning may be nil. Progress is called from one goroutine
	// at a time.
	Progress func(stage string, done, total int64)
	Warning  func(error)
}

// The rules by which attacks are placed and answers are counted.
const (
	// warmUp is how long statistics fill before an attack is begun.
	warmUp = 10 * time.Minute
	// grace is how long after an attack's end an alert still counts.
	grace = time.Minute
)

// Check says what is wrong with the options.
func (r Rehearsal) Check() error {
	if len(r.Benign) == 0 {
		return errors.New("a rehearsal needs benign traffic: give at least one capture")
	}
	if r.Split < 0 || r.Split >= 1 {
		return fmt.Errorf("the split is %g: want more than 0 and less than 1", r.Split)
	}
	if r.Split != 0 && len(r.Learn) > 0 {
		return errors.New("there are captures to learn from, so the benign traffic is not split: leave out one of the two")
	}
	if r.Times < 0 || r.Times > 1000 {
		return fmt.Errorf("each attack is to be committed %d times: want 1 to 1000", r.Times)
	}
	if r.Excerpt < 0 || r.Excerpt > 0 && r.Excerpt < time.Minute {
		return fmt.Errorf("an excerpt is to be %v long: want a minute or more", r.Excerpt)
	}
	for _, name := range r.Attacks {
		if _, err := simulate.FindKind(name); err != nil {
			return err
		}
	}
	return r.Config.Validate()
}

func (r Rehearsal) withDefaults() Rehearsal {
	if r.Split == 0 {
		r.Split = 0.6
	}
	if r.Times == 0 {
		r.Times = 3
	}
	if r.Excerpt == 0 {
		r.Excerpt = time.Hour
	}
	if len(r.Attacks) == 0 {
		r.Attacks = simulate.KindNames()
	}
	if r.Progress == nil {
		r.Progress = func(string, int64, int64) {}
	}
	if r.Warning == nil {
		r.Warning = func(error) {}
	}
	return r
}

// workers is how many captures are judged at a time.
func (r Rehearsal) workers() int {
	if r.Config.Workers > 0 {
		return r.Config.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// quiet is how long an alarm goes on after its last cause.
func (r Rehearsal) quiet() time.Duration {
	if r.Config.Quiet > 0 {
		return time.Duration(r.Config.Quiet)
	}
	return monitor.DefaultQuiet
}

// stage is a rehearsal under way: what was found in the benign traffic, and the
// captures that were made of it.
type stage struct {
	Rehearsal
	dir      string // temporary
	survey   *survey
	later    timeline // what attacks are laid over
	learn    []string // captures
	rest     string   // capture of the later part
	excerpts []excerpt
}

// excerpt is a stretch of the later part as a capture of its own.
type excerpt struct {
	path string
	time timeline
}

// Run rehearses. Temporary files are gone when it returns.
func (r Rehearsal) Run(ctx context.Context) (report *Report, err error) {
	err = r.onStage(ctx, func(s *stage) error {
		report, err = s.play(ctx)
		return err
	})
	return report, err
}

// onStage prepares the benign traffic, calls f, and removes what was made.
func (r Rehearsal) onStage(ctx context.Context, f func(*stage) error) (err error) {
	if err := r.Check(); err != nil {
		return err
	}
	s := &stage{Rehearsal: r.withDefaults()}
	if s.dir, err = os.MkdirTemp(r.Dir, ".rehearsal-"); err != nil {
		return fmt.Errorf("temporary files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return f(s)
}

// prepare surveys the benign traffic and cuts it into captures.
func (s *stage) prepare(ctx context.Context) (err error) {
	if s.survey, err = s.look(ctx, s.Benign); err != nil {
		return err
	}
	if err := s.known(); err != nil {
		return err
	}
	whole := s.survey.time
	s.later, s.learn = whole, s.Learn
	if len(s.Learn) == 0 {
		s.later = whole.between(whole.after(time.Duration(s.Split*float64(whole.length()))), whole.end()+1)
		s.learn = []string{filepath.Join(s.dir, "learn.pcap")}
	}
	if s.later.length() < time.Minute || whole.length()-s.later.length() < time.Minute && len(s.Learn) == 0 {
		return fmt.Errorf("the benign traffic covers %v, of which %v are left to attack in: that is too short to learn from one part and attack in the other (a minute each at the very least); give longer captures, another split, or others to learn from",
			whole.length().Round(time.Second), s.later.length().Round(time.Second))
	}
	s.rest = filepath.Join(s.dir, "later.pcap")
	s.chooseExcerpts()
	return s.cut(ctx)
}

// chooseExcerpts spreads as many excerpts as there are rounds over the later
// part; if it is no longer than one, all rounds share it.
func (s *stage) chooseExcerpts() {
	span := s.later.length()
	if span <= s.Excerpt {
		s.excerpts = slices.Repeat([]excerpt{{s.rest, s.later}}, s.Times)
		return
	}
	for i := range s.Times {
		from := time.Duration(0)
		if s.Times > 1 {
			from = (span - s.Excerpt) / time.Duration(s.Times-1) * time.Duration(i)
		}
		t := s.later.between(s.later.after(from), s.later.after(from+s.Excerpt))
		s.excerpts = append(s.excerpts, excerpt{filepath.Join(s.dir, fmt.Sprintf("excerpt-%d.pcap", i+1)), t})
	}
}

// known refuses devices that sent nothing.
func (s *stage) known() error {
	for _, mac := range s.Devices {
		if s.survey.devices[mac] == nil {
			return fmt.Errorf("no packet of the benign traffic was sent by %s: those that sent most are %s", mac, s.survey.busiest(5))
		}
	}
	return nil
}

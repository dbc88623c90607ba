package rehearse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/monitor"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// Poisoning is somebody who has a device and teaches its gateway an attack: a
// little of it on the first day, more on each that follows, while the device's
// model follows it every evening if it may. Who raises an alarm goes on with less.
// It ends when the model is refused, the smallest step is found, the days are over, or
// the attack has come to its own rate.
type Poisoning struct {
	State  string           // a state directory in which the device is watched; it stays as it is
	Days   []string         // captures, one a day, in order
	Attack simulate.Overlay // the device, its addresses and the kind; the rest is set here
	From   float64          // strikes a second on the first day
	Grow   float64          // how many times as much on each that follows
	Lasts  time.Duration    // of the attack, in each day
	Config gateway.Config   // as for a replay
	Dir    string           // an existing directory for temporary files; "" is the system's
	// Control lives through as many days again without the attack.
	Control bool
}

// PoisonedDay is one day of it.
type PoisonedDay struct {
	Rate    float64             // of the attack
	Alarms  int                 // of the device
	Found   *monitor.Adaptation // in the evening; nil if the device was in alarm
	Refused string              // why the model did not follow, empty if it did
}

// Poisoned is how it went.
type Poisoned struct {
	Days     []PoisonedDay
	Followed int     // times
	Reached  float64 // the highest rate of a day after which the model followed, 0 if it never did
	End      string  // refused, found, days over or own rate
	// Before and After say what is found of the attack at its own rate, half of it
	// and a quarter, by the first model and by the last one; Control, by a model that
	// followed the same days without the attack.
	Before, After, Control []FullAttack
}

// FullAttack is an attack at full strength, a whole day's rest after the last.
type FullAttack struct {
	Rate    float64
	Found   bool    // an alarm was raised
	Flagged float64 // share of its packets that the model flags
}

// fullParts are the parts of an attack's own rate that are tried.
func fullParts() []float64 { return []float64{1, 0.5, 0.25} }

// poisoning is a Poisoning under way.
type poisoning struct {
	Poisoning
	kind  simulate.Kind
	dir   string
	state string // the copy
	out   Poisoned
}

// Run lives through the days.
func (p Poisoning) Run(ctx context.Context) (_ *Poisoned, err error) {
	x := &poisoning{Poisoning: p}
	if x.kind, err = simulate.FindKind(p.Attack.Kind); err != nil {
		return nil, err
	}
	if x.dir, err = os.MkdirTemp(p.Dir, ".poisoning-"); err != nil {
		return nil, fmt.Errorf("temporary files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(x.dir)) }()
	x.state = filepath.Join(x.dir, "state")
	if err := gateway.CopyState(p.State, x.state); err != nil {
		return nil, err
	}
	if len(p.Days) == 0 {
		return nil, errors.New("there are no days to poison: give captures of the device's later life")
	}
	if x.out.Before, err = x.full(ctx, p.Days[0]); err != nil {
		return nil, err
	}
	if err := x.live(ctx); err != nil {
		return nil, err
	}
	if x.out.After, err = x.full(ctx, p.Days[len(x.out.Days)-1]); err != nil || !p.Control {
		return &x.out, err
	}
	x.out.Control, err = x.control(ctx)
	return &x.out, err
}

// control lives through the days without the attack.
func (x *poisoning) control(ctx context.Context) ([]FullAttack, error) {
	x.state = filepath.Join(x.dir, "control")
	if err := gateway.CopyState(x.State, x.state); err != nil {
		return nil, err
	}
	days := x.Poisoning.Days[:len(x.out.Days)]
	for i, benign := range days {
		if _, err := x.day(ctx, i, benign, 0); err != nil {
			return nil, fmt.Errorf("day %d without the attack: %w", i+1, err)
		}
	}
	return x.full(ctx, days[len(days)-1])
}

// leastGrowth is the smallest step of somebody who was found with larger ones.
const leastGrowth = 1.2

// live lets day after day pass. Who was found goes back to what was not, and on in
// smaller steps, or begins anew with a quarter if nothing went unfound yet.
func (x *poisoning) live(ctx context.Context) error {
	rate, grow := x.From, x.Grow
	for i, benign := range x.Poisoning.Days {
		d, err := x.day(ctx, i, benign, rate)
		if err != nil {
			return fmt.Errorf("day %d: %w", i+1, err)
		}
		x.out.Days = append(x.out.Days, d)
		switch {
		case d.Alarms > 0 && x.out.Reached == 0:
			rate /= 4
			continue
		case d.Alarms > 0:
			if grow = math.Sqrt(grow); grow < leastGrowth {
				x.out.End = "found"
				return nil
			}
		case d.Refused != "" && d.Found != nil:
			x.out.End = "refused"
			return nil
		case d.Found != nil:
			x.out.Followed, x.out.Reached = x.out.Followed+1, rate
			if rate >= x.kind.Rate {
				x.out.End = "own rate"
				return nil
			}
		}
		if x.out.Reached > 0 {
			rate = min(x.out.Reached*grow, x.kind.Rate)
		}
	}
	x.out.End = "days over"
	return nil
}

// day lays the attack over a capture, none at a rate of 0, lets it be watched, and
// lets the model follow.
func (x *poisoning) day(ctx context.Context, i int, benign string, rate float64) (d PoisonedDay, err error) {
	from, to, err := spanOf(ctx, benign)
	if err != nil {
		return d, err
	}
	k := x.strike(from.Add(min(poisonAfter, to.Sub(from)/3)), x.Lasts, rate, uint64(i))
	path := filepath.Join(x.dir, fmt.Sprintf("day-%d.pcap", i+1))
	strikes := []*strike{k}
	if rate == 0 {
		strikes = nil
	}
	if err := overlay(ctx, benign, path, strikes, ""); err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	r, err := x.watch(ctx, x.state, path)
	if err != nil {
		return d, err
	}
	d.Rate = rate
	for _, a := range r.Alerts {
		at, err := readTime(a.Start)
		if err != nil {
			return d, err
		}
		if at >= k.Start {
			d.Alarms++
		}
	}
	var bound *monitor.BoundError
	if d.Found, err = gateway.ChangeModel(ctx, x.state, x.Attack.MAC, monitor.Follow); err != nil {
		d.Refused = err.Error()
		if !errors.As(err, &bound) {
			d.Found = nil // it is in alarm, or too little has passed yet
		}
	}
	return d, nil
}

// poisonAfter is how long after a day's begin the attack begins, so that its packets
// pass the gate for what comes after a gap.
const poisonAfter = 6 * time.Minute

// full tries the attack at its own strength on a copy.
func (x *poisoning) full(ctx context.Context, day string) (out []FullAttack, err error) {
	_, last, err := spanOf(ctx, day)
	if err != nil {
		return nil, err
	}
	for i, part := range fullParts() {
		state, path := filepath.Join(x.dir, "trial"), filepath.Join(x.dir, "full.pcap")
		if err := gateway.CopyState(x.state, state); err != nil {
			return nil, err
		}
		k := x.strike(last.Add(time.Hour), x.kind.Lasts, part*x.kind.Rate, uint64(1000+i))
		if err := overlay(ctx, "", path, []*strike{k}, ""); err != nil {
			return nil, err
		}
		r, err := x.watch(ctx, state, path)
		if err != nil {
			return nil, err
		}
		out = append(out, FullAttack{part * x.kind.Rate, len(r.Alerts) > 0, float64(r.FlaggedSnapshots) / float64(max(1, r.WatchedSnapshots))})
		if err := errors.Join(os.Remove(path), os.RemoveAll(state)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (x *poisoning) strike(start zone.Time, lasts time.Duration, rate float64, seed uint64) *strike {
	k := &strike{Overlay: x.Attack}
	k.Start, k.Duration, k.Rate, k.Seed = start, lasts, rate, x.Attack.Seed+seed
	return k
}

// watch replays a capture and gives what is told of the device.
func (x *poisoning) watch(ctx context.Context, state, path string) (gateway.DeviceReport, error) {
	r, err := gateway.Replay{StateDir: state, Watch: []string{path}, Config: x.Config}.Run(ctx)
	if err != nil {
		return gateway.DeviceReport{}, err
	}
	for _, d := range r.Devices {
		if d.MAC == x.Attack.MAC {
			return d, nil
		}
	}
	return gateway.DeviceReport{}, fmt.Errorf("%s is not a device of %s", x.Attack.MAC, x.State)
}

// spanOf gives the times of a capture's first and last frame.
func spanOf(ctx context.Context, path string) (from, to zone.Time, err error) {
	_, err = gateway.Frames(ctx, []string{path}, func(fr *capture.Frame) error {
		if from == 0 {
			from = fr.Time
		}
		to = max(to, fr.Time)
		return nil
	})
	if err == nil && from == 0 {
		err = fmt.Errorf("%s holds no frame", path)
	}
	return from, to, err
}

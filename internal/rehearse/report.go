package rehearse

import (
	"slices"
	"strings"

	"bellwether/internal/gateway"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// Report is what a rehearsal came to. Everything in it follows from the captures,
// the options and the seed.
type Report struct {
	Method  Method   `json:"method"`
	Devices []Device `json:"devices"` // that attacked, by MAC address
	Left    []Unable `json:"left_out"`
	Attacks []Attack `json:"attacks"` // in the order asked for
	Pairs   []Pair   `json:"pairs"`   // of device and attack, by attack
	Trials  []Trial  `json:"trials"`  // by attack, round and device
	// Evidence is what each kind of evidence adds, if it was to be compared.
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Method says how it was done.
type Method struct {
	Benign         []string `json:"benign"`
	Learn          []string `json:"learn,omitempty"` // none: the earlier part of the benign traffic
	Split          float64  `json:"split,omitempty"` // of its time
	Seed           uint64   `json:"seed"`
	Times          int      `json:"times"`
	LaterFrom      string   `json:"later_from"`      // where the later part begins
	LaterSeconds   float64  `json:"later_seconds"`   // that it covers, gaps left out
	ExcerptSeconds float64  `json:"excerpt_seconds"` // of it, in which one round of attacks happened
	WarmUpSeconds  float64  `json:"warm_up_seconds"` // of an excerpt, before any attack
	GraceSeconds   float64  `json:"grace_seconds"`   // after an attack, in which an alert counts
	Packets        uint64   `json:"packets"`         // learned from
}

// Device is a device that attacked.
type Device struct {
	MAC         zone.MAC     `json:"mac"`
	Name        string       `json:"name"`
	Learned     int          `json:"learned_snapshots"`
	Threshold   float64      `json:"threshold"`
	Window      int          `json:"window"`
	Watched     uint64       `json:"benign_snapshots"`  // in the later part
	Flagged     uint64       `json:"flagged_snapshots"` // of these
	FalseAlarms []FalseAlarm `json:"false_alarms"`      // in the later part without any attack
	InAlarm     float64      `json:"alarm_seconds"`     // spent in them
}

// FalseAlarm is an alert in benign traffic.
type FalseAlarm struct {
	Start  string `json:"start"`
	Reason string `json:"reason"`
}

// Unable is a device that could not attack.
type Unable struct {
	MAC  zone.MAC `json:"mac"`
	Name string   `json:"name"`
	Why  string   `json:"why"`
}

// Count counts trials. Medians are over those that were found; the shares are
// over all but those in which the device was in alarm before, those of windows
// over those that have a whole window of attack packets.
type Count struct {
	Trials    int     `json:"trials"`
	Found     int     `json:"found"`
	Already   int     `json:"in_alarm_before"`
	Missed    int     `json:"missed"`
	Seconds   float64 `json:"median_seconds"`
	Packets   float64 `json:"median_packets"`
	PacketTPR float64 `json:"packet_tpr"` // means, see Trial
	WindowTPR float64 `json:"window_tpr"`
	VoteTPR   float64 `json:"vote_tpr"`
	Windowed  int     `json:"trials_with_windows"` // over which the last two are
	// AllWindows is the share of the windows of all these trials together.
	AllWindows float64 `json:"all_windows_tpr"`
}

// Attack is one kind of attack, over all devices and rounds.
type Attack struct {
	Name   string  `json:"name"`
	About  string  `json:"about"`
	Source string  `json:"source"`
	Rate   float64 `json:"rate"` // strikes per second
	Lasts  float64 `json:"lasts_seconds"`
	Quiet  bool    `json:"quiet"` // it tries to stay under
	Count
	MissedBy []string `json:"missed_by,omitempty"` // names of devices
}

// Pair is one device and one kind of attack, over all rounds.
type Pair struct {
	Device zone.MAC `json:"device"`
	Name   string   `json:"name"`
	Attack string   `json:"attack"`
	Count
	Reason string `json:"reason"` // of the first round in which it was found
}

func (s *stage) report(learned *gateway.Report, actors []actor, left []Unable, calm *gateway.Report, trials []Trial) *Report {
	first := s.excerpts[0].time
	r := &Report{Left: left, Trials: trials, Method: Method{
		Benign: s.Benign, Learn: s.Learn, Seed: s.Seed, Times: s.Times, LaterFrom: s.later.start().String(),
		LaterSeconds: s.later.length().Seconds(), ExcerptSeconds: first.length().Seconds(),
		WarmUpSeconds: min(warmUp, first.length()/4).Seconds(), GraceSeconds: grace.Seconds(), Packets: learned.Packets,
	}}
	if len(s.Learn) == 0 {
		r.Method.Split = s.Split
	}
	for _, a := range actors {
		r.Devices = append(r.Devices, device(reported(learned, a.mac), reported(calm, a.mac)))
	}
	for _, name := range s.Attacks {
		r.attack(name, actors)
	}
	return r
}

func device(learned, calm gateway.DeviceReport) Device {
	d := Device{MAC: learned.MAC, Name: learned.Name, Learned: learned.LearnedSnapshots, Threshold: *learned.Threshold, Window: learned.Window,
		Watched: calm.WatchedSnapshots, Flagged: calm.FlaggedSnapshots, InAlarm: calm.AlarmSeconds, FalseAlarms: []FalseAlarm{}}
	for _, a := range calm.Alerts {
		d.FalseAlarms = append(d.FalseAlarms, FalseAlarm{a.Start, a.Reason})
	}
	return d
}

// attack sums up what became of one kind, by device and for all.
func (r *Report) attack(name string, actors []actor) {
	k, _ := simulate.FindKind(name) // its name was checked
	a := Attack{Name: name, About: k.About, Source: k.Source, Rate: k.Rate, Lasts: k.Lasts.Seconds(), Quiet: k.Quiet}
	a.Count = counted(r.Trials, func(t *Trial) bool { return t.Attack == name })
	for _, d := range actors {
		p := Pair{Device: d.mac, Name: d.name, Attack: name}
		p.Count = counted(r.Trials, func(t *Trial) bool { return t.Attack == name && t.Device == d.mac })
		i := slices.IndexFunc(r.Trials, func(t Trial) bool { return t.Attack == name && t.Device == d.mac && t.Found })
		if i >= 0 {
			p.Reason = r.Trials[i].Reason
		}
		if p.Missed > 0 {
			a.MissedBy = append(a.MissedBy, d.name)
		}
		r.Pairs = append(r.Pairs, p)
	}
	r.Attacks = append(r.Attacks, a)
}

// Counted counts trials.
func Counted(trials []Trial) Count { return counted(trials, func(*Trial) bool { return true }) }

// counted counts the trials that f selects.
func counted(trials []Trial, f func(*Trial) bool) (c Count) {
	var seconds, packets, flagged, windows, votes []float64
	caught, full := 0, 0
	for i := range trials {
		t := &trials[i]
		if !f(t) {
			continue
		}
		c.Trials++
		if t.Already {
			c.Already++
			continue
		}
		flagged = append(flagged, t.PacketTPR())
		if t.Windows > 0 {
			windows, votes = append(windows, t.WindowTPR()), append(votes, t.VoteTPR())
			caught, full = caught+t.Caught, full+t.Windows
		}
		if !t.Found {
			c.Missed++
			continue
		}
		c.Found++
		seconds, packets = append(seconds, t.Seconds), append(packets, float64(t.Sent))
	}
	c.Seconds, c.Packets = median(seconds), median(packets)
	c.PacketTPR, c.WindowTPR, c.VoteTPR, c.Windowed = mean(flagged), mean(windows), mean(votes), len(windows)
	c.AllWindows = share(caught, full)
	return c
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func mean(v []float64) (sum float64) {
	if len(v) == 0 {
		return 0
	}
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// Found reports whether every attack that says nothing else of itself was found
// on every device that was not in alarm before.
func (r *Report) Found() bool {
	return !slices.ContainsFunc(r.Attacks, func(a Attack) bool { return !a.Quiet && a.Missed > 0 })
}

// FalseAlarms counts the alerts of all devices in the later part without attacks.
func (r *Report) FalseAlarms() (n int) {
	for _, d := range r.Devices {
		n += len(d.FalseAlarms)
	}
	return n
}

func reasons(left []Unable) string {
	var out []string
	for _, u := range left {
		out = append(out, u.MAC.String()+" "+u.Why)
	}
	if len(out) == 0 {
		return "there is none in the part to learn from"
	}
	return strings.Join(out, "; ")
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bellwether/internal/rehearse"
)

// The goals for floods and fast scans, and for the slow scan.
const (
	mostSeconds   = 1
	mostPackets   = 20
	leastWindows  = 0.999
	slowScan      = "slow-scan"
	slowScanUntil = 600 // seconds
)

// attacked rehearses every kind of attack on the zone's later days and on every
// device that has a folder of its own.
func (e *evaluating) attacked(o *outcome) error {
	o.goal = fmt.Sprintf("every Mirai and BASHLITE flood and fast scan found on every device; median delay at most %d s and %d attack packets; at least %.1f %% of windows; one new host a minute found within %d minutes",
		mostSeconds, mostPackets, 100*leastWindows, slowScanUntil/60)
	zone, shown, _, err := e.rehearse("--attack", "all")
	if err != nil {
		return err
	}
	o.say("the zone's later days:\n%s", shown)
	all := zone.Trials
	folders, err := e.deviceFolders()
	if err != nil {
		return err
	}
	for _, f := range folders {
		r, why, err := e.rehearseFolder(f)
		if err != nil {
			return err
		}
		if r == nil {
			o.say("%s: not enough traffic: %s", f.name, why)
			continue
		}
		n := 0
		for _, t := range r.Trials {
			if f.mac == nil || t.Device == *f.mac {
				t.Name = f.name
				all = append(all, t)
				n++
			}
		}
		o.say("%s: %d attacks", f.name, n)
	}
	e.judgeAttacks(o, zone.Attacks, all)
	return nil
}

// rehearseFolder rehearses on one device's captures, each attack once; without a
// report it says why the traffic is not enough.
func (e *evaluating) rehearseFolder(f deviceFolder) (r *rehearse.Report, why string, err error) {
	dir, err := e.scratch("rehearsal")
	if err != nil {
		return nil, "", err
	}
	args := append([]string{"rehearse", "--device", "all", "--attack", "all", "--times", "1", "--out", dir, "--benign"}, f.captures...)
	ran, err := e.program(args...)
	if err != nil {
		return nil, "", err
	}
	if _, reason, few := strings.Cut(ran.err.String(), "no device can attack: "); few && ran.code == 1 {
		return nil, strings.TrimSpace(reason), nil
	}
	if ran.code != 0 {
		return nil, "", fmt.Errorf("%s: exit code %d: %s", f.name, ran.code, ran.err.String())
	}
	raw, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		return nil, "", err
	}
	r = new(rehearse.Report)
	return r, "", json.Unmarshal(raw, r)
}

// judgeAttacks holds the trials of all devices against the goals.
func (e *evaluating) judgeAttacks(o *outcome, kinds []rehearse.Attack, trials []rehearse.Trial) {
	t := newTable()
	t.row("attack", "tried", "found", "in alarm before", "missed", "median s", "median packets", "windows", "by the vote", "verdict", "missed by")
	var loud []rehearse.Trial
	for _, k := range kinds {
		own := slices.DeleteFunc(slices.Clone(trials), func(t rehearse.Trial) bool { return t.Attack != k.Name })
		c := rehearse.Counted(own)
		verdict, bound, holds := judged(k, c, own)
		if bound && !k.Quiet {
			loud = append(loud, own...)
		}
		o.holds = o.holds && holds
		t.row(k.Name, fmt.Sprint(c.Trials), fmt.Sprint(c.Found), fmt.Sprint(c.Already), fmt.Sprint(c.Missed), median("%.2f", c.Seconds, c),
			median("%.0f", c.Packets, c), share(c.WindowTPR, c.Windowed), share(c.VoteTPR, c.Windowed), verdict, missedBy(own))
	}
	o.say("all devices:\n%s", t)
	c := rehearse.Counted(loud)
	o.need(c.Missed == 0 && c.Seconds <= mostSeconds && c.Packets <= mostPackets && c.AllWindows >= leastWindows,
		"Mirai and BASHLITE floods and fast scans together: %d of %d found (%d in alarm before), median %.2f s and %.0f packets, %s of all windows (mean of the trials %s)",
		c.Found, c.Trials-c.Already, c.Already, c.Seconds, c.Packets, share(c.AllWindows, c.Windowed), share(c.WindowTPR, c.Windowed))
}

// judged says whether every device's attack of a kind was found, and the slow scan
// in time. Delay and windows bind the floods and fast scans together; a kind that
// is beyond a goal by itself says so.
func judged(k rehearse.Attack, c rehearse.Count, own []rehearse.Trial) (verdict string, bound, holds bool) {
	slow := k.Name == slowScan
	loud := !k.Quiet && (strings.HasPrefix(k.Name, "mirai-") || strings.HasPrefix(k.Name, "bashlite-"))
	late := slices.ContainsFunc(own, func(t rehearse.Trial) bool { return t.Found && t.Seconds > slowScanUntil })
	switch {
	case !slow && !loud:
		return "–", false, true
	case c.Missed > 0 || c.Found == 0:
		return "short: found", true, false
	case slow && late:
		return "short: delay", true, false
	case slow:
		return "holds", true, true
	}
	var beyond []string
	for _, m := range []struct {
		is   bool
		what string
	}{{c.Seconds > mostSeconds, "seconds"}, {c.Packets > mostPackets, "packets"}, {c.WindowTPR < leastWindows, "windows"}} {
		if m.is {
			beyond = append(beyond, m.what)
		}
	}
	if len(beyond) > 0 {
		return "found; alone beyond: " + strings.Join(beyond, ", "), true, true
	}
	return "holds", true, true
}

// median writes a median, if there is one.
func median(format string, v float64, c rehearse.Count) string {
	if c.Found == 0 {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

// share writes a share in percent, if anything was counted.
func share(v float64, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f %%", 100*v)
}

// missedBy names the devices that committed attacks unseen.
func missedBy(trials []rehearse.Trial) string {
	var names []string
	for _, t := range trials {
		if !t.Found && !t.Already {
			names = append(names, t.Name)
		}
	}
	return strings.Join(slices.Compact(names), ", ")
}

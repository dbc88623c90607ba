package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"bellwether/internal/rehearse"
	"bellwether/internal/simulate"
)

// loud are attacks that have to be found on every learned device.
func loud() []string {
	return []string{simulate.MiraiScan, simulate.MiraiSYN, simulate.MiraiACK, simulate.MiraiUDP, simulate.MiraiUDPPlain,
		simulate.BashliteScan, simulate.BashliteUDP, simulate.BashliteTCP, simulate.ARPScan, simulate.SpoofedFlood}
}

// rehearsed lets every learned device commit each loud attack once, on top of
// the watched captures.
func (b *bench) rehearsed(o *outcome) error {
	r, shown, _, err := b.rehearse("--attack", strings.Join(loud(), ","))
	if err != nil {
		return err
	}
	o.say("%s", shown)
	for _, a := range r.Attacks {
		o.need(a.Missed == 0 && a.Trials > 0, "%s: %d of %d found, %d in alarm before, not found at %q", a.Name, a.Found, a.Trials, a.Already, a.MissedBy)
	}
	return nil
}

// rehearse runs a rehearsal on the zone, each attack once; it gives its report,
// what it printed, and the directory that it wrote.
func (b *bench) rehearse(args ...string) (r rehearse.Report, shown, dir string, err error) {
	if dir, err = b.scratch("rehearsal"); err != nil {
		return r, "", "", err
	}
	args = append([]string{"rehearse", "--device", "all", "--times", "1", "--out", dir}, args...)
	args = append(append(args, "--learn", b.zone.training, "--benign"), b.zone.monitoring...)
	if b.zone.names != "" {
		args = append(args, "--devices", b.zone.names)
	}
	ran, err := b.must(args...)
	if err != nil {
		return r, "", "", err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	return r, strings.TrimSpace(ran.out.String()), dir, err
}

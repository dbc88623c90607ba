package rehearse

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// run rehearses a home in a fresh directory, and wants nothing left there.
func run(t *testing.T, r Rehearsal) *Report {
	t.Helper()
	r.Dir = t.TempDir()
	report, err := r.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(r.Dir); err != nil || len(left) > 0 {
		t.Errorf("the rehearsal left %v behind, %v", left, err)
	}
	return report
}

func TestLoudAttacksAreFound(t *testing.T) {
	long(t)
	h := simulated(t)
	cam, tv := h.device(t, "webcam"), h.device(t, "smart TV")
	kinds := []string{simulate.MiraiScan, simulate.MiraiSYN, simulate.ARPScan}
	r := run(t, Rehearsal{Benign: []string{h.path}, Attacks: kinds, Times: 2, Devices: []zone.MAC{cam.MAC, tv.MAC}, Config: quick()})
	if len(r.Devices) == 0 || len(r.Trials) != len(kinds)*2*len(r.Devices) || len(r.Pairs) != len(kinds)*len(r.Devices) {
		t.Fatalf("%d devices, %d trials, %d pairs", len(r.Devices), len(r.Trials), len(r.Pairs))
	}
	found := 0
	for _, tr := range r.Trials {
		if tr.Device != cam.MAC {
			continue
		}
		if !tr.Found || tr.Seconds < 0 || tr.Seconds > 2 || tr.Sent < 1 || tr.Sent > tr.Packets || tr.Reason == "" || tr.Packets < 100 {
			t.Errorf("%+v", tr)
		}
		if tr.WindowTPR() < 0.9 {
			t.Errorf("%s: %d of %d windows", tr.Attack, tr.Caught, tr.Windows)
		}
		found++
	}
	if found != len(kinds)*2 {
		t.Errorf("the webcam attacked %d times", found)
	}
	for _, d := range r.Devices {
		if d.Watched == 0 || d.Learned < 1000 {
			t.Errorf("%+v", d)
		}
	}
}

// TestEveryoneWhoCan: without a choice all learned devices attack, and those that
// cannot are named with a reason.
func TestEveryoneWhoCan(t *testing.T) {
	long(t)
	h := simulated(t)
	r := run(t, Rehearsal{Benign: []string{h.path}, Attacks: []string{simulate.TelnetScan}, Times: 1, Config: quick()})
	if len(r.Devices) < 2 || len(r.Left) < 2 || len(r.Devices)+len(r.Left) != len(h.devices) || len(r.Trials) != len(r.Devices) {
		t.Errorf("%d devices attacked, %d were left out, of %d", len(r.Devices), len(r.Left), len(h.devices))
	}
	for _, left := range r.Left {
		if !strings.Contains(left.Why, "needs 1000") {
			t.Errorf("left out: %+v", left)
		}
	}
}

// TestSameAgain: whatever the workers, the same options give the same report;
// another seed other moments.
func TestSameAgain(t *testing.T) {
	long(t)
	h := simulated(t)
	cam := h.device(t, "webcam")
	reports := map[string]bool{}
	for _, c := range []struct {
		seed    uint64
		workers int
	}{{1, 1}, {1, 3}, {2, 2}} {
		config := quick()
		config.Workers = c.workers
		r := run(t, Rehearsal{Benign: []string{h.path}, Devices: []zone.MAC{cam.MAC}, Attacks: []string{simulate.BashliteScan}, Times: 2, Seed: c.seed, Config: config})
		r.Method.Seed = 0
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		reports[string(text)] = true
	}
	if len(reports) != 2 {
		t.Errorf("%d different reports, want 2", len(reports))
	}
}

// TestKeptCapturesAreLabelled: what is kept can be judged again, and its truth
// names just the packets of the attack.
func TestKeptCapturesAreLabelled(t *testing.T) {
	h := simulated(t)
	cam := h.device(t, "webcam")
	keep := t.TempDir()
	r := run(t, Rehearsal{Benign: []string{h.path}, Devices: []zone.MAC{cam.MAC}, Attacks: []string{simulate.MiraiUDP}, Times: 1, Keep: keep, Config: quick()})
	f, err := os.Open(filepath.Join(keep, "mirai-udp-1.truth.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	attack := map[uint64]bool{} // those that the device sent, and not the victim
	for _, l := range lines[1:] {
		n, err := strconv.ParseUint(l[0], 10, 64)
		if err != nil || l[2] != cam.MAC.String() || l[3] != simulate.MiraiUDP || l[4] != "sent" && l[4] != "received" {
			t.Fatalf("%q, %v", l, err)
		}
		if l[4] == "sent" {
			attack[n] = true
		}
	}
	if len(attack) != r.Trials[0].Packets {
		t.Fatalf("%d packets sent in the truth; %d attack packets", len(attack), r.Trials[0].Packets)
	}
	n, floods := uint64(0), 0
	_, err = gateway.Frames(context.Background(), []string{filepath.Join(keep, "mirai-udp-1.pcap")}, func(fr *capture.Frame) error {
		flood := len(fr.Data) == 14+20+8+512 && zone.MAC(fr.Data[6:12]) == cam.MAC && fr.Data[30] == 203
		if flood != attack[n] {
			t.Errorf("packet %d: flood %v, truth %v", n, flood, attack[n])
		}
		if flood {
			floods++
		}
		n++
		return nil
	})
	if err != nil || floods != len(attack) {
		t.Errorf("%d packets of the flood, %v, want %d", floods, err, len(attack))
	}
}

func TestSeparateCapturesToLearnFrom(t *testing.T) {
	long(t)
	h := simulated(t)
	cam := h.device(t, "webcam")
	r := run(t, Rehearsal{Benign: []string{h.path}, Learn: []string{h.path}, Devices: []zone.MAC{cam.MAC}, Attacks: []string{simulate.Exfiltration}, Times: 1, Config: quick()})
	if len(r.Trials) != 1 || r.Method.Split != 0 || r.Method.LaterSeconds < 350 {
		t.Errorf("%+v", r.Method)
	}
}

func TestRefusals(t *testing.T) {
	h := simulated(t)
	cam := h.device(t, "webcam")
	good := Rehearsal{Benign: []string{h.path}, Attacks: []string{simulate.MiraiSYN}, Times: 1, Config: quick()}
	for _, c := range []struct {
		want string
		bad  func(*Rehearsal)
	}{
		{"at least one capture", func(r *Rehearsal) { r.Benign = nil }},
		{"there is no attack of the kind \"mirai\": there are mirai-scan,", func(r *Rehearsal) { r.Attacks = []string{"mirai"} }},
		{"split is 1:", func(r *Rehearsal) { r.Split = 1 }},
		{"leave out one", func(r *Rehearsal) { r.Split, r.Learn = 0.5, r.Benign }},
		{"1 to 1000", func(r *Rehearsal) { r.Times = -1 }},
		{"a minute or more", func(r *Rehearsal) { r.Excerpt = 1 }},
		{"no packet of the benign traffic was sent by 02:00:00:00:00:01: those that sent most are", func(r *Rehearsal) { r.Devices = []zone.MAC{{2, 5: 1}} }},
		{"and 60000 are needed", func(r *Rehearsal) { r.Devices, r.Config.Learn.Snapshots = []zone.MAC{cam.MAC}, 60000 }},
		{"no device can attack", func(r *Rehearsal) { r.Config.Learn.Snapshots = 60000 }},
		{"a router?", func(r *Rehearsal) { r.Devices = []zone.MAC{h.router} }},
		{"too short to learn", func(r *Rehearsal) { r.Split = 0.9 }},
		{"nothing.pcap", func(r *Rehearsal) { r.Benign = []string{"nothing.pcap"} }},
	} {
		r := good
		c.bad(&r)
		r.Dir = t.TempDir()
		if _, err := r.Run(context.Background()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error with %q, got %v", c.want, err)
		}
	}
}

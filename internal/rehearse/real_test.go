package rehearse

import (
	"os"
	"path/filepath"
	"testing"

	"bellwether/internal/simulate"
)

// TestRealDevice rehearses on the real captures of one device, set up again and
// again: every loud attack is found, and soon.
func TestRealDevice(t *testing.T) {
	long(t)
	dir := filepath.Join("..", "..", "..", "shared", "data", "pcaps", "iot_sentinel", "D-LinkSensor")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI needs the captures: %v", err)
		}
		t.Skip("no captures of real devices here")
	}
	config := quick()
	config.Detector.Epochs = 10
	r := run(t, Rehearsal{Benign: []string{filepath.Join(dir, "*.pcap")}, Attacks: []string{simulate.MiraiScan, simulate.MiraiUDP, simulate.BashliteTCP}, Times: 2, Config: config})
	if len(r.Devices) != 1 || len(r.Trials) != 6 {
		t.Fatalf("%d devices, %d trials", len(r.Devices), len(r.Trials))
	}
	for _, tr := range r.Trials {
		if !tr.Already && (!tr.Found || tr.Seconds > 1) {
			t.Errorf("%s, round %d: %s after %.2f s", tr.Attack, tr.Round, tr.Outcome(), tr.Seconds)
		}
	}
}

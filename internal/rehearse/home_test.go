package rehearse

import (
	"bufio"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

const homeStart = zone.Time(1_800_000_000_000_000_000)

// home is a simulated home's recording, made once for all tests.
type home struct {
	path    string
	devices []simulate.Device
	router  zone.MAC
}

var recorded = sync.OnceValues(record)

func record() (h home, err error) {
	dir, err := os.MkdirTemp("", "bellwether-rehearsal-")
	if err != nil {
		return h, err
	}
	h.path = filepath.Join(dir, "home.pcap")
	sim := simulate.NewHome(simulate.HomeOptions{Seed: 3, Start: homeStart, Activity: 20})
	h.devices = sim.Devices()
	h.router, _ = sim.Gateway()
	f, err := os.Create(h.path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	b := bufio.NewWriter(f)
	w, err := capture.NewWriter(b, packet.LinkEthernet)
	if err != nil {
		return h, err
	}
	for fr := range sim.Frames(homeStart.Add(6 * time.Minute)) {
		if err := w.Write(capture.Frame{Time: fr.Time, Link: packet.LinkEthernet, Data: fr.Data, Length: len(fr.Data)}); err != nil {
			return h, err
		}
	}
	return h, b.Flush()
}

func simulated(t testing.TB) home {
	t.Helper()
	h, err := recorded()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// device gives the simulated home's device of a kind.
func (h home) device(t testing.TB, kind string) simulate.Device {
	t.Helper()
	for _, d := range h.devices {
		if d.Kind == kind {
			return d
		}
	}
	t.Fatalf("the home has no %s", kind)
	return simulate.Device{}
}

// quick is a configuration that learns soon.
func quick() gateway.Config {
	return gateway.Config{Learn: gateway.LearnConfig{Snapshots: 1000}, Detector: gateway.DetectorConfig{Epochs: 3}, Workers: 2}
}

// long skips a test of many replays where tests are to be short, as under the
// race detector; TestKeptCapturesAreLabelled goes the same way there.
func long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes many replays")
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if h, err := recorded(); err == nil {
		os.RemoveAll(filepath.Dir(h.path))
	}
	os.Exit(code)
}

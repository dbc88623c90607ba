package gateway

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// captures are a simulated home's recordings, made once for all tests: two
// minutes to learn from, then two in which the webcam is infected.
type captures struct {
	learn, watch string
	webcam       simulate.Device
	router       zone.MAC
	attack       zone.Time // its first packet
}

const (
	homeStart  = zone.Time(1_800_000_000_000_000_000)
	learnFor   = 2 * time.Minute
	watchFor   = 2 * time.Minute
	attackFrom = learnFor + 60*time.Second
)

var recorded = sync.OnceValues(record)

func record() (captures, error) {
	dir, err := os.MkdirTemp("", "bellwether-captures-")
	if err != nil {
		return captures{}, err
	}
	c := captures{learn: filepath.Join(dir, "learn.pcap"), watch: filepath.Join(dir, "watch.pcap"), attack: homeStart.Add(attackFrom)}
	home := simulate.NewHome(simulate.HomeOptions{Seed: 7, Start: homeStart, Activity: 20})
	c.router, _ = home.Gateway()
	for _, d := range home.Devices() {
		if d.Kind == "webcam" {
			c.webcam = d
		}
	}
	if err := writeCapture(c.learn, home.Frames(homeStart.Add(learnFor))); err != nil {
		return captures{}, err
	}
	err = home.Infect(c.webcam.MAC, []simulate.Attack{{Kind: simulate.MiraiScan, Start: c.attack, Duration: 10 * time.Second}})
	if err != nil {
		return captures{}, err
	}
	return c, writeCapture(c.watch, home.Frames(homeStart.Add(learnFor+watchFor)))
}

// homeCaptures gives the recordings of the simulated home.
func homeCaptures(t testing.TB) captures {
	t.Helper()
	c, err := recorded()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// writeCapture writes frames as a pcap file.
func writeCapture(path string, frames iter.Seq[*simulate.Frame]) error {
	var b bytes.Buffer
	w, err := capture.NewWriter(&b, packet.LinkEthernet)
	if err != nil {
		return err
	}
	for f := range frames {
		if err := w.Write(capture.Frame{Time: f.Time, Link: packet.LinkEthernet, Data: f.Data, Length: len(f.Data)}); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// saveCapture writes frames as a pcap file of the test's own.
func saveCapture(t testing.TB, frames iter.Seq[*simulate.Frame]) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture.pcap")
	if err := writeCapture(path, frames); err != nil {
		t.Fatal(err)
	}
	return path
}

// frames gives the frames of a capture file.
func frames(t testing.TB, path string) iter.Seq[*simulate.Frame] {
	return func(yield func(*simulate.Frame) bool) {
		f, err := capture.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var fr capture.Frame
		for {
			err := f.Next(&fr)
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !yield(&simulate.Frame{Time: fr.Time, Data: fr.Data}) {
				return
			}
		}
	}
}

// udpFrame is a minimal Ethernet frame with a UDP datagram.
func udpFrame(src zone.MAC, from, to netip.Addr, size int) []byte {
	b := make([]byte, 14, 14+28+size)
	copy(b, []byte{0, 0, 0x5e, 0, 0x53, 1})
	copy(b[6:], src[:])
	b[12] = 8
	total := 28 + size
	a, z := from.As4(), to.As4()
	b = append(b, 0x45, 0, byte(total>>8), byte(total), 0, 0, 0, 0, 64, 17, 0, 0)
	b = append(append(b, a[:]...), z[:]...)
	b = append(b, 0x9c, 0x40, 0x22, 0xb3, byte((8+size)>>8), byte(8+size), 0, 0)
	return append(b, make([]byte, size)...)
}

func ticking(start zone.Time, every time.Duration, n int) iter.Seq[*simulate.Frame] {
	from, to := netip.MustParseAddr("192.168.77.20"), netip.MustParseAddr("198.18.0.1")
	return func(yield func(*simulate.Frame) bool) {
		for i := range n {
			f := simulate.Frame{Time: start.Add(time.Duration(i) * every), Data: udpFrame(zone.MAC{0, 0, 0x5e, 0, 0x53, 0x10}, from, to, 40+i%7)}
			if !yield(&f) {
				return
			}
		}
	}
}

var errStop = fmt.Errorf("that is enough")

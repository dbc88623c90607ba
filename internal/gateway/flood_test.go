package gateway

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"bellwether/internal/feature"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// flood is n SYNs from stations and addresses that are made up: private ones,
// so that each would be a device, and public ones in turn.
func flood(start zone.Time, n int) iter.Seq[*simulate.Frame] {
	noise := rand.New(rand.NewPCG(1, 1))
	return func(yield func(*simulate.Frame) bool) {
		for i := range n {
			src := [4]byte{10, 0, 0, 0}
			if i%2 == 1 {
				src[0] = 203
			}
			mac := zone.MAC{0, 0, 0x5e}
			r := noise.Uint32()
			binary.BigEndian.PutUint16(src[2:], uint16(r))
			src[1] = byte(r >> 24)
			copy(mac[3:], []byte{byte(r), byte(r >> 8), byte(r >> 16)})
			b := udpFrame(mac, netip.AddrFrom4(src), netip.AddrFrom4([4]byte{198, 18, 0, 1}), 12)
			b[23], b[47] = 6, 2 // TCP, SYN
			b[46] = 5 << 4
			if !yield(&simulate.Frame{Time: start.Add(time.Duration(i) * 100 * time.Microsecond), Data: b}) {
				return
			}
		}
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A flood of made-up sources fills the tables to their bounds and not beyond.
func TestFloodStaysWithinMemory(t *testing.T) {
	n := 300_000
	if testing.Short() {
		n = 60_000
	}
	path := filepath.Join(t.TempDir(), "flood.pcap")
	if err := writeCapture(path, flood(homeStart, n)); err != nil {
		t.Fatal(err)
	}
	quiet := saveCapture(t, ticking(homeStart.Add(-time.Hour), time.Second, 10))
	limits := feature.Limits{Hosts: 4096, Channels: 8192, Sockets: 16384}
	c := quickly()
	c.Tables = TablesConfig(limits)
	before, peak := liveHeap(), int64(0)
	r := mustRun(t, Replay{StateDir: keyedDir(t), Learn: []string{quiet}, Watch: []string{path}, Config: c, Events: Events{
		Progress: func(_ string, done, total int64) {
			if done*8/total != (done-total/64)*8/total || done == total {
				peak = max(peak, liveHeap())
			}
		}}})
	const slack = 48 << 20 // one segment being encoded, 512 devices, the ledger's state
	if grown := peak - before; grown > limits.Bytes()+slack {
		t.Errorf("the heap grew by %d MB, the bound is %d MB and %d MB for everything else", grown>>20, limits.Bytes()>>20, slack>>20)
	} else {
		t.Logf("%d packets: the heap grew by %d MB, the bound is %d MB; %d evictions", r.Packets, grown>>20, (limits.Bytes()+slack)>>20, r.Evictions)
	}
	if len(r.Devices) != 512 || r.Dropped.OverMaxDevices == 0 || r.Evictions == 0 {
		t.Errorf("%d devices, %d packets of others, %d evictions: want 512, and some of both", len(r.Devices), r.Dropped.OverMaxDevices, r.Evictions)
	}
}

package simulate

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWormScans(t *testing.T) {
	for _, c := range []struct {
		kind  string
		ports []uint16
		rate  float64 // SYNs that are no repetition
	}{
		{HajimeScan, []uint16{23, 5555, 7547}, 30},
		{HNSScan, []uint16{23, 80, 2323, 2480, 5984, 8080}, 60},
		{TelnetScan, []uint16{23}, 3},
	} {
		o := testOverlay(c.kind)
		up, _ := strike(t, o)
		hosts, ports := map[string]bool{}, map[uint16]bool{}
		for _, s := range up {
			if !isPublic(s.Dst.As4()) {
				t.Fatalf("%s: to %v", c.kind, s.Dst)
			}
			if s.TCPFlags != syn {
				continue // what follows an answer
			}
			hosts[s.Dst.String()], ports[s.DstPort] = true, true
			dst := s.Dst.As4()
			if seq := binary.BigEndian.Uint32(s.data[38:]); c.kind == HNSScan && seq != binary.BigEndian.Uint32(dst[:]) {
				t.Errorf("%s: sequence number %x to %v", c.kind, seq, s.Dst)
			}
		}
		for _, p := range c.ports {
			if !ports[p] {
				t.Errorf("%s: never scans port %d", c.kind, p)
			}
		}
		got, want := float64(len(hosts)), c.rate*o.Duration.Seconds()
		if len(ports) != len(c.ports) || math.Abs(got-want) > 0.1*want {
			t.Errorf("%s: %v hosts on %d ports, want about %v on %d", c.kind, got, len(ports), want, len(c.ports))
		}
	}
}

// TestHajimeGivesUp: a host that does not answer gets two SYNs, and few answer.
func TestHajimeGivesUp(t *testing.T) {
	up, _ := strike(t, testOverlay(HajimeScan))
	tries := map[string]int{}
	for _, s := range up {
		if s.TCPFlags == syn {
			tries[s.Dst.String()]++
		}
	}
	twice := 0
	for _, n := range tries {
		if n == 2 {
			twice++
		}
	}
	if twice < len(tries)*9/10 || twice == len(tries) {
		t.Errorf("%d of %d hosts get two SYNs", twice, len(tries))
	}
}

func TestMimicry(t *testing.T) {
	o := testOverlay(Mimicry)
	o.Duration = 5 * time.Minute
	o.Usual = []Sending{{2 * time.Second, 77}, {100 * time.Millisecond, 1400}, {3 * time.Second, 0}, {900 * time.Millisecond, 301}}
	up, _ := strike(t, o)
	var sizes []int
	for _, s := range up {
		if payload := len(s.data) - 66; s.TCPFlags == ack && s.Time > up[0].Time.Add(time.Second) {
			sizes = append(sizes, payload)
		}
	}
	// Four packets every six seconds, whatever the handshake took.
	if n := len(sizes); math.Abs(float64(n)-200) > 4 {
		t.Fatalf("%d packets, want about 200", n)
	}
	start := slices.Index(sizes, 77)
	for i, size := range sizes[start:] {
		if want := o.Usual[i%4].Size; size != want {
			t.Fatalf("packet %d has %d bytes, want %d", i, size, want)
		}
	}
}

func TestQuietExfiltration(t *testing.T) {
	o := testOverlay(QuietExfiltration)
	o.Duration = 10 * time.Minute
	o.Usual = []Sending{{time.Second, 500}, {time.Second, 100}} // 300 bytes a second
	up, _ := strike(t, o)
	sent := 0
	for _, s := range up {
		sent += len(s.data) - 66
	}
	if rate := float64(sent) / o.Duration.Seconds(); rate < 270 || rate > 330 {
		t.Errorf("%v bytes a second, want about 300", rate)
	}
}

func TestUsualIsChecked(t *testing.T) {
	for _, bad := range []Sending{{-1, 10}, {1, -1}, {1, 1 << 16}} {
		o := testOverlay(Mimicry)
		o.Usual = []Sending{{time.Second, 10}, bad}
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), "usual") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	o := testOverlay(Mimicry)
	o.Usual = []Sending{{0, 0}}
	if up, _ := strike(t, o); len(up) > 100 {
		t.Errorf("a record without time makes %d packets", len(up))
	}
}

func TestFindKind(t *testing.T) {
	_, err := FindKind("mirai")
	for _, name := range KindNames() {
		if k, found := FindKind(name); found != nil || k.Name != name || k.Source == "" || k.Lasts <= 0 {
			t.Errorf("FindKind(%q) = %+v, %v", name, k, found)
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Fatalf("the error of an unknown name does not list %s: %v", name, err)
		}
	}
}

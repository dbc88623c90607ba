package monitor

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/journal"
)

// A device that was given another address may use it after a restart, and who
// was not given it may not.
func TestLeaseSurvivesRestart(t *testing.T) {
	fresh := netip.MustParseAddr("192.168.78.99") // too far to be taken for one that it moved to
	b := learned(t, Options{})
	b.send(time.Second, ack(router, camera, fresh))
	b.flush()
	b.start()
	b.send(time.Second, b.udp(camera, fresh))
	b.flush()
	if len(b.alerts) != 0 {
		t.Fatalf("%s: %q, want no alert", b.alerts[0].Device, b.alerts[0].Text)
	}
	b.send(time.Second, b.udp(plug, fresh))
	b.flush()
	if len(b.alerts) != 1 || b.alerts[0].Device != plug {
		t.Errorf("%d alerts, want one of the plug", len(b.alerts))
	}
}

// An address that was given to another device is no longer its former owner's
// alone, also after a restart.
func TestLeaseTakesAddressAwayAfterRestart(t *testing.T) {
	b := learned(t, Options{})
	b.send(time.Second, ack(router, stranger, cameraA))
	b.flush()
	b.start()
	b.send(time.Second, b.udp(stranger, cameraA))
	b.flush()
	if len(b.alerts) != 0 {
		t.Errorf("%s: %q, want no alert", b.alerts[0].Device, b.alerts[0].Text)
	}
}

func TestLeases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.log")
	s, err := OpenLeases(path)
	if err != nil {
		t.Fatal(err)
	}
	var want []Lease
	for i := range maxLeases + 10 {
		l := Lease{camera, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}
		if i == 0 {
			l.Addr = cameraA
		}
		want = append(want, l)
		s.Add(l)
		s.Add(l)
		if i%1000 == 999 {
			if err := s.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	want = want[:maxLeases]
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenLeases(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.First(s.Len() + 1); !slices.Equal(got, want) {
		t.Errorf("%d leases were kept, want the first %d", len(got), len(want))
	}
	if got := s.First(3); !slices.Equal(got, want[:3]) {
		t.Errorf("the oldest are %v", got)
	}
}

func TestLeasesRefuse(t *testing.T) {
	for name, x := range map[string]struct {
		records [][]byte
		want    string
	}{
		"short":    {[][]byte{{1, 2, 3}}, "record 0: lease record of 3 bytes"},
		"nothing":  {[][]byte{make([]byte, leaseBytes)}, "without an address"},
		"too many": {slices.Repeat([][]byte{Lease{camera, cameraA}.append(nil)}, maxLeases+1), "more than 4096"},
	} {
		path := filepath.Join(t.TempDir(), "leases.log")
		j, err := journal.Open(path, LeasesKind, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Append(x.records...); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenLeases(path); s != nil || err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %q", name, err, x.want)
		}
	}
}

func FuzzParseLease(f *testing.F) {
	f.Add(Lease{camera, cameraA}.append(nil))
	f.Add([]byte{})
	f.Add(make([]byte, leaseBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLease(b)
		if err == nil && !bytes.Equal(l.append(nil), b) {
			t.Errorf("%x is read as %v", b, l)
		}
	})
}

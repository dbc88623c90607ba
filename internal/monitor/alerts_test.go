package monitor

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/zone"
)

func someAlert(i int) *zone.Alert {
	return &zone.Alert{Device: camera, Name: "Camera", Raised: zone.Time(i), Reason: zone.ReasonScore, Text: "because", First: 1, Last: 2}
}

func TestAlertsJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.log")
	a, err := OpenAlerts(path)
	if err != nil {
		t.Fatal(err)
	}
	var digests []zone.Hash
	for i := range 20 {
		d, err := a.Put(someAlert(i))
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Put(someAlert(3)); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); after.Size() != before.Size() {
		t.Error("the same alert was written twice")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if a, err = OpenAlerts(path); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for i, d := range digests {
		got, err := a.ByDigest(d)
		if err != nil || got.Raised != zone.Time(i) {
			t.Errorf("alert %d: %+v, %v", i, got, err)
		}
		if _, found, err := a.Find(zone.AlertID(d)); err != nil || found != d {
			t.Errorf("alert %d is not found by its name: %v", i, err)
		}
	}
	if _, _, err := a.Find("alert-"); err == nil || !strings.Contains(err.Error(), "20 alerts begin with") {
		t.Errorf("a name that fits all: %v", err)
	}
	if _, _, err := a.Find("alert-zz"); err == nil || !strings.Contains(err.Error(), "there is no alert") {
		t.Errorf("a name that fits none: %v", err)
	}
	if _, err := a.ByDigest(zone.Hash{1}); err == nil {
		t.Error("an alert that was never put was found")
	}
}

func FuzzParseAlert(f *testing.F) {
	for i := range 3 {
		b, err := someAlert(i).Canonical()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	held := someAlert(3)
	held.Network = &zone.AlertNetwork{Names: zone.Hash{1}, Evidence: zone.NetworkReport{Packets: 1, Outside: 1,
		Named: []zone.Strange{{Proto: 6, Port: 23, Hosts: 1, Packets: 1, First: netip.MustParseAddr("2001:db8::1")}}}}
	b, err := held.Canonical()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"zone":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAlert(b)
		if err != nil {
			return
		}
		if again, err := a.Canonical(); err != nil || string(again) != string(b) {
			t.Errorf("%q was taken, its canonical form is %q (%v)", b, again, err)
		}
	})
}

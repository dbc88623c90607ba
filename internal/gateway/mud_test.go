package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/mud"
	"bellwether/internal/zone"
)

// mudState opens a state directory in which the webcam of a simulated home was
// learned, and then infected.
func mudState(t *testing.T) (dir string, s *State) {
	t.Helper()
	dir, _ = finished(t)
	s, err := OpenState(t.Context(), dir, StateOptions{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// TestNetworkPolicy: what the webcam did while it was learned becomes its network
// policy, and its alert's evidence lies outside of it.
func TestNetworkPolicy(t *testing.T) {
	c := homeCaptures(t)
	dir, s := mudState(t)
	l, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC})
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC})
	if err != nil || !bytes.Equal(l.File, again.File) || !bytes.Equal(l.Signature, again.Signature) {
		t.Errorf("learned twice, it is not the same: %v", err)
	}
	if who, err := s.SignerOf(l.File, l.Signature, nil); err != nil || who != "this zone" {
		t.Errorf("signed by %q: %v", who, err)
	}
	learned, err := s.CheckMUD(t.Context(), c.webcam.MAC, l.File, nil, 0, 0)
	if err != nil || learned.Inside == 0 {
		t.Errorf("%+v: %v", learned, err)
	}
	raised := theAlert(t, s)
	if _, _, ok, err := s.AlertMUD(t.Context(), &raised); ok || err != nil {
		t.Errorf("a device without a network policy: %v, %v", ok, err)
	}
	digest := give(t, s, MUDOrder{Device: c.webcam.MAC, File: l.File, Signature: l.Signature}).SHA256
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	verifies(t, dir)
	if s, err = OpenState(t.Context(), dir, StateOptions{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if d, _, err := contract.ReadDevice(s.Ledger.State(), c.webcam.MAC); err != nil || d.Network != digest {
		t.Errorf("the ledger says %s, %v", d.Network, err)
	}
	if m, ok := s.MUD(c.webcam.MAC); !ok || m.SHA256 != digest || !bytes.Equal(m.File, l.File) || len(s.MUDs()) != 1 {
		t.Errorf("after opening again: %v, %v", m, ok)
	}
	r, _, ok, err := s.AlertMUD(t.Context(), &raised)
	if err != nil || !ok || r.Outside == 0 || r.Named[0].Proto != 6 || r.Named[0].Port != 23 {
		t.Errorf("%+v, %v, %v: want TCP port 23 outside", r, ok, err)
	}
}

// give gives a device a network policy, or takes it away.
func give(t *testing.T, s *State, o MUDOrder) *MUDAnswer {
	t.Helper()
	m, err := s.readMUD(o)
	if err == nil {
		m.Time = homeStart
		err = s.SetMUD(t.Context(), m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.answer()
}

// theAlert is the first alert that was raised.
func theAlert(t *testing.T, s *State) zone.Alert {
	t.Helper()
	raised, err := s.Raised(t.Context())
	if err != nil || len(raised) == 0 {
		t.Fatalf("%d alerts: %v", len(raised), err)
	}
	a, err := s.Alerts.ByDigest(raised[0])
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAlertNamesWhatLiesOutside: the alert of a device with a network policy holds
// what of its evidence lies outside, the same bytes in every replay. Without one
// nothing is said.
func TestAlertNamesWhatLiesOutside(t *testing.T) {
	c := homeCaptures(t)
	learned := keyedDir(t)
	mustRun(t, Replay{StateDir: learned, Learn: []string{c.learn}, Config: quickly()})
	without, with := copyState(t, learned), copyState(t, learned)
	s, err := OpenState(t.Context(), with, StateOptions{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC})
	if err != nil {
		t.Fatal(err)
	}
	given := give(t, s, MUDOrder{Device: c.webcam.MAC, File: l.File})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := copyState(t, with)
	if a, line := watched(t, without); a.Network != nil || strings.Contains(line, "network_policy") {
		t.Errorf("without a network policy it says %+v: %s", a.Network, line)
	}
	a, line := watched(t, with)
	if a.Network == nil || a.Network.SHA256 != given.SHA256 || !strings.Contains(line, `"network_policy":{"sha256":"`+given.SHA256.String()) {
		t.Fatalf("%+v: %s", a.Network, line)
	}
	if _, twice := watched(t, again); twice != line {
		t.Errorf("another replay raised\n%s\nthe first\n%s", twice, line)
	}
	if s, err = OpenState(t.Context(), with, StateOptions{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Remove(filepath.Join(again, mudFile)); err != nil {
		t.Fatal(err)
	}
	if r, err := VerifyState(t.Context(), again, nil, nil); err != nil || !strings.Contains(strings.Join(r.Findings, "\n"), "was held against "+given.SHA256.Short()) || !strings.Contains(strings.Join(r.Findings, "\n"), "the ledger names "+given.SHA256.Short()) {
		t.Errorf("without the policy: %+v, %v", r, err)
	}
	now, _, _, err := s.AlertMUD(t.Context(), &a)
	if n := a.Network.Evidence; err != nil || !reflect.DeepEqual(n, now) || n.Outside == 0 || n.Named[0].Port != 23 {
		t.Errorf("%+v, held against it again %+v, %v", n, now, err)
	}
}

// watched replays the attack on a zone that was learned, twice, and gives the
// webcam's one alert and its event.
func watched(t *testing.T, dir string) (a zone.Alert, line string) {
	t.Helper()
	c := homeCaptures(t)
	r := Replay{StateDir: dir, Watch: []string{c.watch}, Config: quickly()}
	r.Events.Alert = func(raised Raised) error {
		if raised.Alert.Device != c.webcam.MAC {
			return nil
		}
		b, err := raised.Event.Line()
		a, line = raised.Alert, string(b)
		return err
	}
	report := mustRun(t, r)
	if twice := mustRun(t, r); !reflect.DeepEqual(twice.Devices, report.Devices) || twice.Ledger != report.Ledger {
		t.Errorf("repeated, the replay comes to another end: %+v, %+v", twice, report)
	}
	verifies(t, dir)
	if line == "" {
		t.Fatal("no alert")
	}
	return a, line
}

// TestPolicyCountsWhenTheLedgerNamesIt: a record that a crash kept from the ledger
// is not in force, and giving it again puts it there.
func TestPolicyCountsWhenTheLedgerNamesIt(t *testing.T) {
	c := homeCaptures(t)
	dir, s := mudState(t)
	l, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC})
	if err != nil {
		t.Fatal(err)
	}
	first := give(t, s, MUDOrder{Device: c.webcam.MAC, File: l.File}).SHA256
	second := MUDOrder{Device: c.webcam.MAC, File: append(bytes.Clone(l.File), '\n')}
	m, err := s.readMUD(second)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.muds.put(m); err != nil { // and then it crashes
		t.Fatal(err)
	}
	for _, want := range []zone.Hash{first, m.SHA256} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		verifies(t, dir)
		if s, err = OpenState(t.Context(), dir, StateOptions{Existing: true}); err != nil {
			t.Fatal(err)
		}
		if got, ok := s.MUD(c.webcam.MAC); !ok || got.SHA256 != want {
			t.Errorf("%s is in force, want %s", got.SHA256, want)
		}
		give(t, s, second)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNetworkPolicyAgain: the one that a device has already is not written again, and
// one with other addresses is.
func TestNetworkPolicyAgain(t *testing.T) {
	c := homeCaptures(t)
	dir, s := mudState(t)
	defer s.Close()
	here, there := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")
	l, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC, Hosts: true, Names: map[string][]netip.Addr{"cloud.example": everyPeer(t, s, c.webcam.MAC)}})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for _, at := range []netip.Addr{here, here, there, there} {
		give(t, s, MUDOrder{Device: c.webcam.MAC, File: l.File, Names: map[string][]netip.Addr{"cloud.example": {at}}})
		info, err := os.Stat(filepath.Join(dir, mudFile))
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
	}
	if sizes[1] != sizes[0] || sizes[2] == sizes[1] || sizes[3] != sizes[2] {
		t.Errorf("the file's sizes are %d", sizes)
	}
}

// everyPeer gives the addresses that a device sent to.
func everyPeer(t *testing.T, s *State, device zone.MAC) (peers []netip.Addr) {
	t.Helper()
	for row, err := range s.Store.Rows(t.Context(), 0, 0, device) {
		if err != nil {
			t.Fatal(err)
		}
		if row.Dst.IsValid() && !slices.Contains(peers, row.Dst) {
			peers = append(peers, row.Dst)
		}
	}
	return peers
}

// TestNetworkPolicyRefused: what cannot be a network policy changes nothing.
func TestNetworkPolicyRefused(t *testing.T) {
	c := homeCaptures(t)
	_, s := mudState(t)
	defer s.Close()
	if _, err := s.readMUD(MUDOrder{Device: c.webcam.MAC, File: []byte("{}")}); err == nil {
		t.Errorf("a file that is no MUD file: %v", err)
	}
	if _, err := s.LearnMUD(t.Context(), LearnMUD{Device: zone.MAC{2}}); err == nil || !strings.Contains(err.Error(), "has no model") {
		t.Errorf("a device that was not learned: %v", err)
	}
	if _, err := s.CheckMUD(t.Context(), c.webcam.MAC, nil, nil, 0, 0); err == nil || !strings.Contains(err.Error(), "no network policy") {
		t.Errorf("a device without one: %v", err)
	}
	l, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := s.readMUD(MUDOrder{Device: zone.MAC{2, 0, 0, 0, 0, 9}, File: l.File})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetMUD(t.Context(), stranger); err == nil || !strings.Contains(err.Error(), "has to be seen first") {
		t.Errorf("a device that nobody saw: %v", err)
	}
	other := c.webcam.MAC
	give(t, s, MUDOrder{Device: other, File: l.File})
	if give(t, s, MUDOrder{Device: other}); len(s.MUDs()) != 0 {
		t.Error("one that is taken away is still there")
	}
	if err := s.SetMUD(t.Context(), MUD{Device: other}); err == nil || !strings.Contains(err.Error(), "has no network policy") {
		t.Errorf("taken away twice: %v", err)
	}
}

// TestTornNetworkPolicy: what a crash left unfinished is gone when the directory was
// opened again.
func TestTornNetworkPolicy(t *testing.T) {
	c := homeCaptures(t)
	dir, s := mudState(t)
	l, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC})
	if err != nil {
		t.Fatal(err)
	}
	digest := give(t, s, MUDOrder{Device: c.webcam.MAC, File: l.File}).SHA256
	m, err := s.readMUD(MUDOrder{Device: c.webcam.MAC, File: append(bytes.Clone(l.File), '\n')})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.muds.put(m), s.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, mudFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-5); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenState(t.Context(), dir, StateOptions{Existing: true}); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.MUD(c.webcam.MAC); !ok || got.SHA256 != digest {
		t.Errorf("%s is in force, want %s", got.SHA256, digest)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	verifies(t, dir)
}

// TestDamagedNetworkPolicy: a changed byte is found.
func TestDamagedNetworkPolicy(t *testing.T) {
	c := homeCaptures(t)
	dir, s := mudState(t)
	l, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC})
	if err != nil {
		t.Fatal(err)
	}
	give(t, s, MUDOrder{Device: c.webcam.MAC, File: l.File})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, mudFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := VerifyState(t.Context(), dir, nil, nil)
	if err != nil || len(a.Findings) == 0 || !strings.Contains(strings.Join(a.Findings, "\n"), "network policies") {
		t.Errorf("%v: %v", a, err)
	}
}

// TestNamedHosts: hosts that the simulated home's name server names have their
// rules by name, and what was learned is inside of them.
func TestNamedHosts(t *testing.T) {
	c := homeCaptures(t)
	names, damaged, err := ReadNames(t.Context(), []string{c.learn}, c.webcam.MAC)
	if err != nil || len(damaged) != 0 || len(names["time.example"]) == 0 {
		t.Fatal(names, damaged, err)
	}
	_, s := mudState(t)
	defer s.Close()
	l, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC, Hosts: true, Names: names})
	if err != nil || !bytes.Contains(l.File, []byte(`"ietf-acldns:dst-dnsname": "time.example"`)) {
		t.Fatalf("%v\n%s", err, l.File)
	}
	r, err := s.CheckMUD(t.Context(), c.webcam.MAC, l.File, names, 0, zone.SeqID(l.Snapshots))
	if err != nil || r.Inside == 0 || r.Outside+r.Unchecked > 0 {
		t.Errorf("%+v: %v", r, err)
	}
	if r, err = s.CheckMUD(t.Context(), c.webcam.MAC, l.File, nil, 0, zone.SeqID(l.Snapshots)); err != nil || r.Unchecked == 0 {
		t.Errorf("%+v: %v: without names, rules by name cannot be checked", r, err)
	}
}

func FuzzMUDRecord(f *testing.F) {
	b, err := json.Marshal(MUD{Device: zone.MAC{2}, SHA256: zone.Hash{}, File: []byte("x")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"mac":"02:00:00:00:00:01","time":1,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","file":"","signer":""}`))
	f.Add([]byte(`{"names":{"a":["::1"]},"file":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMUD(b)
		if err == nil && len(m.File) > 0 {
			if _, err := mud.Parse(m.File); err != nil {
				t.Fatal(err)
			}
		}
	})
}

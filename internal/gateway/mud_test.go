package gateway

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
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
	digest, err := s.SetMUD(t.Context(), MUD{Device: c.webcam.MAC, Time: homeStart, File: l.File, Signer: "this zone"})
	if err != nil {
		t.Fatal(err)
	}
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

// TestNetworkPolicyRefused: what cannot be a network policy changes nothing.
func TestNetworkPolicyRefused(t *testing.T) {
	c := homeCaptures(t)
	_, s := mudState(t)
	defer s.Close()
	if _, err := s.SetMUD(t.Context(), MUD{Device: c.webcam.MAC, File: []byte("{}")}); err == nil || len(s.MUDs()) != 0 {
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
	if _, err := s.SetMUD(t.Context(), MUD{Device: zone.MAC{2, 0, 0, 0, 0, 9}, Time: 1, File: l.File}); err == nil || !strings.Contains(err.Error(), "has to be seen first") {
		t.Errorf("a device that nobody saw: %v", err)
	}
	other := c.webcam.MAC
	if _, err := s.SetMUD(t.Context(), MUD{Device: other, Time: 1, File: l.File}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetMUD(t.Context(), MUD{Device: other, Time: 2}); err != nil || len(s.MUDs()) != 0 {
		t.Errorf("one that is taken away is still there: %v", err)
	}
}

// TestDamagedNetworkPolicy: a changed byte is found.
func TestDamagedNetworkPolicy(t *testing.T) {
	c := homeCaptures(t)
	dir, s := mudState(t)
	l, err := s.LearnMUD(t.Context(), LearnMUD{Device: c.webcam.MAC})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetMUD(t.Context(), MUD{Device: c.webcam.MAC, File: l.File}); err != nil {
		t.Fatal(err)
	}
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

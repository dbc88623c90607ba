package bus

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// TestPayloads: what is stored is found by H-ID and block, over segments and
// restarts, until it is dropped by age; a segment that a crash left empty goes.
func TestPayloads(t *testing.T) {
	dir := t.TempDir()
	open := func() *payloads {
		t.Helper()
		p, err := openPayloads(dir, 8*time.Hour, 1<<40, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.close() })
		return p
	}
	id := func(i int) zone.HID { return zone.HID{byte(i), byte(i >> 8), 1} }
	p := open()
	at := zone.Time(time.Hour)
	const n = 40
	for i := range n {
		if i%10 == 5 { // as after a crash in between
			p.close()
			if j, err := journal.Open(filepath.Join(dir, "payloads-00000099.log"), payloadKind, nil); err != nil || j.Close() != nil {
				t.Fatal(err)
			}
			p = open()
			if p.next != zone.SeqID(i+1) {
				t.Fatalf("the next SEQ-ID is %d, want %d", p.next, i+1)
			}
		}
		if err := p.add(uint64(i), at, []stored{{id: id(i), from: "a", payload: []byte{byte(i)}}}); err != nil {
			t.Fatal(err)
		}
		at = at.Add(20 * time.Minute)
	}
	if len(p.segments) < 5 {
		t.Errorf("%d segments, %d dropped", len(p.segments), p.dropped)
	}
	gone := int(p.segments[0].head.Base) - 1
	there := 0
	for _, p := range []*payloads{p, open()} {
		for i := range n {
			got, err := p.find(id(i), uint64(i))
			if err != nil || got != nil && !bytes.Equal(got, []byte{byte(i)}) {
				t.Errorf("payload %d: %x, %v", i, got, err)
			}
			if got != nil {
				there++
			}
		}
		if _, err := p.find(id(n), n); err != nil {
			t.Error(err)
		}
		if len(p.loaded) > maxLoaded {
			t.Errorf("%d segments in memory", len(p.loaded))
		}
	}
	if there != 2*(n-gone) || gone == 0 {
		t.Errorf("%d found of %d twice, %d were dropped", there, n, gone)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, segmentGlob)); len(files) != len(p.segments) {
		t.Errorf("%d files, %d segments", len(files), len(p.segments))
	}
	if errs := Damage(dir); len(errs) != n-gone { // one byte is no payload of a member
		t.Errorf("%d are too short, found %d", n-gone, len(errs))
	}
	if err := os.WriteFile(filepath.Join(dir, certificateFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCertificate(dir); err == nil {
		t.Error("a broken certificate was loaded")
	}
}

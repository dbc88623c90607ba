package capture

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// corpus is the folder of other people's captures.
const corpus = "../../../shared/data/pcaps"

// needCorpus gives a folder or file of the corpus; without it the test is
// skipped, or fails where CI=true.
func needCorpus(tb testing.TB, name string) string {
	tb.Helper()
	path := filepath.Join(corpus, name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatalf("test data missing: %v", err)
		}
		tb.Skipf("test data missing: %v", err)
	}
	return path
}

func corpusFiles(tb testing.TB, name string) (paths []string) {
	tb.Helper()
	err := filepath.WalkDir(needCorpus(tb, name), func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Type().IsRegular() && strings.Contains(filepath.Ext(path), "cap") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		tb.Fatalf("captures in %s: %d, %v", name, len(paths), err)
	}
	return paths
}

// drain reads a capture to its end, decoding every frame, and gives the number
// of frames and the damage that ended it, if any.
func drain(tb testing.TB, path string) (frames int, damage *DamageError) {
	tb.Helper()
	f, err := Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var fr Frame
	var p packet.Packet
	for {
		err := f.Next(&fr)
		if err == io.EOF {
			return frames, nil
		}
		if errors.As(err, &damage) {
			return frames, damage
		}
		if err != nil {
			tb.Fatalf("%s after %d frames: %v", path, frames, err)
		}
		frames++
		p.Time, p.Length = fr.Time, fr.Length
		packet.Decode(fr.Link, fr.Data, &p)
	}
}

func TestCorpusToTheEnd(t *testing.T) {
	for _, path := range corpusFiles(t, ".") {
		frames, damage := drain(t, path)
		if frames == 0 {
			t.Errorf("%s: no frames (%v)", path, damage)
		}
		if damage == nil {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if damage.Offset <= 0 || damage.Offset >= info.Size() {
			t.Errorf("%s: damage at %d of %d bytes", path, damage.Offset, info.Size())
		}
		if damage.Path != path {
			t.Errorf("damage names %q, want %q", damage.Path, path)
		}
	}
}

func TestMadeaTraining(t *testing.T) {
	paths := corpusFiles(t, "madea/training")
	total := 0
	for _, path := range paths {
		frames, _ := drain(t, path)
		total += frames
	}
	if len(paths) != 8 || total != 110_963 {
		t.Errorf("%d files with %d frames, want 8 with 110963", len(paths), total)
	}
}

// TestMadeaDevices compares the packets that each device sent with the counts
// that the data set's README gives.
func TestMadeaDevices(t *testing.T) {
	want := map[string]int{
		"64:16:66:49:3e:cb": 14_438, // Nest camera
		"50:8a:06:4b:c5:c7": 12_761, // Lumiman bulb
		"d0:73:d5:12:8e:30": 9_673,  // Lifx bulb
		"7c:f6:66:1f:a8:b6": 9_000,  // HBN plug
		"b0:73:9c:e6:9a:b9": 6_683,  // Blink camera
		"34:ab:95:f6:82:94": 3_398,  // Ultraloq lock
		"90:48:6c:06:8f:74": 3_196,  // Ring doorbell
		"24:ce:33:24:b5:cb": 2_815,  // Amazon plug
		"d8:0d:17:33:c2:52": 2_219,  // Kasa bulb
		"d0:c5:d3:90:54:73": 2_026,  // Roomba
		"70:74:14:c0:db:f0": 1_194,  // Rachio
		"34:6f:92:1d:ba:50": 48,     // Sensi thermostat
		"cc:a7:c1:62:cc:aa": 43,     // Nest Protect
	}
	got := map[zone.MAC]int{}
	for _, path := range corpusFiles(t, "madea/training") {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var fr Frame
		var p packet.Packet
		for f.Next(&fr) == nil {
			packet.Decode(fr.Link, fr.Data, &p)
			got[p.SrcMAC]++
		}
		f.Close()
	}
	for text, n := range want {
		mac, err := zone.ParseMAC(text)
		if err != nil {
			t.Fatal(err)
		}
		if got[mac] != n {
			t.Errorf("%s sent %d packets, want %d", mac, got[mac], n)
		}
	}
}

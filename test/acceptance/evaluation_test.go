package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bellwether/internal/evaluate"
	"bellwether/internal/rehearse"
)

// put writes a file and the folders above it.
func put(t *testing.T, text string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDeviceFolders(t *testing.T) {
	data := t.TempDir()
	put(t, "", data, "pcaps", "home", "training", "a.pcap")
	put(t, "", data, "pcaps", "home", "monitoring", "b.pcap")
	put(t, "", data, "pcaps", "flat", "c.pcap")
	put(t, "", data, "pcaps", "lab", "kettle", "1.pcap.gz")
	put(t, "", data, "pcaps", "lab", "kettle", "2.cap")
	put(t, "5C:CF:7F:06:D9:02\n", data, "pcaps", "lab", "kettle", "who.txt")
	put(t, "nothing to read", data, "pcaps", "lab", "scale", "notes.txt")
	put(t, "", data, "pcaps", "lab", "scale", "1.pcap")
	put(t, "", data, "pcaps", "lab", "papers", "readme.pdf")
	b := bench{data: data}
	b.zone.training = filepath.Join(data, "pcaps", "home", "training")
	found, err := b.deviceFolders()
	if err != nil || len(found) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	kettle, scale := found[0], found[1]
	if kettle.name != "kettle" || len(kettle.captures) != 2 || kettle.mac == nil || kettle.mac.String() != "5c:cf:7f:06:d9:02" {
		t.Errorf("%+v", kettle)
	}
	if scale.name != "scale" || len(scale.captures) != 1 || scale.mac != nil {
		t.Errorf("%+v", scale)
	}
}

func TestNamedTable(t *testing.T) {
	for name, want := range map[string]string{
		"bell.benign.first9.csv":      "bell/benign_traffic.csv",
		"bell.gafgyt_scan.first9.csv": "bell/gafgyt_attacks/scan.csv",
		"bell.mirai_udpplain.csv":     "bell/mirai_attacks/udpplain.csv",
		"bell.mirai_tcp.csv":          "",
		"header_115_columns.csv":      "",
	} {
		device, table, ok := namedTable(name)
		if got := filepath.ToSlash(filepath.Join(device, table)); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}

func TestLayOut(t *testing.T) {
	b := bench{data: t.TempDir(), dir: t.TempDir()}
	if _, err := b.layOut(); err == nil {
		t.Error("tables were found where there are none")
	}
	put(t, "x", b.data, "nbaiot", "rows", "bell.benign.csv")
	put(t, "y", b.data, "nbaiot", "rows", "bell.gafgyt_scan.csv")
	dir, err := b.layOut()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "bell", "gafgyt_attacks", "scan.csv")); err != nil || string(text) != "y" {
		t.Errorf("%q, %v", text, err)
	}
	put(t, "x", b.data, "nbaiot", "1.benign.csv")
	put(t, "x", b.data, "nbaiot", "1.mirai.scan.csv")
	if dir, err = b.layOut(); err != nil || dir != filepath.Join(b.data, "nbaiot") {
		t.Errorf("tables as published are read from %s, %v", dir, err)
	}
}

func TestShortOf(t *testing.T) {
	good := rehearse.Count{Trials: 4, Found: 4, Seconds: 1, Packets: 20, WindowTPR: 0.999, Windowed: 4}
	with := func(change func(*rehearse.Count)) rehearse.Count {
		c := good
		change(&c)
		return c
	}
	for _, c := range []struct {
		name  string
		quiet bool
		count rehearse.Count
		own   []rehearse.Trial
		want  string
		bound bool
		holds bool
	}{
		{"mirai-syn", false, good, nil, "holds", true, true},
		{"bashlite-tcp", false, with(func(c *rehearse.Count) { c.Missed = 1 }), nil, "short: found", true, false},
		{"bashlite-tcp", false, with(func(c *rehearse.Count) { c.Found = 0 }), nil, "short: found", true, false},
		{"mirai-udp", false, with(func(c *rehearse.Count) { c.Packets, c.Seconds = 20.5, 1.1 }), nil, "found; alone beyond: seconds, packets", true, true},
		{"mirai-udp", false, with(func(c *rehearse.Count) { c.WindowTPR = 0.998 }), nil, "found; alone beyond: windows", true, true},
		{"beacon", true, with(func(c *rehearse.Count) { c.Missed = 4 }), nil, "–", false, true},
		{"arp-scan", false, with(func(c *rehearse.Count) { c.Missed = 4 }), nil, "–", false, true},
		{"slow-scan", true, good, []rehearse.Trial{{Found: true, Seconds: 600}}, "holds", true, true},
		{"slow-scan", true, good, []rehearse.Trial{{Found: true, Seconds: 601}}, "short: delay", true, false},
		{"slow-scan", true, with(func(c *rehearse.Count) { c.Missed = 1 }), nil, "short: found", true, false},
	} {
		got, bound, holds := judged(rehearse.Attack{Name: c.name, Quiet: c.quiet}, c.count, c.own)
		if got != c.want || bound != c.bound || holds != c.holds {
			t.Errorf("%s, %+v: %q, bound %v, holds %v", c.name, c.count, got, bound, holds)
		}
	}
}

// TestBetter: who is better is said, who is as good or unknown is not.
func TestBetter(t *testing.T) {
	var x experiment
	if err := x.read(strings.NewReader(`{"attacks": [
		{"algorithm": "autoencoder", "rule": "eq1", "auc": {"mean": 0.9}, "window_tpr": {"mean": 1}, "missed": {"mean": 0}},
		{"algorithm": "pca", "rule": "eq1", "auc": {"mean": 0.8}, "window_tpr": {"mean": 1}, "missed": {"mean": 0}},
		{"algorithm": "pca", "rule": "eq1", "auc": {"mean": null}, "window_tpr": {"mean": null}, "missed": {"mean": 0}},
		{"algorithm": "svm", "rule": "eq1", "auc": {"mean": 0.95}, "window_tpr": {"mean": 0.5}, "missed": {"mean": 0}}]}`)); err != nil {
		t.Fatal(err)
	}
	if got := x.better(); !slices.Equal(got, []string{"eq1, svm: better in AUC"}) {
		t.Errorf("%q", got)
	}
	if pca := x.of("pca", evaluate.Eq1); pca.auc.value() != 0.8 || !math.IsNaN(pca.fit.value()) {
		t.Errorf("%+v", pca)
	}
	o := outcome{holds: true}
	if x.complete(&o); o.holds {
		t.Error("an experiment without benign rows is complete")
	}
}

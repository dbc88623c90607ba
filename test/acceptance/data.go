package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// zoneData is what the data has of one zone, and what else there is to watch.
type zoneData struct {
	training   string
	monitoring []string // folders
	names      string   // CSV, may be empty
	others     []string // captures, one by one
}

// endings of capture files.
var endings = []string{".pcap", ".pcapng", ".cap"}

func isCapture(name string) bool {
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	for _, e := range endings {
		if strings.HasSuffix(name, e) {
			return true
		}
	}
	return false
}

// findZone looks for a zone to learn below data/pcaps, and for other captures.
func findZone(data string) (zoneData, error) {
	var z zoneData
	root := filepath.Join(data, "pcaps")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if d.Name() == "training" && z.training == "" {
			z.training = path
		}
		return nil
	})
	if err != nil {
		return z, err
	}
	if z.training == "" {
		return z, fmt.Errorf("there is no folder \"training\" below %s", root)
	}
	home := filepath.Dir(z.training)
	if z.monitoring, err = filepath.Glob(filepath.Join(home, "monitoring*")); err != nil || len(z.monitoring) == 0 {
		return z, fmt.Errorf("there is no folder \"monitoring…\" beside %s", z.training)
	}
	if names, _ := filepath.Glob(filepath.Join(home, "*", "*.csv")); len(names) > 0 {
		z.names = names[0]
	}
	z.others, err = capturesIn(root)
	return z, err
}

// capturesIn lists the captures that lie in the folders directly below root.
func capturesIn(root string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "*", "*"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() && isCapture(f) {
			out = append(out, f)
		}
	}
	return out, nil
}

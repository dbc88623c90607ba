package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"bellwether/internal/zone"
)

// evaluation is the list of what the detection is worth.
func (b *bench) evaluation() []check {
	var e evaluating
	e.bench = b
	return []check{
		{"attacks that did not happen, on every device with enough traffic", e.attacked},
		{"calm on later days", e.calm},
		{"all algorithms on rows of N-BaIoT", e.published},
		{"the autoencoder beside the others, on captures", e.compared},
		{"Equation 1 beside the default", e.equationOne},
		{"poisoning: an attack taught bit by bit", e.poisoned},
	}
}

// evaluating is what the checks of this list share.
type evaluating struct {
	*bench
	quiet    calmness    // of the default rule, made when it is first needed
	captures *experiment // on the zone's captures, likewise
}

// device is a folder of captures of one device.
type deviceFolder struct {
	name     string
	captures []string
	mac      *zone.MAC // if a text file says so
}

// deviceFolders finds the devices that have a folder of their own, two levels
// below pcaps and not in the zone's home.
func (b *bench) deviceFolders() (found []deviceFolder, err error) {
	dirs, err := filepath.Glob(filepath.Join(b.data, "pcaps", "*", "*"))
	if err != nil {
		return nil, err
	}
	home := filepath.Dir(b.zone.training)
	for _, dir := range dirs {
		if filepath.Dir(dir) == home {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a file
		}
		d := deviceFolder{name: filepath.Base(dir)}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if isCapture(e.Name()) {
				d.captures = append(d.captures, path)
			} else if mac, ok := namedMAC(path); ok {
				d.mac = &mac
			}
		}
		if len(d.captures) > 0 {
			found = append(found, d)
		}
	}
	return found, nil
}

// namedMAC reads a text file that holds a MAC address and nothing else.
func namedMAC(path string) (zone.MAC, bool) {
	if filepath.Ext(path) != ".txt" {
		return zone.MAC{}, false
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return zone.MAC{}, false
	}
	mac, err := zone.ParseMAC(strings.ToLower(string(bytes.TrimSpace(raw))))
	return mac, err == nil
}

// table collects lines of columns.
type table struct {
	text strings.Builder
	*tabwriter.Writer
}

func newTable() *table {
	t := &table{}
	t.Writer = tabwriter.NewWriter(&t.text, 0, 4, 2, ' ', 0)
	return t
}

// row adds a line.
func (t *table) row(cells ...string) {
	t.Write([]byte(strings.Join(cells, "\t") + "\n"))
}

func (t *table) String() string {
	t.Flush()
	return strings.TrimRight(t.text.String(), "\n")
}

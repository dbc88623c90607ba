package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bellwether/internal/nbaiot"
)

// layOut gives a directory with tables of N-BaIoT under names that the program
// knows: that below data if it has them, else one of links to tables there whose
// names say device and attack, like thermostat.benign.csv and
// thermostat.mirai_scan.csv.
func (b *bench) layOut() (string, error) {
	root := filepath.Join(b.data, "nbaiot")
	if found, err := nbaiot.Find(root); err == nil && slices.ContainsFunc(found, func(d nbaiot.Device) bool { return len(d.Attacks) > 0 }) {
		return root, nil
	}
	dir, err := b.scratch("nbaiot")
	if err != nil {
		return "", err
	}
	linked := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".csv" {
			return err
		}
		device, table, ok := namedTable(d.Name())
		if !ok {
			return nil
		}
		linked++
		return link(path, filepath.Join(dir, device, table))
	})
	if err == nil && linked == 0 {
		err = fmt.Errorf("there is no table of N-BaIoT below %s", root)
	}
	return dir, err
}

// namedTable takes a file's name apart and gives the device and the table's path
// as published.
func namedTable(name string) (device, table string, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) < 3 {
		return "", "", false
	}
	if parts[1] == "benign" {
		return parts[0], "benign_traffic.csv", true
	}
	family, kind, _ := strings.Cut(parts[1], "_")
	if !slices.Contains(nbaiot.Attacks(family), kind) {
		return "", "", false
	}
	return parts[0], filepath.Join(family+"_attacks", kind+".csv"), true
}

// link makes a link to a file, and the folders above it.
func link(from, to string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.Symlink(from, to)
}

package nbaiot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nwaples/rardecode/v2"
)

// maxDepth is how far below the directory a table may lie: a folder around
// the devices, a device, its attacks.
const maxDepth = 4

// Find looks for the tables of the data set in a directory and below, and gives
// the devices in the order of Published, others after them by name. A table that is
// there twice (as an archive and unpacked) is taken from the folder. It is an
// error when nothing is found, or when an archive cannot be read.
func Find(dir string) ([]Device, error) {
	s := search{root: dir, devices: map[string]*Device{}}
	if err := filepath.WalkDir(dir, s.visit); err != nil {
		return nil, fmt.Errorf("looking for N-BaIoT in %s: %w", dir, err)
	}
	if err := s.openArchives(); err != nil {
		return nil, err
	}
	if len(s.devices) == 0 {
		return nil, fmt.Errorf("no table of N-BaIoT in %s: want <Device>/benign_traffic.csv and "+
			"<Device>/mirai_attacks as published by UCI, or 1.benign.csv as on Kaggle", dir)
	}
	return s.sorted(), nil
}

// search is one run of Find.
type search struct {
	root     string
	devices  map[string]*Device
	archives []archive
}

// archive is a .rar of attacks, opened when everything else was seen.
type archive struct{ path, device, botnet string }

func (s *search) visit(path string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if entry.IsDir() {
		return s.depth(path)
	}
	name := strings.ToLower(entry.Name())
	if botnet, ok := strings.CutSuffix(name, "_attacks.rar"); ok && Attacks(botnet) != nil {
		s.archives = append(s.archives, archive{path, folder(filepath.Dir(path)), botnet})
		return nil
	}
	if name, ok := bare(name); ok {
		s.table(path, name)
	}
	return nil
}

// depth ends the search below maxDepth.
func (s *search) depth(path string) error {
	below, err := filepath.Rel(s.root, path)
	if err == nil && strings.Count(filepath.ToSlash(below), "/") >= maxDepth {
		return fs.SkipDir
	}
	return err
}

// table takes a file if its name is that of a table.
func (s *search) table(path, name string) {
	if device, what, ok := numbered(name); ok {
		s.add(device, what, Table{Path: path})
		return
	}
	parent := filepath.Dir(path)
	if name == "benign_traffic" {
		s.add(folder(parent), "benign", Table{Path: path})
		return
	}
	if botnet, ok := strings.CutSuffix(strings.ToLower(filepath.Base(parent)), "_attacks"); ok {
		s.add(folder(filepath.Dir(parent)), botnet+"."+name, Table{Path: path})
	}
}

// numbered takes Kaggle's names apart: "3.gafgyt.combo" is device 3's.
func numbered(name string) (device, what string, ok bool) {
	number, what, _ := strings.Cut(name, ".")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || !known(what) {
		return "", "", false
	}
	if n <= uint64(len(Published())) {
		return Published()[n-1], what, true
	}
	return "Device_" + number, what, true
}

// known reports the names of tables: "benign", "mirai.scan".
func known(what string) bool {
	botnet, kind, _ := strings.Cut(what, ".")
	return what == "benign" || slices.Contains(Attacks(botnet), kind)
}

// add notes a table of a device, unless there is one already.
func (s *search) add(device, what string, t Table) {
	if !known(what) {
		return
	}
	d := s.devices[device]
	if d == nil {
		d = &Device{Name: device}
		s.devices[device] = d
	}
	if what == "benign" {
		if d.Benign == (Table{}) {
			d.Benign = t
		}
		return
	}
	botnet, kind, _ := strings.Cut(what, ".")
	if d.find(botnet, kind) < 0 {
		d.Attacks = append(d.Attacks, Attack{botnet, kind, t})
	}
}

// folder gives the name of a directory, also of ".".
func folder(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return filepath.Base(path)
}

// openArchives reads what the archives hold.
func (s *search) openArchives() error {
	for _, a := range s.archives {
		entries, err := rardecode.List(a.path)
		if err != nil {
			return fmt.Errorf("reading what is in %s: %w", a.path, damaged(err))
		}
		for _, e := range entries {
			if name, ok := bare(e.Name); ok && !e.IsDir {
				s.add(a.device, a.botnet+"."+name, Table{Path: a.path, Entry: e.Name})
			}
		}
	}
	return nil
}

// damaged adds to an archive's error what to do about it.
func damaged(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: the archive is damaged or was not downloaded to its end, get it again", err)
}

func (s *search) sorted() []Device {
	all := make([]Device, 0, len(s.devices))
	for _, d := range s.devices {
		slices.SortFunc(d.Attacks, func(a, b Attack) int { return strings.Compare(a.Name(), b.Name()) })
		all = append(all, *d)
	}
	slices.SortFunc(all, func(a, b Device) int {
		if byNumber := number(a.Name) - number(b.Name); byNumber != 0 {
			return byNumber
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

// number is the position in Published, behind it for others.
func number(device string) int {
	if at := slices.Index(Published(), device); at >= 0 {
		return at
	}
	return len(Published())
}

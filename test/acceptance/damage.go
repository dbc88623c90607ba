package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"bellwether/internal/gateway"
)

// place is a byte of a state directory.
type place struct {
	file string
	at   int64
	by   byte // what is changed in it, not 0
}

// places gives n random bytes: one of every file, the others by size.
func places(dir string, n int, noise *rand.Rand) ([]place, error) {
	var files []string
	var sizes []int64
	total := int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > 0 {
			name, _ := filepath.Rel(dir, path)
			files, sizes, total = append(files, name), append(sizes, info.Size()), total+info.Size()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []place
	change := func(file string, at int64) { out = append(out, place{file, at, byte(1 + noise.IntN(255))}) }
	for i, f := range files {
		change(f, noise.Int64N(sizes[i]))
	}
	for len(out) < n {
		at := noise.Int64N(total)
		for i := range files {
			if at < sizes[i] {
				change(files[i], at)
				break
			}
			at -= sizes[i]
		}
	}
	return out, nil
}

// part is the word by which a finding names the file.
func part(file string) string {
	name := filepath.Base(file)
	switch {
	case strings.HasPrefix(file, "ledger"+string(filepath.Separator)):
		return "ledger"
	case !strings.Contains(file, string(filepath.Separator)) && strings.HasSuffix(name, ".log"):
		return strings.TrimSuffix(name, ".log")
	}
	return name
}

func (b *bench) damaged(o *outcome) error {
	o.goal = fmt.Sprintf("%d of %d changed bytes, and at least one in each file, are found and located", b.flips, b.flips)
	if err := b.learnZone(); err != nil {
		return err
	}
	before, err := verify(b.state)
	if err != nil {
		return err
	}
	o.need(len(before) == 0, "%d findings before anything is changed", len(before))
	noise := rand.New(rand.NewPCG(1, uint64(b.flips)))
	all, err := places(b.state, b.flips, noise)
	if err != nil {
		return err
	}
	files := map[string]bool{}
	for _, p := range all {
		files[p.file] = true
	}
	missed, err := b.flipAll(all)
	for _, m := range missed {
		o.need(false, "%s", m)
	}
	o.need(len(missed) == 0, "%d of %d changed bytes, in %d files, were found and located", len(all)-len(missed), len(all), len(files))
	return err
}

// flipAll changes every place on its own, in two copies of the state directory
// at a time, and says which changes were not found.
func (b *bench) flipAll(all []place) (missed []string, err error) {
	var copies [2]string
	for i := range copies {
		if copies[i], err = b.wholeCopy(); err != nil {
			return nil, err
		}
	}
	todo := make(chan place, len(all))
	for _, p := range all {
		todo <- p
	}
	close(todo)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, dir := range copies {
		wg.Go(func() {
			for p := range todo {
				findings, failed := flip(filepath.Join(dir, p.file), p.at, p.by, dir)
				mu.Lock()
				err = errors.Join(err, failed)
				if len(findings) == 0 || !strings.Contains(findings[0], part(p.file)) {
					missed = append(missed, fmt.Sprintf("%s, byte %d: found %q", p.file, p.at, findings))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return missed, err
}

// wholeCopy copies the zone's state directory, sharing no file with it.
func (b *bench) wholeCopy() (string, error) {
	dir, err := b.scratch("damaged")
	if err == nil {
		err = os.CopyFS(dir, os.DirFS(b.state))
	}
	if err == nil {
		err = os.Chmod(filepath.Join(dir, "master.key"), 0o600)
	}
	return dir, err
}

// flip changes a byte, verifies and changes it back.
func flip(path string, at int64, by byte, dir string) ([]string, error) {
	good, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	bad := append([]byte(nil), good...)
	bad[at] ^= by
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		return nil, err
	}
	findings, err := verify(dir)
	if err != nil {
		findings = []string{err.Error()}
	}
	return findings, os.WriteFile(path, good, 0o600)
}

func verify(dir string) ([]string, error) {
	a, err := gateway.VerifyState(context.Background(), dir, nil, nil)
	if err != nil {
		return nil, err
	}
	return a.Findings, nil
}

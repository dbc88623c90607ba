package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"bellwether/internal/capture"
	"bellwether/internal/zone"
)

// Frames hands every frame of captures, directories or globs to f as a replay
// takes them: all as one, in order of time. A frame is valid until f returns.
// A capture that turns out to be damaged is used as far as it goes; damaged
// says which, and where.
func Frames(ctx context.Context, patterns []string, f func(*capture.Frame) error) (damaged []error, err error) {
	paths, err := expand(patterns)
	if err != nil {
		return nil, err
	}
	r, err := openRecordings(paths)
	if err != nil {
		return nil, err
	}
	err = r.each(ctx, f)
	return r.damage, err
}

// CopyState copies a state directory that nobody has open. Files that are never
// changed once they are there are linked where the file system can do it.
func CopyState(from, to string) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o750)
		case !d.Type().IsRegular():
			return nil
		case strings.HasSuffix(name, ".parquet") || strings.HasSuffix(name, ".model"):
			if os.Link(path, target) == nil {
				return nil
			}
		}
		return copyFile(path, target)
	})
	if err != nil {
		return fmt.Errorf("copying the state directory %s: %w", from, err)
	}
	return nil
}

func copyFile(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}

// Judged hands what the newest finished replay over a state directory has judged
// to f, snapshot by snapshot in order. Nobody else may have the directory
// open. A snapshot is f's to keep.
func Judged(ctx context.Context, dir string, f func(*zone.Snapshot) error) (err error) {
	s, err := OpenState(ctx, dir, StateOptions{Existing: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if len(s.runs.watched) == 0 {
		return nil
	}
	newest := s.runs.watched[len(s.runs.watched)-1]
	for row, err := range s.Store.Rows(ctx, newest.From, newest.To, zone.MAC{}) {
		if err != nil {
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
	return nil
}

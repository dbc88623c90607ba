package capture

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bellwether/internal/zone"
)

// Peek gives the time of the first frame of a capture. A capture without a
// readable frame is an error: that of Open or Next, or that it holds none.
func Peek(path string) (first zone.Time, err error) {
	f, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var fr Frame
	if err := f.Next(&fr); err == io.EOF {
		return 0, fmt.Errorf("%s holds no frames", path)
	} else if err != nil {
		return 0, err
	}
	return fr.Time, nil
}

// Expand turns file names, glob patterns and directories into capture files, in
// the order of their first frames, then of their names; each once. Files
// without a readable frame come last: their error shows when they are opened.
// So do pipes and devices, which are not read here.
//
// A directory stands for the regular files in it and below, without hidden
// ones and those whose names say that they are notes beside the captures (.txt,
// .csv, .md and the like). A pattern that gives no file is an error that names it.
func Expand(patterns []string) ([]string, error) {
	var paths []string
	for _, pattern := range patterns {
		found, err := expand(pattern)
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	return byFirstFrame(slices.Compact(paths)), nil
}

// expand gives the files of one pattern, cleaned. A name that exists is taken
// as it stands, even with the characters of a pattern in it.
func expand(pattern string) ([]string, error) {
	names := []string{pattern}
	if _, err := os.Stat(pattern); err != nil {
		if names, err = filepath.Glob(pattern); err != nil {
			return nil, fmt.Errorf("capture %q: %w", pattern, err)
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("capture %q: no such file, and no file matches it", pattern)
		}
	}
	var paths []string
	for _, name := range names {
		found, err := filesOf(filepath.Clean(name))
		if err != nil {
			return nil, fmt.Errorf("capture %q: %w", pattern, err)
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("capture %q: the directory holds no files", pattern)
	}
	return paths, nil
}

// filesOf gives a file itself, and the files of a directory.
func filesOf(name string) (paths []string, err error) {
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return []string{name}, err
	}
	err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != name && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return filepath.SkipDir
			}
		case isRegular(path, d) && !isNote(path):
			paths = append(paths, path)
		}
		return nil
	})
	return paths, err
}

// isNote reports a file whose name ends like that of a text.
func isNote(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".txt", ".md", ".csv", ".json", ".jsonl", ".yaml", ".yml", ".html", ".pdf":
		return true
	}
	return false
}

// isRegular reports a regular file, or a link to one.
func isRegular(path string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func byFirstFrame(paths []string) []string {
	type capture struct {
		path  string
		first zone.Time
		bad   int
	}
	files := make([]capture, len(paths))
	for i, path := range paths {
		files[i] = capture{path: path, bad: 1}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if first, err := Peek(path); err == nil {
			files[i].first, files[i].bad = first, 0
		}
	}
	slices.SortFunc(files, func(a, b capture) int {
		return cmp.Or(cmp.Compare(a.bad, b.bad), cmp.Compare(a.first, b.first), cmp.Compare(a.path, b.path))
	})
	sorted := make([]string, len(files))
	for i := range files {
		sorted[i] = files[i].path
	}
	return sorted
}

// Package durable writes files that are there whole or not at all, also after
// a crash or a power cut: temporary file, fsync, rename, fsync of the directory.
//
// A crash before the rename leaves the old file, and at most a temporary one
// beside it, which [IsTemporary] tells; after it, the new file. Nothing is
// appended to and nothing is locked: of two that write the same file at once, one
// is last. Only regular files are replaced.
package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// prefix marks temporary files; a crash may leave one behind.
const prefix = ".new-"

// WriteFile replaces the file at path by b, with exactly the given permissions
// whatever the umask. On return it is durable. On error the old file is as it was,
// unless only the directory's fsync failed: then it is the old or the new one.
func WriteFile(path string, b []byte, perm os.FileMode) error {
	return Write(path, perm, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// Write is WriteFile of what content writes, which may be more than memory
// holds. An error of content's is Write's, and the old file stays.
func Write(path string, perm os.FileMode, content func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return &os.PathError{Op: "replace", Path: path, Err: errors.New("not a regular file")}
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), prefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	err = content(tmp)
	if err == nil {
		err = tmp.Chmod(perm)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the directory's entries durable.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// IsTemporary reports the name of a file that WriteFile did not finish.
func IsTemporary(name string) bool { return strings.HasPrefix(name, prefix) }

package durable

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// names gives what is in a directory.
func names(tb testing.TB, dir string) (all []string) {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func checkContent(tb testing.TB, path, want string) {
	tb.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		tb.Errorf("the file is %.40q, %v, want %.40q", got, err, want)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, c := range []struct {
		text string
		perm os.FileMode
	}{{"one", 0o600}, {"", 0o644}, {strings.Repeat("three", 1<<18), 0o666}, {"four", 0o440}, {"five", 0o640}} {
		if err := WriteFile(path, []byte(c.text), c.perm); err != nil {
			t.Fatal(err)
		}
		checkContent(t, path, c.text)
		if info, err := os.Stat(path); err != nil || info.Mode() != c.perm {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, c.perm)
		}
		if left := names(t, dir); len(left) != 1 {
			t.Errorf("left in the directory: %q", left)
		}
	}
}

func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFile(filepath.Join(dir, "none", "file"), []byte("x"), 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("into no directory: %v", err)
	}
	if err := WriteFile(dir, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if err := WriteFile(filepath.Join(dir, strings.Repeat("n", 300)), []byte("x"), 0o600); err == nil {
		t.Error("a name of 300 bytes was taken")
	}
	if err := WriteFile("/dev/null", []byte("x"), 0o600); err == nil || !strings.Contains(err.Error(), "/dev/null") {
		t.Errorf("a device: %v", err)
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("left in the directory: %q", left)
	}
}

// TestWriteFileLink: a link is replaced, what it leads to stays.
func TestWriteFileLink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkContent(t, path, "old")
	checkContent(t, link, "new")
}

func TestSyncDir(t *testing.T) {
	if err := SyncDir(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := SyncDir(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func TestIsTemporary(t *testing.T) {
	for name, want := range map[string]bool{".new-123": true, ".new-": true, "new-123": false, "file": false, "": false, "a.new-1": false} {
		if IsTemporary(name) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
}

// writerDir tells the test binary to be the process that is killed.
const writerDir = "BELLWETHER_TEST_WRITE_IN"

func version(n byte) []byte { return bytes.Repeat([]byte{n}, 300<<10) }

// TestKilled kills a process that writes a file over and over. The file is
// always one whole version; beside it there are temporary files only.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(writerDir); dir != "" {
		writeForever(t, filepath.Join(dir, "file"))
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteFile(path, version(0), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[byte]bool{}
	for kill := range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), writerDir+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := readWhole(t, path)
		for until := time.Now().Add(10 * time.Second); readWhole(t, path) == before; {
			if time.Now().After(until) {
				t.Fatal("nothing is written")
			}
		}
		time.Sleep(time.Duration(kill) * 3 * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		seen[readWhole(t, path)] = true
		for _, name := range names(t, dir) {
			if name != "file" && !IsTemporary(name) {
				t.Errorf("left in the directory: %q", name)
			}
		}
	}
	if len(seen) < 2 {
		t.Errorf("only %d versions were seen", len(seen))
	}
}

func writeForever(t *testing.T, path string) {
	for n := byte(1); ; n++ {
		if err := WriteFile(path, version(n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// readWhole gives the version that the file holds, all of it.
func readWhole(t *testing.T, path string) byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 || !bytes.Equal(b, version(b[0])) {
		t.Fatalf("the file is no whole version: %d bytes, %v", len(b), err)
	}
	return b[0]
}

// TestWriteInterrupted: what content does not finish is not there.
func TestWriteInterrupted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := Write(path, 0o600, func(w io.Writer) error {
		if _, err := io.WriteString(w, "half of the ne"); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	checkContent(t, path, "old")
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("left in the directory: %q", left)
	}
}

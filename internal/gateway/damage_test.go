package gateway

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var flips = flag.Int("flips", 60, "how many bytes the damage test changes")

// spot is one byte of a state directory.
type spot struct {
	file string
	at   int64
}

// places gives n random bytes of a state directory, at least one of every
// file, the others by the size of the files.
func places(t *testing.T, dir string, n int, noise *rand.Rand) []spot {
	t.Helper()
	files := stateFiles(t, dir)
	var sizes []int64
	total := int64(0)
	var out []spot
	for _, f := range files {
		info, err := os.Stat(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
		total += info.Size()
		out = append(out, spot{f, noise.Int64N(info.Size())})
	}
	for len(out) < n {
		at := noise.Int64N(total)
		for i, size := range sizes {
			if at < size {
				out = append(out, spot{files[i], at})
				break
			}
			at -= size
		}
	}
	return out
}

// part is the word by which a finding names the file.
func part(file string) string {
	switch dir, name := filepath.Split(file); {
	case file == alertFile:
		return "alerts"
	case file == leaseFile:
		return "leases"
	case file == runFile:
		return "runs"
	case dir == ledgerDir+"/":
		return "ledger"
	default:
		return name
	}
}

func findings(t *testing.T, dir string) []string {
	t.Helper()
	a, err := VerifyState(t.Context(), dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a.Findings
}

// Whatever byte of a state directory is changed, verification finds it and says
// in which file.
func TestEveryChangedByteIsFound(t *testing.T) {
	n := *flips
	if testing.Short() {
		n = min(n, 25)
	}
	dir, _ := finished(t)
	verifies(t, dir)
	noise := rand.New(rand.NewPCG(uint64(n), 5))
	for _, p := range places(t, dir, n, noise) {
		path := filepath.Join(dir, p.file)
		good := readFile(t, path)
		bad := append([]byte(nil), good...)
		bad[p.at] ^= byte(1 + noise.IntN(255))
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		found := findings(t, dir)
		if len(found) == 0 || !strings.Contains(found[0], part(p.file)) {
			t.Errorf("%s, byte %d: %02x became %02x, found %q", p.file, p.at, good[p.at], bad[p.at], found)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verifies(t, dir)
}

func TestEveryMissingFileIsFound(t *testing.T) {
	dir, _ := finished(t)
	for _, f := range stateFiles(t, dir) {
		if f == formatFile {
			continue // without it, it is no state directory at all
		}
		path := filepath.Join(dir, f)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		a, err := VerifyState(t.Context(), dir, nil, nil)
		if err == nil && (len(a.Findings) == 0 || !strings.Contains(strings.Join(a.Findings, "\n"), part(f))) {
			t.Errorf("%s is missing, found %q", f, a.Findings)
		}
		if err != nil && !strings.Contains(err.Error(), part(f)) {
			t.Errorf("%s is missing: %v", f, err)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryStrangeFileIsFound(t *testing.T) {
	dir, _ := finished(t)
	for _, f := range []string{"notes.txt", "ledger/old.log", "store/segment-00009999.parquet", "models/readme", "store/sub/x"} {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
		if found := findings(t, dir); len(found) == 0 {
			t.Errorf("%s does not belong there, and nothing was found", f)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(dir, "store/sub"))
	}
	if err := os.WriteFile(filepath.Join(dir, lockFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := findings(t, dir); len(found) != 1 || !strings.Contains(found[0], lockFile) {
		t.Errorf("the lock file has contents, found %q", found)
	}
}

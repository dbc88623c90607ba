package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bellwether/internal/identity"
)

// quickly is a configuration that learns from little, in little time.
func quickly() Config {
	var c Config
	c.Learn.Snapshots = 300
	c.Detector.Epochs = 3
	c.Store.SegmentRows = 2000
	return c
}

// masterKey is one key file for all state directories, so that the same runs
// give the same signatures.
var masterKey = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "bellwether-key-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, keyFile)
	if _, err := identity.LoadOrCreate(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// keyedDir is a state directory that holds nothing but the common key.
func keyedDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := prepareDir(dir, false); err != nil {
		t.Fatal(err)
	}
	key, err := masterKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// whole replays the home's captures in dir.
func whole(t testing.TB, dir string) Replay {
	c := homeCaptures(t)
	return Replay{StateDir: dir, Learn: []string{c.learn}, Watch: []string{c.watch}, Config: quickly()}
}

func mustOpen(t testing.TB, dir string, o StateOptions) *State {
	t.Helper()
	s, err := OpenState(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustRun(t testing.TB, r Replay) *Report {
	t.Helper()
	report, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// finished is a state directory after a whole replay, made once; each test
// gets a copy.
func finished(t testing.TB) (dir string, report *Report) {
	t.Helper()
	template.Do(func() {
		template.dir, template.err = os.MkdirTemp("", "bellwether-state-")
		if template.err != nil {
			return
		}
		made := keyedDir(t)
		template.report = mustRun(t, whole(t, made))
		template.err = os.CopyFS(filepath.Join(template.dir, "state"), os.DirFS(made))
	})
	if template.err != nil || template.report == nil {
		t.Fatalf("no state directory to start from: %v", template.err)
	}
	return copyState(t, filepath.Join(template.dir, "state")), template.report
}

var template struct {
	sync.Once
	dir    string
	report *Report
	err    error
}

func copyState(t testing.TB, from string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, keyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// result is what two runs have to agree in.
type result struct {
	ledger []byte // the blocks' file
	rows   string // every snapshot
	alerts []byte
	report string
}

func resultOf(t testing.TB, dir string, r *Report) result {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{ReadOnly: true})
	defer s.Close()
	var rows bytes.Buffer
	if err := s.Export(t.Context(), &rows, Export{Format: "jsonl"}); err != nil {
		t.Fatal(err)
	}
	report := *r
	report.Seconds = 0
	text, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return result{readFile(t, dir, ledgerDir, "blocks.log"), rows.String(), readFile(t, dir, alertFile), string(text)}
}

func readFile(t testing.TB, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same says in what two results differ.
func same(t testing.TB, got, want result) {
	t.Helper()
	if !bytes.Equal(got.ledger, want.ledger) {
		t.Errorf("the ledgers differ: %d and %d bytes", len(got.ledger), len(want.ledger))
	}
	if !bytes.Equal(got.alerts, want.alerts) {
		t.Errorf("the alerts differ: %d and %d bytes", len(got.alerts), len(want.alerts))
	}
	a, b := strings.Split(got.rows, "\n"), strings.Split(want.rows, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Errorf("row %d is\n%s\nwant\n%s", i, a[i], b[i])
			break
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d rows, want %d", len(a), len(b))
	}
	if got.report != want.report {
		t.Errorf("the report is\n%s\nwant\n%s", got.report, want.report)
	}
}

// verifies checks that a state directory is sound.
func verifies(t testing.TB, dir string) *Audit {
	t.Helper()
	a, err := VerifyState(t.Context(), dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Findings {
		t.Errorf("finding: %s", f)
	}
	return a
}

// countdown is a context that ends after it was asked so many times.
type countdown struct {
	context.Context
	left *atomic.Int64
}

func stopAfter(ctx context.Context, asked int64) countdown {
	c := countdown{ctx, &atomic.Int64{}}
	c.left.Store(asked)
	return c
}

func (c countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return c.Context.Err()
}

// stateFiles lists the files of a state directory that have bytes.
func stateFiles(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > 0 {
			name, _ := filepath.Rel(dir, path)
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellwether/internal/identity"
)

func TestStateDirInUse(t *testing.T) {
	dir, _ := finished(t)
	s, err := OpenState(t.Context(), dir, StateOptions{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 3*lockEvery)
	defer cancel()
	var taken *InUseError
	if _, err := OpenState(soon, dir, StateOptions{Existing: true}); !errors.As(err, &taken) || taken.Gateway || !strings.Contains(err.Error(), fmt.Sprintf("process %d (", os.Getpid())) {
		t.Errorf("a second one: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenState(t.Context(), dir, StateOptions{Existing: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStateDirOfAnotherKind(t *testing.T) {
	for _, x := range []struct {
		name   string
		change func(t *testing.T, dir string) error
		want   string
	}{
		{"another version", func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, formatFile), []byte("bellwether state 9\n"), 0o600)
		}, `FORMAT says "bellwether state 9\n": this program reads`},
		{"no state directory", func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, formatFile)) }, "neither empty nor a state directory"},
		{"without its key", func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, keyFile)) }, "master.key"},
		{"somebody else's key", func(t *testing.T, dir string) error {
			path := filepath.Join(dir, keyFile)
			if err := os.Remove(path); err != nil {
				return err
			}
			_, err := identity.LoadOrCreate(path)
			return err
		}, "key"},
		{"a key that others may read", func(_ *testing.T, dir string) error { return os.Chmod(filepath.Join(dir, keyFile), 0o644) }, "chmod 600"},
	} {
		t.Run(x.name, func(t *testing.T) {
			dir, _ := finished(t)
			if err := x.change(t, dir); err != nil {
				t.Fatal(err)
			}
			before := stateFiles(t, dir)
			if _, err := OpenState(t.Context(), dir, StateOptions{}); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want %q", err, x.want)
			}
			if after := stateFiles(t, dir); strings.Join(after, " ") != strings.Join(before, " ") {
				t.Errorf("the files %q became %q", before, after)
			}
		})
	}
}

// A crash while the directory is being made does not stand in the next start's way.
func TestHalfMadeStateDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ledgerDir), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".new-123"), []byte("bell"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir, StateOptions{Identity: Identity{Name: "home", UseCase: "smart-home", Created: homeStart}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustRun(t, whole(t, dir))
	verifies(t, dir)
}

// TestTemporaries: what a crash left behind of a file that was being written is
// taken away by the next start.
func TestTemporaries(t *testing.T) {
	dir, _ := finished(t)
	for _, sub := range []string{"", modelDir, ledgerDir} {
		if err := os.WriteFile(filepath.Join(dir, sub, ".new-123"), []byte("half of it"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	soundAfterRestart(t, dir)
}

func TestRetention(t *testing.T) {
	c := homeCaptures(t)
	dir, r := finished(t)
	s := mustOpen(t, dir, StateOptions{Existing: true, MaxAge: time.Hour})
	if removed, err := s.Store.Retain(homeStart.Add(learnFor)); err != nil || len(removed) != 0 {
		t.Errorf("%d segments were removed before their time (%v)", len(removed), err)
	}
	removed, err := s.Store.Retain(homeStart.Add(time.Hour + learnFor))
	if err != nil || len(removed) == 0 {
		t.Fatalf("%d segments were removed (%v), want those of the first minutes", len(removed), err)
	}
	var rows bytes.Buffer
	if err := s.Export(t.Context(), &rows, Export{Format: "jsonl"}); err != nil {
		t.Fatal(err)
	}
	if got, want := bytes.Count(rows.Bytes(), []byte("\n")), int(s.Store.Last()-removed[len(removed)-1].Last); got != want {
		t.Errorf("%d rows are left, want %d", got, want)
	}
	id := deviceIn(t, r, c.webcam.MAC).Alerts[0].ID
	if _, err := s.Prove(t.Context(), id); err != nil {
		t.Errorf("proof of an alert whose rows are kept: %v", err)
	}
	if _, err := s.Store.Retain(homeStart.Add(48 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prove(t.Context(), id); err == nil {
		t.Error("an alert was proven without its rows")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	verifies(t, dir)
}
